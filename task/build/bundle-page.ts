import { join } from "node:path"
import { buildSync } from "esbuild"

/** Bundles what the report's page runs in a browser, with its style: each one text, in ASCII, that ends no element of HTML. */
export function bundlePage(): { readonly script: string; readonly style: string } {
  const { outputFiles } = buildSync({
    bundle: true,
    minify: true,
    platform: "browser",
    format: "iife",
    target: "es2022",
    legalComments: "none",
    logLevel: "error",
    write: false,
    entryPoints: [join(import.meta.dirname, "../report/browser/report.ts")],
    outdir: "page",
  })
  const textOf = (ending: string) => {
    const file = outputFiles.find(({ path }) => path.endsWith(ending))
    if (file === undefined) throw new Error(`the page has no ${ending} file`)
    return file.text.trim()
  }
  return { script: textOf(".js"), style: textOf(".css") }
}
