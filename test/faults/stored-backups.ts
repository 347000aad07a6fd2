import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { readdir, readFile, stat } from "node:fs/promises"
import { join, relative } from "node:path"
import * as z from "zod"

/** What the format document promises of a manifest, as far as it is looked at here. */
const manifestSchema = z.looseObject({
  id: z.string(),
  database: z.string(),
  objects: z.array(
    z.looseObject({ name: z.string(), kind: z.string(), sizeBytes: z.int(), sha256: z.string() }),
  ),
})

export type StoredManifest = z.infer<typeof manifestSchema>

export type StoredBackup = {
  /** The folder of the database, as it is named in the storage. */
  readonly database: string
  readonly id: string
  readonly folder: string
  readonly manifest: StoredManifest
  /** The names of the records of its checks. */
  readonly checks: readonly string[]
  /** Each object that is not as the manifest says. */
  readonly wrong: readonly string[]
}

export type StoredBackups = {
  readonly backups: readonly StoredBackup[]
  /** Every file that belongs to no backup, by its path below the folder. */
  readonly strays: readonly string[]
}

/** What is in the folder of a storage, read by nothing of pgstow's, so that it can be held against what that says. */
export async function readStoredBackups(folder: string): Promise<StoredBackups> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return []
    throw error
  })
  const files = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
  const names = files.flatMap((file) => /^([^/]+)\/([^/]+)\/manifest\.json$/.exec(file)?.slice(1, 3) ?? [])
  const backups: StoredBackup[] = []
  for (let at = 0; at < names.length; at += 2)
    backups.push(await readBackup(folder, names[at] ?? "", names[at + 1] ?? "", files))
  const owned = backups.flatMap(({ database, id, manifest, checks }) => [
    `${database}/${id}/manifest.json`,
    ...manifest.objects.map(({ name }) => `${database}/${id}/${name}`),
    ...checks.map((name) => `${database}/${id}/checks/${name}`),
  ])
  const known = new Set(owned)
  return { backups, strays: files.filter((file) => !known.has(file)).sort() }
}

async function readBackup(
  root: string,
  database: string,
  id: string,
  files: readonly string[],
): Promise<StoredBackup> {
  const folder = join(root, database, id)
  const manifest = manifestSchema.parse(JSON.parse(await readFile(join(folder, "manifest.json"), "utf8")))
  const wrong: string[] = []
  for (const { name, sizeBytes, sha256 } of manifest.objects) {
    const path = join(folder, name)
    const found = await stat(path).catch(() => undefined)
    if (!found) wrong.push(`${id}: ${name} is missing`)
    else if (found.size !== sizeBytes) wrong.push(`${id}: ${name} has ${found.size} bytes, not ${sizeBytes}`)
    else if ((await sha256Of(path)) !== sha256) wrong.push(`${id}: ${name} has another SHA-256`)
  }
  if (manifest.id !== id) wrong.push(`${id}: the manifest is that of ${manifest.id}`)
  const checks = files
    .filter((file) => file.startsWith(`${database}/${id}/checks/`))
    .map((file) => file.slice(`${database}/${id}/checks/`.length))
  return { database, id, folder, manifest, checks, wrong }
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256")
  // A stream of a file gives buffers.
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest("hex")
}
