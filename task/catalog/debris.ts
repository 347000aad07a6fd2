import { abandonedNoteName, abandonedNoteTime } from "../core/abandoned-note.ts"
import { isBackupId, startOf } from "../core/backup-id.ts"
import { mapConcurrently } from "../core/map-concurrently.ts"
import { PgstowError } from "../errors.ts"
import { ObjectNotFoundError, type Storage, type StoredObject } from "../storage/storage.ts"
import { version } from "../version.ts"
import {
  type BackupName,
  backupFolders,
  checksFolder,
  keyOf,
  manifestName,
  objectsOf,
  requestsAtOnce,
  sizeOf,
} from "./catalog.ts"

/** What an interrupted backup or removal left: objects in a backup's folder without a manifest. */
export type Debris = BackupName & {
  readonly sizeBytes: number
  /** When an earlier run noted it first; null where none has. */
  readonly notedAt: string | null
  /** Whether it may be removed now: it was noted long enough ago. */
  readonly due: boolean
}

export type DebrisOptions = {
  /** Folders of backups started, and objects written, within so many hours are left alone. */
  readonly olderThanHours: number
  readonly database?: string | undefined
  /** What the catalog has just read a manifest of: never debris, whatever the storage says now. */
  readonly backups: readonly BackupName[]
}

/** How long before its removal debris must have been noted. */
export const notedHours = 12

const hourMs = 60 * 60 * 1000

/**
 * Finds debris. Nothing is debris unless the storage says in three ways, by a listing, by `stat` and by `read`, that
 * there is no manifest; and nothing is due unless an earlier run found the same and left a note. One wrong answer of
 * a storage then costs no backup.
 */
export async function findDebris(
  storage: Storage,
  now: Date,
  { olderThanHours, database, backups }: DebrisOptions,
): Promise<Debris[]> {
  const limit = new Date(now.getTime() - olderThanHours * hourMs)
  const read = new Set(backups.map((name) => keyOf(name, "")))
  // Where a database's folder can't be listed, nothing is debris.
  const { names: folders } = await backupFolders(storage, database)
  const names = folders.filter(
    (name) => isBackupId(name.id) && startOf(name.id) < limit && !read.has(keyOf(name, "")),
  )
  const found = await mapConcurrently(names, requestsAtOnce, async (name): Promise<Debris[]> => {
    const objects = await objectsOf(storage, name)
    const untouched = objects.every(
      (object) => noteTime(name, object) !== undefined || object.modifiedAt < limit,
    )
    if (objects.length === 0 || !untouched || !(await lacksManifest(storage, name, objects))) return []
    const notes = notesOf(name, objects).filter((time) => time <= now)
    const notedAt = notes.toSorted((a, b) => a.getTime() - b.getTime())[0]
    const due = notedAt !== undefined && now.getTime() - notedAt.getTime() >= notedHours * hourMs
    return [{ ...name, sizeBytes: sizeOf(objects), notedAt: notedAt?.toISOString() ?? null, due }]
  })
  return found.flat()
}

/** Notes debris, so that a later run may remove it. */
export async function noteDebris(storage: Storage, name: BackupName, now: Date): Promise<void> {
  const random = Array.from({ length: 8 }, () => Math.random())
  const note = { kind: "abandoned", at: now.toISOString(), by: `pgstow ${version}` }
  const key = keyOf(name, checksFolder + abandonedNoteName(now, random))
  await storage.put(key, Buffer.from(`${JSON.stringify(note, null, 2)}\n`), { ifAbsent: true })
}

/** Removes debris and gives the bytes that it took up. What has become a backup since is left alone. */
export async function removeDebris(storage: Storage, name: BackupName): Promise<number> {
  const objects = await objectsOf(storage, name)
  if (!(await lacksManifest(storage, name, objects))) return 0
  await storage.remove(objects.map(({ key }) => key))
  return sizeOf(objects)
}

/** @param objects what a listing of the backup's folder showed */
async function lacksManifest(
  storage: Storage,
  name: BackupName,
  objects: readonly StoredObject[],
): Promise<boolean> {
  const manifest = keyOf(name, manifestName)
  if (objects.some(({ key }) => key === manifest)) return false
  try {
    if (await storage.stat(manifest)) return false
    const stream = await storage.read(manifest)
    stream.destroy()
    return false
  } catch (error) {
    if (error instanceof ObjectNotFoundError) return true
    // Who is refused an answer knows nothing, and what is no file is not nothing.
    if (error instanceof PgstowError && (error.kind === "storage" || error.kind === "damaged")) return false
    throw error
  }
}

/** When a folder was noted: the later of what the note says, and of when the storage took it. */
function notesOf(name: BackupName, objects: readonly StoredObject[]): Date[] {
  return objects.flatMap((object) => {
    const time = noteTime(name, object)
    return time === undefined ? [] : [time > object.modifiedAt ? time : object.modifiedAt]
  })
}

/** The time that an object says in its name, if it is a note. */
function noteTime(name: BackupName, { key }: StoredObject): Date | undefined {
  const folder = keyOf(name, checksFolder)
  return key.startsWith(folder) ? abandonedNoteTime(key.slice(folder.length)) : undefined
}
