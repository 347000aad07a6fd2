/** The page's own script and style. */
export type PageAssets = { readonly script: string; readonly style: string }

/** The program's bundle has the texts in place of these names. Run from its sources, there are none. */
declare const PGSTOW_PAGE_SCRIPT: string | undefined
declare const PGSTOW_PAGE_STYLE: string | undefined

/** The texts out of the program's bundle; where it runs from its sources, bundled now. */
export async function pageAssets(): Promise<PageAssets> {
  // Each name only once besides, since the bundler puts the whole text there; and one expression, of which it leaves
  // out the other half, the bundler itself.
  return typeof PGSTOW_PAGE_SCRIPT === "string" && typeof PGSTOW_PAGE_STYLE === "string"
    ? { script: PGSTOW_PAGE_SCRIPT, style: PGSTOW_PAGE_STYLE }
    : (await import("../build/bundle-page.ts")).bundlePage()
}
