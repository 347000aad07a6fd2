import { copyFileSync } from "node:fs"
import { join } from "node:path"
import { bundleFunction } from "../task/build/bundle-function.ts"
import { imageFiles, stageImage } from "../task/build/stage-image.ts"

/**
 * Defined where this is a part of the npm package's ./cdk (task/build/build.ts): what is bundled here in a checkout
 * then lies beside it, as the same bytes, and esbuild is left out.
 */
declare const PGSTOW_PACKAGED: true | undefined

/** Puts a function of functions/, by its file's name without the ending, into `folder` as index.mjs. */
export function putFunction(file: string, folder: string): void {
  const outfile = join(folder, "index.mjs")
  if (typeof PGSTOW_PACKAGED === "boolean")
    copyFileSync(join(import.meta.dirname, "functions", `${file}.mjs`), outfile)
  else bundleFunction(file, outfile)
}

/** Puts what the image is built from into `folder`. */
export function putImage(folder: string): void {
  if (typeof PGSTOW_PACKAGED === "boolean")
    for (const file of imageFiles) copyFileSync(join(import.meta.dirname, file), join(folder, file))
  else stageImage(folder)
}

/** Where the image's Dockerfile is. */
export const dockerfile =
  typeof PGSTOW_PACKAGED === "boolean"
    ? join(import.meta.dirname, "Dockerfile")
    : join(import.meta.dirname, "../task/Dockerfile")

/** What to do about what the image's Dockerfile leaves open. */
export const howToPin =
  typeof PGSTOW_PACKAGED === "boolean"
    ? "`image` takes an image of your own"
    : "`npm run image:pins` pins them"
