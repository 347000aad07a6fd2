import { join } from "node:path"
import { type BuildOptions, buildSync } from "esbuild"

const projectRoot = join(import.meta.dirname, "../..")

/** What every bundle is made with. */
export const bundleOptions = {
  bundle: true,
  minify: true,
  platform: "node",
  mainFields: ["module", "main"],
  legalComments: "none",
  logLevel: "error",
} satisfies BuildOptions

/** Bundles a module of this checkout, by its path from the root, into one file that Node 24 can import or run. */
export function bundle(entry: string, outfile: string): void {
  buildSync({
    ...bundleOptions,
    entryPoints: [join(projectRoot, entry)],
    outfile,
    target: "node24",
    format: "esm",
    // The AWS SDK has CommonJS inside, which asks for `require`.
    banner: {
      js: 'import { createRequire as pgstowCreateRequire } from "node:module"; const require = pgstowCreateRequire(import.meta.url);',
    },
  })
}
