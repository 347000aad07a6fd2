import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buildSync } from "esbuild"

export const projectRoot = join(import.meta.dirname, "..")

/** Bundles a program of this checkout into one file that runs alone under Node. */
export function bundle(entry: string, outfile: string): void {
  buildSync({
    entryPoints: [join(projectRoot, entry)],
    outfile,
    bundle: true,
    minify: true,
    keepNames: true,
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

/**
 * Hands `use` a new folder that `fill` has filled, and takes it away afterwards: CDK copies what becomes an asset
 * at once.
 */
export function withFolder<Result>(fill: (folder: string) => void, use: (folder: string) => Result): Result {
  const folder = mkdtempSync(join(tmpdir(), "pgstow-"))
  try {
    fill(folder)
    return use(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
