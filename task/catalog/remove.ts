import type { Context } from "../context.ts"
import { isBackupId } from "../core/backup-id.ts"
import { messageOf, PgstowError } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { type BackupName, type CatalogEntry, newestVerified, removeBackup } from "./catalog.ts"
import { findCopies, readCatalog } from "./find-backup.ts"
import { quoted } from "./nothing-found.ts"

export type RemoveOptions = {
  /** An id, or the beginning of one. */
  readonly id: string
  /** Needed only where backups of several databases have an id that begins so. */
  readonly database?: string | undefined
  /** The public keys of which one must have signed a backup for it to count as good, if there are any. */
  readonly signedBy?: readonly string[] | undefined
  /** Also the newest good backup of its database, and one that is pinned. */
  readonly force: boolean
  /** Asked before anything is removed, with every copy that would be; rejects where the answer is no. */
  readonly confirm: (copies: readonly [CatalogEntry, ...CatalogEntry[]]) => Promise<void>
}

export type RemoveResult = BackupName & { readonly storages: readonly RemovedCopy[] }

/** One copy, whose manifest went first. */
export type RemovedCopy = {
  readonly storage: string
  readonly freedBytes: number
  /** Why it is not removed, or not all of it. */
  readonly error: string | null
}

/**
 * Removes one backup from every storage that has it, each copy on its own: where one can't be removed, `error` says why.
 *
 * Throws a PgstowError, and removes nothing: "storage" where one can't be read, or a database's folder in one, since a copy may be there; "usage" where
 * it is the newest good backup of its database, or pinned, or not named by an id; and what findBackup throws.
 */
export async function remove(
  storages: readonly Storage[],
  { id, database, signedBy, force, confirm }: RemoveOptions,
  { now, signal, log }: Pick<Context, "now" | "signal" | "log">,
): Promise<RemoveResult> {
  if (id === "latest")
    throw new PgstowError("usage", "what is removed must be named by its id", { hint: "See `pgstow list`." })
  const catalog = await readCatalog(storages, { database, signedBy, warn: log.warn })
  if (catalog.storages.length < storages.length || catalog.unlisted.length > 0)
    throw new PgstowError("storage", "nothing was removed: a storage can't be read, and may have a copy", {
      hint: "Name with --storage only those that answer.",
    })
  const copies = findCopies(catalog, id, database)
  const [first] = copies
  if (!isBackupId(first.id))
    throw new PgstowError(
      "usage",
      `${quoted(first.id)} of ${quoted(first.database)} is not named by an id, and is never removed`,
      { hint: "Find out who put it there, then remove the folder by hand." },
    )
  const ofDatabase = catalog.entries.filter((entry) => entry.database === first.database)
  if (!force && newestGood(ofDatabase, now())?.id === first.id)
    throw new PgstowError("usage", `${first.id} is the newest good backup of ${first.database}`, {
      hint: "Make a new backup first, or say --force.",
    })
  if (!force) refusePinned(copies)
  await confirm(copies)
  const removed: RemovedCopy[] = []
  for (const { storage } of copies) {
    signal.throwIfAborted()
    removed.push(await removeCopy(storage, first))
  }
  return { database: first.database, id: first.id, storages: removed }
}

function refusePinned(copies: readonly CatalogEntry[]): void {
  const pinned = copies.find(({ pins }) => pins === undefined || pins.length > 0)
  if (!pinned) return
  const { id, storage, pins } = pinned
  if (pins === undefined)
    throw new PgstowError("usage", `whether ${id} is pinned in ${storage.url} can't be read`, {
      hint: "See why by `pgstow list`, or say --force.",
    })
  throw new PgstowError("usage", `${id} is pinned in ${storage.url}`, {
    hint: `See why by \`pgstow show ${id}\`; then unpin it (\`pgstow unpin ${id}\`), or say --force.`,
  })
}

async function removeCopy(storage: Storage, name: BackupName): Promise<RemovedCopy> {
  try {
    return { storage: storage.url, freedBytes: await removeBackup(storage, name), error: null }
  } catch (error) {
    if (!(error instanceof PgstowError) || error.kind !== "storage") throw error
    return { storage: storage.url, freedBytes: 0, error: messageOf(error) }
  }
}

/**
 * What must not be removed by mistake: the newest verified backup; where none is, the newest that was not found damaged;
 * else the newest, part of which may be all there is.
 *
 * @param entries newest first
 */
function newestGood(entries: readonly CatalogEntry[], now: Date): CatalogEntry | undefined {
  const undamaged = entries.find(({ manifest, state }) => manifest !== undefined && state !== "failed")
  return newestVerified(entries, now) ?? undamaged ?? entries[0]
}

/** What is to be said, and exited with, where a copy is not removed to its end. */
export function removeFailure({ id, storages }: RemoveResult): PgstowError | undefined {
  const left = storages.flatMap(({ error }) => error ?? [])
  if (left.length === 0) return undefined
  return new PgstowError("storage", `not all of ${id} was removed: ${left.join("; ")}`, {
    hint: "Fix what is wrong there, then remove it again. What is left without its manifest `pgstow cleanup` takes away.",
  })
}
