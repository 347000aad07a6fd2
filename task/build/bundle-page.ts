import { join } from "node:path"
import { buildSync } from "esbuild"
import { packagesIn } from "./bundle.ts"

/** Bundles what the report's page runs in a browser, with its style: each one text, in ASCII, that ends no element of HTML. */
export function bundlePage(): {
  readonly script: string
  readonly style: string
  /** What is in it of others, by the folders from the root. */
  readonly packages: readonly string[]
} {
  const { metafile, outputFiles } = buildSync({
    bundle: true,
    minify: true,
    platform: "browser",
    format: "iife",
    target: "es2022",
    legalComments: "none",
    logLevel: "error",
    write: false,
    metafile: true,
    absWorkingDir: join(import.meta.dirname, "../.."),
    entryPoints: [join(import.meta.dirname, "../report/browser/report.ts")],
    outdir: "page",
  })
  const textOf = (ending: string) => {
    const file = outputFiles.find(({ path }) => path.endsWith(ending))
    if (file === undefined) throw new Error(`the page has no ${ending} file`)
    return file.text.trim()
  }
  return { script: textOf(".js"), style: textOf(".css"), packages: packagesIn(metafile) }
}
