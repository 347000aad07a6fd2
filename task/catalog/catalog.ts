import { type BackupId, isBackupId, startOf } from "../core/backup-id.ts"
import {
  type Check,
  checkFileName,
  type Finding,
  findingOf,
  formatCheck,
  formatProblem,
  holdingDrill,
  holdingFinding,
  newFinding,
  parseCheck,
  stateOf,
} from "../core/check.ts"
import { databaseFolder, databaseOf } from "../core/database-folder.ts"
import { heldProof } from "../core/held-proof.ts"
import { formatManifest, type Manifest, ManifestError, parseManifest } from "../core/manifest.ts"
import { mapConcurrently } from "../core/map-concurrently.ts"
import { holdingPins, type Pin, type PinNote, pinNoteOf } from "../core/pin.ts"
import type { BackupState } from "../core/retention.ts"
import { PgstowError } from "../errors.ts"
import { listAcross } from "../storage/list-across.ts"
import { ObjectNotFoundError, type Storage, type StoredObject } from "../storage/storage.ts"
import { isFromTheFuture } from "./clocks.ts"
import { refuseUnsigned, splitSignature } from "./manifest-signature.ts"

/** Which backup: its folder in a storage. */
export type BackupName = { readonly database: string; readonly id: BackupId }

/** One backup in one storage. */
export type CatalogEntry = ReadableEntry | UnreadableEntry

type EntryBase = BackupName & {
  readonly storage: Storage
  readonly state: BackupState
  /** What checks found, in no certain order. */
  readonly findings: readonly Finding[]
  /** The finding that `state` comes from. */
  readonly finding: Finding | undefined
  /** What the drills found. */
  readonly drill: Finding | undefined
  /** The pins that hold: retention keeps a backup with any. Undefined where that is not known. */
  readonly pins: readonly Pin[] | undefined
}

export type ReadableEntry = EntryBase & {
  readonly manifest: Manifest
  /** Why it is not known what checks found: `state` is then "unverified", and may be wrong. */
  readonly problem?: PgstowError | undefined
}

/**
 * A backup whose manifest is damaged, of a newer format, that of another backup, not signed as it must be, or not to be
 * had from the storage: `problem` says which.
 */
export type UnreadableEntry = EntryBase & { readonly manifest?: undefined; readonly problem: PgstowError }

/** What one storage holds. */
export type StorageCatalog = {
  /** Newest first, readable or not. */
  readonly entries: readonly CatalogEntry[]
  /** The databases whose backups can't be listed, and why. */
  readonly unlisted: readonly UnlistedDatabase[]
  /** The folders that have no manifest: no backups, but what is left of one, or will be one. */
  readonly bare: readonly BackupName[]
}

export type UnlistedDatabase = { readonly database: string; readonly problem: PgstowError }

export type ReadOptions = {
  /** One database only; all of them without it. */
  readonly database?: string | undefined
  /** The public keys of which one must have signed a manifest; none where any manifest will do. */
  readonly signedBy?: readonly string[] | undefined
}

/** How long it counts that a storage has just answered. */
export const proofHoldsMs = 5_000

/** No manifest is larger: one of a thousand segments of tables with a thousand columns has some 20 MiB. */
export const maxManifestBytes = 64 * 1024 * 1024

export const requestsAtOnce = 8
export const manifestName = "manifest.json"
export const checksFolder = "checks/"

/** The key of an object of a backup, by its name below the backup's folder. */
export function keyOf({ database, id }: BackupName, objectName: string): string {
  return `${databaseFolder(database)}/${id}/${objectName}`
}

/** The databases that have a folder in the storage, sorted; one may be without any backup. */
export async function listDatabases(storage: Storage): Promise<string[]> {
  const folders = await storage.listFolders("")
  return folders.flatMap((folder) => databaseOf(folder) ?? []).sort()
}

/**
 * Every backup in the storage, or those of one database. A folder without a manifest is no backup, and not here. What
 * is wrong with one backup, or one database's folder, is its own problem; rejects only where the storage itself does
 * not answer.
 */
export async function readStorage(
  storage: Storage,
  { database, signedBy = [] }: ReadOptions = {},
): Promise<StorageCatalog> {
  const { names, unlisted } = await backupFolders(storage, database, { evenEmpty: true })
  const entries = await readEntries(storage, names, signedBy)
  const without = names.filter((_, index) => entries[index] === undefined)
  return {
    entries: entries.filter((entry) => entry !== undefined).sort(newestFirst),
    unlisted,
    // A bucket has no empty folders.
    bare: storage.listsAcrossFolders ? without : await thatHoldSomething(storage, without),
  }
}

/** The same, of whoever made them: newest first. Rejects also where a database's backups can't be listed. */
export async function listBackups(storage: Storage, database?: string): Promise<readonly CatalogEntry[]> {
  const { entries, unlisted } = await readStorage(storage, { database })
  for (const { problem } of unlisted) throw problem
  return entries
}

/**
 * The manifests of the last `count` backups of a database that were started before the one with this id and can be read:
 * newest first. Where there are `signedBy`, of those that one of these keys has signed; only those that are `like` it.
 */
export async function manifestsBefore(
  storage: Storage,
  { database, id }: BackupName,
  count: number,
  signedBy: readonly string[] = [],
  like: (earlier: Manifest) => boolean = () => true,
): Promise<Manifest[]> {
  const { names } = await backupFolders(storage, database)
  const earlier = names.filter((name) => isBackupId(name.id) && name.id < id)
  const newest = earlier.sort(newestFirst)
  const proveAnswering = answeringProof(storage)
  const found: Manifest[] = []
  for (let next = 0; next < newest.length && found.length < count; next += count) {
    const manifests = await mapConcurrently(newest.slice(next, next + count), requestsAtOnce, (name) =>
      manifestOrProblem(storage, name, signedBy, proveAnswering),
    )
    const readable = manifests.flatMap((each) =>
      each === undefined || each instanceof PgstowError ? [] : each,
    )
    found.push(...readable.filter(like))
  }
  return found.slice(0, count)
}

/** Sorts backups by their ids, the newest first, and those of one id by database. */
export function newestFirst(a: BackupName, b: BackupName): number {
  return compareText(b.id, a.id) || compareText(a.database, b.database)
}

/**
 * Reads the manifest of a backup. Throws an ObjectNotFoundError where there is none, a PgstowError of kind
 * "damaged" where it can't be made sense of or is that of another backup, and one of kind "signature" where none of
 * `signedBy` has signed it, if there are any.
 */
export async function readManifest(
  storage: Storage,
  name: BackupName,
  signedBy: readonly string[] = [],
): Promise<Manifest> {
  const key = keyOf(name, manifestName)
  const where = `${storage.url} ${key}`
  const bytes = await storage.readAtMost(key, maxManifestBytes + 1)
  if (bytes.length > maxManifestBytes) throw tooLarge(where, "Find out who wrote it: it was not pgstow.")
  const stored = splitSignature(bytes)
  if (signedBy.length > 0) refuseUnsigned(stored, signedBy, where)
  // Nothing is read but what was signed.
  const { signature: _, ...signed } = parse(stored.signed.toString(), where)
  const { signature } = stored
  const manifest = signature ? { signature: `${signature.signer} ${signature.value}`, ...signed } : signed
  if (manifest.id === name.id && manifest.database === name.database) return manifest
  const whose = `backup ${manifest.id} of ${JSON.stringify(manifest.database)}`
  throw new PgstowError("damaged", `${storage.url} ${key} is the manifest of ${whose}`, {
    hint: `Move it back to ${keyOf(manifest, "")}: a backup can only be read in its own folder.`,
  })
}

/**
 * Throws where a backup is no more, and where its storage can't tell: to be asked before a missing object counts as
 * damage, since it goes when the backup is removed.
 */
export async function proveThere(storage: Storage, name: BackupName): Promise<void> {
  try {
    await readManifest(storage, name)
  } catch (cause) {
    if (!(cause instanceof ObjectNotFoundError)) throw cause
    throw new PgstowError("notFound", `backup ${name.id} is no longer in ${storage.url}`, {
      cause,
      hint: "It was removed while it was read: list what there is.",
    })
  }
}

/**
 * The newest verified backup that can be read. One dated in the future is passed over: for as long as it lies ahead it
 * would hide that there is none since.
 *
 * @param entries newest first
 */
export function newestVerified(entries: readonly CatalogEntry[], now: Date): ReadableEntry | undefined {
  return entries
    .filter((entry) => entry.manifest !== undefined)
    .find((entry) => entry.state === "verified" && !isAheadOf(entry, now))
}

/** Whether a backup says that it was begun, or ended, in the future. */
export function isAheadOf({ id, manifest }: CatalogEntry, now: Date): boolean {
  const times = [
    ...(isBackupId(id) ? [startOf(id)] : []),
    ...(manifest ? [new Date(manifest.finishedAt)] : []),
  ]
  return times.some((time) => isFromTheFuture(time, now))
}

/** Makes a backup exist: the last step of writing it. Rejects with an ObjectExistsError where it does already. */
export async function putManifest(storage: Storage, manifest: Manifest): Promise<void> {
  const body = Buffer.from(formatManifest(manifest))
  if (body.length > maxManifestBytes)
    throw tooLarge(`the manifest of ${manifest.id}`, "Back up with fewer jobs: that makes fewer segments.")
  await storage.put(keyOf(manifest, manifestName), body, { ifAbsent: true })
}

/**
 * Puts the record of a check beside the backup, and gives its key. What it rejects with says what was found: nothing
 * else would.
 *
 * @param seen the backup's findings as they were before the check began: only what it knew of can it clear
 */
export async function putCheck(
  storage: Storage,
  name: BackupName,
  check: Check,
  seen: readonly Finding[],
): Promise<string> {
  const random = Array.from({ length: 8 }, () => Math.random())
  const finding = newFinding({ kind: check.kind, at: new Date(check.at) }, seen, random)
  const key = keyOf(name, checksFolder + checkFileName(finding))
  await storage.put(key, Buffer.from(formatCheck(check)), { ifAbsent: true }).catch((cause: unknown) => {
    if (cause instanceof PgstowError) throw notKept(name, storage, check, cause)
    throw cause
  })
  return key
}

function notKept(
  { id }: BackupName,
  { url }: Storage,
  { kind, problems }: Check,
  cause: PgstowError,
): PgstowError {
  const [first, ...others] = problems
  const more = others.length > 0 ? `, and ${others.length} more` : ""
  const found = first === undefined ? "nothing wrong was found" : `${formatProblem(first)}${more}`
  return new PgstowError(
    first === undefined ? cause.kind : "damaged",
    `${id} in ${url} was checked (${kind}: ${found}), and no record of that could be stored`,
    { cause, hint: cause.hint },
  )
}

/** What the checks of a backup found, in no certain order. */
export async function readFindings(storage: Storage, name: BackupName): Promise<Finding[]> {
  return (await readNotes(storage, name)).findings
}

/** The pins of a backup that hold, in no certain order. */
export async function readPins(storage: Storage, name: BackupName): Promise<Pin[]> {
  return holdingPins((await readNotes(storage, name)).pinNotes)
}

/** What the names of the files among a backup's checks say. */
type Notes = { readonly findings: Finding[]; readonly pinNotes: PinNote[] }

async function readNotes(storage: Storage, name: BackupName): Promise<Notes> {
  const folder = keyOf(name, checksFolder)
  return notesIn((await storage.listKeys(folder)).map((key) => key.slice(folder.length)))
}

function notesIn(names: readonly string[]): Notes {
  return {
    findings: names.flatMap((file) => findingOf(file) ?? []),
    pinNotes: names.flatMap((file) => pinNoteOf(file) ?? []),
  }
}

/** The record of one check of a backup; undefined where it can't be read, or is gone. */
export async function readCheck(
  storage: Storage,
  name: BackupName,
  finding: Finding,
): Promise<Check | undefined> {
  const key = keyOf(name, checksFolder + checkFileName(finding))
  const bytes = await storage.readAtMost(key, maxManifestBytes).catch((error: unknown) => {
    if (error instanceof ObjectNotFoundError) return undefined
    throw error
  })
  return bytes && parseCheck(bytes.toString())
}

/** The records of all checks of a backup, oldest first. Those that can't be read are left out. */
export async function readChecks(storage: Storage, name: BackupName): Promise<Check[]> {
  const keys = await storage.listKeys(keyOf(name, checksFolder))
  const checks = await mapConcurrently(keys, requestsAtOnce, async (key) =>
    parseCheck((await storage.readAtMost(key, maxManifestBytes)).toString()),
  )
  return checks.filter((check) => check !== undefined)
}

/**
 * Removes a backup: the manifest first, so that what an interruption leaves is debris and never looks like a
 * backup. Gives the bytes that it took up. Where the storage still has the manifest, whatever it says, the objects stay,
 * and it rejects.
 */
export async function removeBackup(storage: Storage, name: BackupName): Promise<number> {
  const objects = await objectsOf(storage, name)
  const manifestKey = keyOf(name, manifestName)
  await storage.remove([manifestKey])
  // Else it would look like a backup, and its objects be gone.
  if (await storage.stat(manifestKey))
    throw new PgstowError(
      "storage",
      `${storage.url} still has ${manifestKey}, whose removal it has confirmed`,
      {
        hint: "Nothing else of this backup was removed. Check what answers in place of the storage.",
      },
    )
  await storage.remove(objects.map(({ key }) => key).filter((key) => key !== manifestKey))
  return sizeOf(objects)
}

/**
 * What may be the folder of a backup: of one database, or of all. A database's folder that can't be listed is its own
 * problem; rejects only where the storage itself does not answer.
 */
export async function backupFolders(
  storage: Storage,
  database: string | undefined,
  options: { readonly evenEmpty?: boolean } = {},
): Promise<{ names: BackupName[]; unlisted: UnlistedDatabase[] }> {
  const databases = database === undefined ? await listDatabases(storage) : [database]
  const proveAnswering = answeringProof(storage)
  const found = await mapConcurrently(databases, requestsAtOnce, async (name) => {
    const folders = await storage
      .listFolders(`${databaseFolder(name)}/`, options)
      .catch((error: unknown) => problemOf(error, proveAnswering))
    return folders instanceof PgstowError
      ? { names: [], unlisted: [{ database: name, problem: folders }] }
      : { names: folders.map((id) => ({ database: name, id })), unlisted: [] }
  })
  return {
    names: found.flatMap(({ names }) => names),
    unlisted: found.flatMap(({ unlisted }) => unlisted),
  }
}

/** What there is of each backup, in the order of `names`; undefined of those that have no manifest. */
async function readEntries(
  storage: Storage,
  names: readonly BackupName[],
  signedBy: readonly string[],
): Promise<(CatalogEntry | undefined)[]> {
  const proveAnswering = answeringProof(storage)
  const manifestOf = (name: BackupName) => manifestOrProblem(storage, name, signedBy, proveAnswering)
  const notesOf = (name: BackupName) =>
    readNotes(storage, name).catch((error: unknown) => problemOf(error, proveAnswering))
  if (!storage.listsAcrossFolders)
    return mapConcurrently(names, requestsAtOnce, async (name) => {
      const manifest = await manifestOf(name)
      return manifest && entryOf(storage, name, manifest, await notesOf(name))
    })
  const manifests = await mapConcurrently(names, requestsAtOnce, manifestOf)
  // After the manifests, so that no check is missed of a backup that was finished meanwhile.
  const listed = await notesAcross(
    storage,
    names.filter((_, index) => manifests[index] !== undefined),
  )
  return mapConcurrently([...names.entries()], requestsAtOnce, async ([index, name]) => {
    const manifest = manifests[index]
    return manifest && entryOf(storage, name, manifest, listed.get(keyOf(name, "")) ?? (await notesOf(name)))
  })
}

/**
 * What the notes of several backups say, by the backups' folders, with one listing for each database. Those are missing
 * which it is better to look for singly, as are those of a backup whose manifest was not in the listing.
 */
async function notesAcross(storage: Storage, names: readonly BackupName[]): Promise<Map<string, Notes>> {
  const databases = [...Map.groupBy(names, ({ database }) => database)]
  const listings = await mapConcurrently(databases, requestsAtOnce, async ([database, backups]) => {
    const found = await listAcross(
      storage,
      `${databaseFolder(database)}/`,
      backups.map(({ id }) => id),
      (name) => name === manifestName || name.startsWith(checksFolder),
    )
    return [...(found ?? [])].map(([id, listed]) => ({ name: { database, id }, listed }))
  })
  return new Map(
    listings
      .flat()
      .filter(({ listed }) => listed.includes(manifestName))
      .map(({ name, listed }) => {
        const notes = listed.filter((each) => each !== manifestName)
        return [keyOf(name, ""), notesIn(notes.map((each) => each.slice(checksFolder.length)))]
      }),
  )
}

/** The folders that are not empty; where that can't be looked into, it may hold anything. */
async function thatHoldSomething(storage: Storage, names: readonly BackupName[]): Promise<BackupName[]> {
  const found = await mapConcurrently(names, requestsAtOnce, async (name) => {
    try {
      for await (const _ of storage.list(keyOf(name, ""))) return true
      return false
    } catch (error) {
      if (error instanceof PgstowError) return true
      throw error
    }
  })
  return names.filter((_, index) => found[index])
}

async function manifestOrProblem(
  storage: Storage,
  name: BackupName,
  signedBy: readonly string[],
  proveAnswering: () => Promise<void>,
): Promise<Manifest | PgstowError | undefined> {
  return readManifest(storage, name, signedBy).catch((error: unknown) => {
    if (error instanceof ObjectNotFoundError) return undefined
    return problemOf(error, proveAnswering)
  })
}

function entryOf(
  storage: Storage,
  name: BackupName,
  manifest: Manifest | PgstowError,
  notes: Notes | PgstowError,
): CatalogEntry {
  const known = notes instanceof PgstowError ? [] : notes.findings
  const pins = notes instanceof PgstowError ? undefined : holdingPins(notes.pinNotes)
  const finding = holdingFinding(known)
  const drill = holdingDrill(known)
  const entry = { storage, ...name, state: stateOf(finding), findings: known, finding, drill, pins }
  if (manifest instanceof PgstowError) return { ...entry, problem: manifest }
  return notes instanceof PgstowError ? { ...entry, manifest, problem: notes } : { ...entry, manifest }
}

/** Gives `error` where it is the problem of one backup; throws it where all of the storage has it. */
async function problemOf(error: unknown, proveAnswering: () => Promise<void>): Promise<PgstowError> {
  if (!(error instanceof PgstowError)) throw error
  if (error.kind === "damaged" || error.kind === "signature") return error
  if (error.kind !== "storage") throw error
  await proveAnswering()
  return error
}

/** What throws where the storage does not answer. */
function answeringProof(storage: Storage): () => Promise<void> {
  return heldProof(() => storage.listFolders(""), proofHoldsMs)
}

function tooLarge(what: string, hint: string): PgstowError {
  const limit = `${maxManifestBytes / 1024 / 1024} MiB`
  return new PgstowError("damaged", `${what} is larger than ${limit}, which no manifest may be`, { hint })
}

/** Parses a manifest's text; `where` names it in errors. */
function parse(text: string, where: string): Manifest {
  try {
    return parseManifest(text)
  } catch (cause) {
    if (!(cause instanceof ManifestError)) throw cause
    const hint =
      cause.reason === "newer"
        ? "Read this backup with the pgstow that wrote it, or a newer one."
        : "Its objects may be whole: FORMAT.md says how to restore them without a manifest."
    throw new PgstowError("damaged", `${where} can't be read`, { cause, hint })
  }
}

/** All objects in a backup's folder. Throws a RangeError where the name has no id. */
export async function objectsOf(storage: Storage, name: BackupName): Promise<StoredObject[]> {
  // Anything but an id here could be the folder of many backups.
  if (!isBackupId(name.id)) throw new RangeError(`not a backup id: ${JSON.stringify(name.id)}`)
  return Array.fromAsync(storage.list(keyOf(name, "")))
}

export function sizeOf(objects: readonly StoredObject[]): number {
  return objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}
