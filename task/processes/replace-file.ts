import { randomUUID } from "node:crypto"
import { open, realpath, rename, rm, stat } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { codeOf } from "../errors.ts"

/**
 * Puts `text` in the place of a file, or makes it: whoever reads it gets the old text or the new, never a part. The file
 * keeps its mode; a new one can be read by all, unless another is given. Through a link, what it points to is replaced, if that is there. On any error the file is
 * as it was. Rejects with Node's error, or a TypeError where something that is no file has the name.
 */
export async function replaceFile(file: string, text: string, newMode = 0o644): Promise<void> {
  const path = await realpath(file).catch((error: unknown) => {
    if (codeOf(error) === "ENOENT") return file
    throw error
  })
  const before = await stat(path).catch((error: unknown) => {
    if (codeOf(error) === "ENOENT") return undefined
    throw error
  })
  if (before && !before.isFile()) throw new TypeError("it is no regular file")
  // A name that what reads all files of a folder passes over.
  const temporary = join(dirname(path), `.${basename(path).slice(0, 150)}.${randomUUID()}.tmp`)
  try {
    const handle = await open(temporary, "wx", 0o600)
    try {
      await handle.writeFile(text)
      await handle.chmod(before ? before.mode & 0o777 : newMode)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    throw error
  }
}
