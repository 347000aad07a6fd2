import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

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
