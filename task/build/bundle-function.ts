import { bundle } from "./bundle.ts"
import { bundlePage } from "./bundle-page.ts"

let page: ReturnType<typeof bundlePage> | undefined

/**
 * Bundles a function of functions/, by its file's name without the ending, with the texts of the report's page where it
 * makes that. Gives the packages that are in it, by their folders from the root.
 */
export function bundleFunction(name: string, outfile: string): string[] {
  page ??= bundlePage()
  const { script, style, packages } = page
  const define = { PGSTOW_PAGE_SCRIPT: JSON.stringify(script), PGSTOW_PAGE_STYLE: JSON.stringify(style) }
  return [...bundle(`functions/${name}.ts`, outfile, { define }), ...packages]
}
