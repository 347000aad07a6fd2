import { join } from "node:path"
import { buildSync } from "esbuild"

const projectRoot = join(import.meta.dirname, "../..")

/** Bundles a program of this checkout, by its path from the root, into one file that runs alone under Node. */
export function bundle(entry: string, outfile: string): void {
  buildSync({
    entryPoints: [join(projectRoot, entry)],
    outfile,
    bundle: true,
    minify: true,
    platform: "node",
    target: "node24",
    format: "esm",
    mainFields: ["module", "main"],
    // The AWS SDK has CommonJS inside, which asks for `require`.
    banner: {
      js: 'import { createRequire as pgstowCreateRequire } from "node:module"; const require = pgstowCreateRequire(import.meta.url);',
    },
    legalComments: "none",
    logLevel: "error",
  })
}
