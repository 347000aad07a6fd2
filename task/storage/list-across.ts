import { PgstowError } from "../errors.ts"
import type { Storage } from "./storage.ts"

const keysAnAnswer = 1000
/** To list the folders singly takes no longer where an answer tells of fewer: so many are asked for at once. */
const foldersAnAnswer = 8

/**
 * What `wanted` names in each of `folders`, which are directly below `prefix`: the names below the folder, found by one
 * listing of all that is below `prefix`. A folder in which it found none is not in the answer.
 *
 * Undefined where it is better to list each folder by itself: there is but one, or they hold so many objects that this
 * takes about as many requests, or the listing fails, and may do so by one of them.
 */
export async function listAcross(
  storage: Storage,
  prefix: string,
  folders: readonly string[],
  wanted: (name: string) => boolean,
): Promise<Map<string, string[]> | undefined> {
  if (folders.length < 2) return undefined
  const asked = new Set(folders)
  const found = new Map<string, string[]>()
  let keys = 0
  let passed = 0
  let last = ""
  try {
    for await (const { key } of storage.list(prefix)) {
      const slash = key.indexOf("/", prefix.length)
      const folder = key.slice(prefix.length, Math.max(slash, prefix.length))
      if (folder !== last && asked.has(folder)) passed += 1
      last = folder
      keys += 1
      if (keys % keysAnAnswer === 0 && passed * keysAnAnswer < keys * foldersAnAnswer) return undefined
      const name = key.slice(slash + 1)
      if (!asked.has(folder) || !wanted(name)) continue
      const names = found.get(folder)
      if (names) names.push(name)
      else found.set(folder, [name])
    }
  } catch (error) {
    if (error instanceof PgstowError && error.kind === "storage") return undefined
    throw error
  }
  return found
}
