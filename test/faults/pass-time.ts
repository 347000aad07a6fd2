import { readdir, rename, stat, utimes } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { timestamp } from "./forge.ts"

const hourMs = 60 * 60 * 1000

/**
 * Makes what is below a folder of a storage, and no backup, older by so many hours: the times in the names of folders
 * and notes, and those of the files. For cleanup, as much time has passed.
 */
export async function passTime(root: string, hours: number): Promise<void> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => [])
  const paths = entries.map((entry) => join(entry.parentPath, entry.name))
  const backups = new Set(
    paths.filter((path) => basename(path) === "manifest.json").map((path) => dirname(path)),
  )
  // The deepest first: their folders are renamed after them.
  for (const path of paths.toSorted((a, b) => b.length - a.length)) {
    const isNote = /-abandoned-/.test(basename(path))
    if (!isNote && [...backups].some((backup) => `${path}/`.startsWith(`${backup}/`))) continue
    const { mtime } = await stat(path)
    await utimes(path, mtime, new Date(mtime.getTime() - hours * hourMs))
    const [, time, rest] = /^(\d{8}T\d{6}Z)(-.*)$/.exec(basename(path)) ?? []
    if (time === undefined) continue
    const earlier = timestamp(new Date(timeOf(time).getTime() - hours * hourMs))
    await rename(path, join(dirname(path), `${earlier}${rest}`))
  }
}

function timeOf(text: string): Date {
  return new Date(text.replace(/^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/, "$1-$2-$3T$4:$5:$6Z"))
}
