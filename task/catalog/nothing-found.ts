import { isBackupId } from "../core/backup-id.ts"
import { databaseFolder, databaseOf } from "../core/database-folder.ts"
import { mapConcurrently } from "../core/map-concurrently.ts"
import { PgstowError } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { manifestName, requestsAtOnce } from "./catalog.ts"

/**
 * Says why a storage that answers holds no backup, or none of `database`: its directory does not exist, there are those
 * of other databases, or the backups are below it or beside it. Resolves to a PgstowError "notFound".
 */
export async function nothingFound(storage: Storage, database?: string): Promise<PgstowError> {
  if (!(await storage.exists())) {
    const isBucket = storage.url.startsWith("s3:")
    const what = isBucket
      ? `there is nothing in ${storage.url}`
      : `the directory ${storage.url} does not exist`
    const hint = hintAt(await placesAbove(storage))
    const otherwise = isBucket ? makeOne : "Correct the path, or mount the disk that it is on."
    return new PgstowError("notFound", what, { hint: hint ?? otherwise })
  }
  const there = await databasesThere(storage)
  if (database !== undefined && there.length > 0)
    return new PgstowError("notFound", `there is no backup of ${quoted(database)} in ${storage.url}`, {
      hint: `Backups exist for ${listed(there.map(quoted))}.`,
    })
  const below = await placesIn(storage)
  const hint =
    below.length > 0
      ? `Backups were found below ${listed(below.map(({ prefix }) => prefix))}: add that to the storage's URL.`
      : hintAt(await placesAbove(storage))
  const what = database === undefined ? "" : ` of ${quoted(database)}`
  return new PgstowError("notFound", `there is no backup${what} in ${storage.url}`, { hint: hint ?? makeOne })
}

/** The databases that have a backup in the storage, by the names of their folders alone. */
async function databasesThere(storage: Storage): Promise<string[]> {
  const names = (await storage.listFolders("")).flatMap((folder) => databaseOf(folder) ?? [])
  const found = await mapConcurrently(names, requestsAtOnce, async (name) => {
    const folders = await storage.listFolders(`${databaseFolder(name)}/`)
    return folders.some(isBackupId) ? [name] : []
  })
  return found.flat().sort()
}

const makeOne = "Make one with pgstow backup, or check that this is the right storage."

/** Somewhere in a storage: what is below `prefix` there looks like a storage of its own. */
type Place = { readonly storage: Storage; readonly prefix: string }

function hintAt(places: readonly Place[]): string | undefined {
  if (places.length === 0) return undefined
  return `Backups were found in ${listed(places.map(urlOf))}.`
}

function urlOf({ storage: { url }, prefix }: Place): string {
  const isPath = !/^[a-z0-9]+:/i.test(url)
  const folder = isPath ? prefix.slice(0, -1) : prefix.slice(0, -1).replaceAll("%", "%25")
  if (folder === "") return url
  const [place = "", parameters] = isPath ? [url] : url.split("?")
  return `${place}/${folder}${parameters === undefined ? "" : `?${parameters}`}`
}

/** A bucket may be large, and a directory's neighbours may not be ours: enough to find what a typo hides. */
const limits = { levels: 3, folders: 300, ms: 5_000 }

/** The places that hold backups in the nearest one above the storage that exists. */
async function placesAbove(storage: Storage): Promise<Place[]> {
  for (let above = storage.parent(); above; ) {
    const place: Storage = above
    above = place.parent()
    try {
      if (await unlessRefused(place.exists())) return await placesIn(place)
    } finally {
      place.close()
    }
  }
  return []
}

/** The places in a storage that hold backups, itself included. What can't be looked into holds none. */
async function placesIn(storage: Storage): Promise<Place[]> {
  const until = performance.now() + limits.ms
  const prefixes = new Set<string>()
  let left = limits.folders
  let folders = [""]
  for (let level = 0; level <= limits.levels && folders.length > 0; level++) {
    const inside = await mapConcurrently(folders, requestsAtOnce, async (folder) => {
      if (left-- <= 0 || performance.now() > until) return []
      const names = await unlessRefused(storage.listFolders(folder))
      const newest = names?.filter(isBackupId).at(-1)
      if (newest === undefined) return (names ?? []).map((name) => `${folder}${name}/`)
      // At the top it is a database's own folder: its parent is the place, and found from there.
      if (folder !== "" && (await unlessRefused(storage.stat(`${folder}${newest}/${manifestName}`))))
        prefixes.add(folder.replace(/[^/]+\/$/, ""))
      return []
    })
    folders = inside.flat()
  }
  return [...prefixes].sort().map((prefix) => ({ storage, prefix }))
}

async function unlessRefused<Answer>(answer: Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof PgstowError && (error.kind === "storage" || error.kind === "damaged"))
      return undefined
    throw error
  }
}

const listedAtMost = 10

export function listed(names: readonly string[]): string {
  const more = names.length - listedAtMost
  return names.slice(0, listedAtMost).join(", ") + (more > 0 ? ` and ${more} more` : "")
}

/** A name between quotes, with control characters made visible. */
export function quoted(name: string): string {
  return JSON.stringify(name)
}
