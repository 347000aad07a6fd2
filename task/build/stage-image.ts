import { copyFileSync } from "node:fs"
import { join } from "node:path"
import { bundleProgram } from "./bundle-program.ts"

/** What the image is built from: all that its Dockerfile copies, and itself. */
export const imageFiles = ["Dockerfile", "pgstow.mjs"] as const

/**
 * Puts what the image is built from into a folder: the Dockerfile, and the program as one file. Gives the packages that are
 * in it, by their folders from the root.
 */
export function stageImage(folder: string): string[] {
  copyFileSync(join(import.meta.dirname, "../Dockerfile"), join(folder, "Dockerfile"))
  return bundleProgram(join(folder, "pgstow.mjs"))
}
