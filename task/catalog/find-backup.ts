import { isBackupId, startOf } from "../core/backup-id.ts"
import { messageOf, PgstowError } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import {
  type CatalogEntry,
  newestFirst,
  type ReadableEntry,
  type ReadOptions,
  readStorage,
  type UnlistedDatabase,
} from "./catalog.ts"
import { listed, nothingFound, quoted } from "./nothing-found.ts"

/** What some storages hold. */
export type Catalog = {
  readonly storages: readonly Storage[]
  /** Why there is nothing of what was asked for, for each storage that has nothing of it. */
  readonly empty: readonly PgstowError[]
  /** The backups of all databases, or of the one asked for: newest first, copies in the order of the storages. */
  readonly entries: readonly CatalogEntry[]
  /** The databases of which a storage could not list the backups. */
  readonly unlisted: readonly UnlistedDatabase[]
  /** Of each storage that could not be read, why. */
  readonly unread: readonly PgstowError[]
}

export type Found = {
  readonly entry: ReadableEntry
  /** Newer ones that were asked for as well, but failed their last check or have no readable manifest. */
  readonly passedOver: readonly CatalogEntry[]
}

/**
 * Reads what all of `storages` hold. One that can't be read, or a database's folder in one, is left out, and `warn`
 * called: on a bad day another may still hold the backup. Rejects where none can be read.
 */
export async function readCatalog(
  storages: readonly Storage[],
  { warn, ...options }: ReadOptions & { readonly warn: (message: string) => void },
): Promise<Catalog> {
  const answers = await Promise.allSettled(
    storages.map(async (storage) => {
      const { entries, unlisted } = await readStorage(storage, options)
      const isEmpty = entries.length === 0 && unlisted.length === 0
      const empty = isEmpty ? [await nothingFound(storage, options.database)] : []
      return { storage, entries, unlisted, empty }
    }),
  )
  const read = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []))
  const unread: PgstowError[] = []
  for (const answer of answers) {
    if (answer.status === "fulfilled") continue
    if (read.length === 0 || !(answer.reason instanceof PgstowError)) throw answer.reason
    unread.push(answer.reason)
    warn(`looking only in the other storages: ${messageOf(answer.reason)}`)
  }
  const unlisted = read.flatMap(({ unlisted }) => unlisted)
  for (const { database, problem } of unlisted)
    warn(`the backups of ${quoted(database)} are not looked at: ${messageOf(problem)}`)
  const empty = read.flatMap(({ empty }) => empty)
  if (empty.length < read.length) for (const { message, hint } of empty) warn(`${message}: ${hint}`)
  return {
    storages: read.map(({ storage }) => storage),
    empty,
    unlisted,
    unread,
    entries: read.flatMap(({ entries }) => entries).sort(newestFirst),
  }
}

/**
 * Finds a backup: `wanted` is "latest", an id, the beginning of one, or a time: then it is the last one started
 * at or before that. Of several copies, and for "latest" or a time, one that failed its last check is taken
 * only where there is no better. `database` may be left out where only one can be meant.
 *
 * Throws a PgstowError: "notFound" with what there is instead, "usage" where several backups can be meant, or none,
 * the problem of its manifest where one is but that can't be read, of its database's folder where that can't be listed.
 */
export function findBackup(catalog: Catalog, wanted: string | Date, database?: string): Found {
  const matches = findCopies(catalog, wanted, database)
  const readable = matches.filter(({ manifest }) => manifest !== undefined)
  const entry = readable.find(({ state }) => state !== "failed") ?? readable[0] ?? matches[0]
  if (entry.manifest === undefined) throw entry.problem
  return { entry, passedOver: matches.filter(({ id }) => id > entry.id) }
}

/**
 * All that `wanted` can mean, readable or not: the copies of one backup where it is an id or the beginning of one, else
 * every backup that is not too new. Throws as findBackup does.
 */
export function findCopies(
  catalog: Catalog,
  wanted: string | Date,
  database?: string,
): readonly [CatalogEntry, ...CatalogEntry[]] {
  if (wanted === "")
    throw new PgstowError("usage", "the backup's id is empty", {
      hint: "Give latest, an id, or the beginning of one.",
    })
  const byId = typeof wanted === "string" && wanted !== "latest"
  const scope = scopeOf(catalog, database, byId)
  const meant = scope.entries.filter((entry) => isMeant(entry, wanted))
  // Whoever may write to the storage could add a folder whose name begins so.
  const whole = meant.filter(({ id }) => id === wanted)
  const matches = whole.length > 0 ? whole : meant
  const [first, ...others] = matches
  if (!first) throw notFound(scope, wanted)
  const names = new Set(matches.map((entry) => `${entry.id} of ${quoted(entry.database)}`))
  if (byId && names.size > 1)
    throw new PgstowError("usage", `${names.size} backups have an id that begins with ${wanted}`, {
      hint: `Say which: ${listed([...names])}.`,
    })
  return [first, ...others]
}

/** What is searched, and what that is called in messages. */
type Scope = { readonly entries: readonly CatalogEntry[]; readonly name: string }

/** The backups of `database`; without it those of the only one there is, or all where `several` may be searched. */
function scopeOf(catalog: Catalog, database: string | undefined, several: boolean): Scope {
  const { storages, entries, unlisted } = catalog
  const where = storages.map(({ url }) => url).join(", ")
  const backedUp = [...new Set([...entries, ...unlisted].map((each) => each.database))].sort()
  const hidden = unlisted.find((each) => database === undefined || each.database === database)
  const seen = entries.filter((entry) => database === undefined || entry.database === database)
  if (seen.length === 0 && hidden) throw hidden.problem
  if (entries.length === 0) throw noneOf(catalog)
  if (database !== undefined) {
    const name = `${quoted(database)} in ${where}`
    if (backedUp.includes(database))
      return { entries: entries.filter((entry) => entry.database === database), name }
    throw new PgstowError("notFound", `there is no backup of ${name}`, {
      hint: `Backups exist for ${listed(backedUp.map(quoted))}.`,
    })
  }
  if (backedUp.length > 1 && !several)
    throw new PgstowError("usage", `${where} has backups of ${backedUp.length} databases`, {
      hint: `Choose one with --database: ${listed(backedUp.map(quoted))}.`,
    })
  return { entries, name: several ? where : `${backedUp.map(quoted)} in ${where}` }
}

/** What is to be said where none of the storages holds what was asked for. */
export function noneOf({ empty }: Pick<Catalog, "empty">): PgstowError {
  const hints = new Set(empty.flatMap(({ hint }) => hint ?? []))
  return new PgstowError("notFound", empty.map(({ message }) => message).join("; "), {
    hint: [...hints].join(" "),
  })
}

function isMeant({ id }: CatalogEntry, wanted: string | Date): boolean {
  if (typeof wanted === "string" && wanted !== "latest") return id.startsWith(wanted)
  return isBackupId(id) && (wanted === "latest" || startOf(id) <= wanted)
}

function notFound({ entries, name }: Scope, wanted: string | Date): PgstowError {
  const ids = [...new Set(entries.map(({ id }) => id))]
  if (wanted instanceof Date)
    return new PgstowError("notFound", `no backup of ${name} was started by ${wanted.toISOString()}`, {
      hint: `The first is ${ids.at(-1)}.`,
    })
  const older = ids.findIndex((id) => id < wanted)
  const nearest = older === -1 ? ids.slice(-2) : ids.slice(Math.max(0, older - 2), older + 2)
  return new PgstowError("notFound", `there is no backup ${quoted(wanted)} of ${name}`, {
    hint: `The nearest are ${listed(nearest)}.`,
  })
}

/** Says which newer backups are not taken, though they were asked for as well. */
export function warnOfPassedOver(passedOver: Found["passedOver"], warn: (message: string) => void): void {
  for (const { id, state, problem } of passedOver) {
    const unread = problem?.kind === "signature" ? messageOf(problem) : "its manifest can't be read"
    warn(`passing over ${id}, which is newer: ${state === "failed" ? "it failed its check" : unread}`)
  }
}
