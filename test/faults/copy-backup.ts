import { cp, readFile, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import type { StoredBackup } from "./stored-backups.ts"

/** Copies a backup to its side under another id, as if it had been made at another time, and gives the copy's folder. */
export async function copyBackup(backup: Pick<StoredBackup, "folder" | "id">, id: string): Promise<string> {
  const copy = join(dirname(backup.folder), id)
  await cp(backup.folder, copy, { recursive: true })
  const manifest = join(copy, "manifest.json")
  await writeFile(manifest, (await readFile(manifest, "utf8")).replaceAll(backup.id, id))
  return copy
}
