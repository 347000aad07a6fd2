import { formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import { startOf } from "../core/backup-id.ts"
import { proofOf } from "../core/check.ts"
import { databaseFolder } from "../core/database-folder.ts"
import { storedBytes } from "../core/manifest.ts"
import {
  type BackupState,
  planCleanup,
  type RetentionPolicy,
  retentionPolicySchema,
} from "../core/retention.ts"
import { messageOf, PgstowError } from "../errors.ts"
import { NotRemovedError, type Storage } from "../storage/storage.ts"
import {
  type BackupName,
  type CatalogEntry,
  type ReadOptions,
  readPins,
  readStorage,
  removeBackup,
} from "./catalog.ts"
import { clockAheadSeconds } from "./clocks.ts"
import { type Debris, findDebris, noteDebris, removeDebris } from "./debris.ts"

export type CleanupOptions = ReadOptions & {
  readonly policy: RetentionPolicy
  /** Decide, and touch nothing. */
  readonly dryRun: boolean
  /** After how long without a manifest a backup is given up. Longer than any takes: 48 unless given. */
  readonly abandonedAfterHours?: number
}

export type CleanupResult = { readonly dryRun: boolean; readonly storages: readonly StorageCleanup[] }

/** What was done in one storage; in a dry run, what would be. */
export type StorageCleanup = {
  readonly storage: string
  /** By database, newest first. */
  readonly decisions: readonly CleanupDecision[]
  readonly removedBackups: number
  /** What interrupted backups and removals left: what is due is removed, the rest is noted for a later run. */
  readonly debris: readonly Debris[]
  /** Uploads never finished that were ended; a dry run does not look for them. */
  readonly staleUploads: number
  /** What is to know of this storage: sentences. */
  readonly notes: readonly string[]
  readonly freedBytes: number
  /** By how much this machine's clock is ahead of the storage's; null where they agree to five minutes. */
  readonly clockAheadSeconds: number | null
  /** Why this storage was not cleaned to its end. */
  readonly error: string | null
}

export type CleanupDecision = BackupName & {
  /** "unreadable": its manifest or its checks can't be read, or it is not signed as it must be. Such a backup is always kept. */
  readonly state: BackupState | "unreadable"
  readonly storedBytes: number | null
  readonly keep: boolean
  readonly because: readonly string[]
}

/**
 * Applies the policy to every database in every storage, each on its own, and takes away what interrupted
 * backups left. A storage that fails does not stop the others: its `error` says why.
 */
export async function cleanup(
  storages: readonly Storage[],
  options: CleanupOptions,
  context: Pick<Context, "now" | "signal">,
): Promise<CleanupResult> {
  checkPolicy(options.policy)
  const cleaned: StorageCleanup[] = []
  for (const storage of storages) cleaned.push(await cleanStorage(storage, options, context))
  return { dryRun: options.dryRun, storages: cleaned }
}

/** Throws a usage error where a policy says nothing of what to keep. */
export function checkPolicy(policy: RetentionPolicy): void {
  if (!retentionPolicySchema.safeParse(policy).success)
    throw new PgstowError("usage", "no retention rule was given", {
      hint: "Give --keep-last, --keep-days, --keep-hourly, --keep-daily, --keep-weekly, --keep-monthly or --keep-yearly (PGSTOW_KEEP_LAST, …), for example: pgstow cleanup --keep-daily 7 --keep-weekly 4 --keep-monthly 12.",
    })
}

async function cleanStorage(
  storage: Storage,
  { policy, database, signedBy, dryRun, abandonedAfterHours = 48 }: CleanupOptions,
  { now, signal }: Pick<Context, "now" | "signal">,
): Promise<StorageCleanup> {
  const done: Unfinished = {
    storage: storage.url,
    decisions: [],
    removedBackups: 0,
    debris: [],
    staleUploads: 0,
    notes: [],
    freedBytes: 0,
    clockAheadSeconds: null,
    error: null,
  }
  /** Why not all was done. */
  const stayed: string[] = []
  /** What is locked stays, and does not keep anything else from going. */
  async function free(remove: () => Promise<number>): Promise<boolean> {
    signal.throwIfAborted()
    try {
      done.freedBytes += await remove()
      return true
    } catch (error) {
      if (!(error instanceof NotRemovedError)) throw error
      stayed.push(messageOf(error))
      return false
    }
  }
  try {
    const { entries: backups, unlisted } = await readStorage(storage, { database, signedBy })
    for (const each of unlisted)
      stayed.push(`the backups of ${formatName(each.database)} can't be listed: ${messageOf(each.problem)}`)
    // By a clock that is ahead, backups, and what is being written, would seem old.
    const ahead = clockAheadSeconds(storage, now())
    const at = (ahead !== null && ahead > 0 ? storage.clock() : undefined) ?? now()
    done.clockAheadSeconds = ahead
    done.decisions = decideCleanup(backups, policy, at)
    // The oldest first: an interruption leaves the newest of what was to go.
    for (const decision of done.decisions.filter(({ keep }) => !keep).toReversed()) {
      if (!dryRun && (await readPins(storage, decision)).length > 0) {
        done.decisions = done.decisions.map((each) =>
          each === decision ? { ...each, keep: true, because: ["pinned meanwhile"] } : each,
        )
        continue
      }
      const remove = async () => (dryRun ? (decision.storedBytes ?? 0) : removeBackup(storage, decision))
      if (await free(remove)) done.removedBackups += 1
    }
    done.debris = await findDebris(storage, at, { olderThanHours: abandonedAfterHours, database, backups })
    for (const debris of done.debris) {
      if (debris.due) await free(async () => (dryRun ? debris.sizeBytes : removeDebris(storage, debris)))
      else if (debris.notedAt === null && !dryRun) await noteDebris(storage, debris, at)
    }
    if (!dryRun) {
      const folder = database === undefined ? "" : `${databaseFolder(database)}/`
      const before = new Date(at.getTime() - abandonedAfterHours * 60 * 60 * 1000)
      const staleUploads = await storage.removeStaleUploads(folder, before)
      done.staleUploads = staleUploads ?? 0
      if (staleUploads === undefined) done.notes.push(noListNote)
    }
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof PgstowError)) throw error
    stayed.push(messageOf(error))
  }
  if (storage.keepsVersions()) done.notes.push(versionsNote)
  return { ...done, error: stayed.length === 0 ? null : stayed.join("; ") }
}

/** A StorageCleanup while it is filled. */
type Unfinished = { -readonly [Key in keyof Omit<StorageCleanup, "notes">]: StorageCleanup[Key] } & {
  readonly notes: string[]
}

const noListNote =
  "The service can't list unfinished uploads: let it end them itself, by a lifecycle rule for incomplete multipart uploads."
const versionsNote =
  "The bucket keeps versions: what was removed takes up its space until a lifecycle rule for noncurrent versions removes it."

/** What the policy says of every backup of a storage: by database, newest first. */
export function decideCleanup(
  entries: readonly CatalogEntry[],
  policy: RetentionPolicy,
  now: Date,
): CleanupDecision[] {
  const byDatabase = Map.groupBy(entries, ({ database }) => database)
  return [...byDatabase.keys()]
    .sort()
    .flatMap((database) => decideForDatabase(byDatabase.get(database) ?? [], policy, now))
}

function decideForDatabase(
  entries: readonly CatalogEntry[],
  policy: RetentionPolicy,
  now: Date,
): CleanupDecision[] {
  const unreadable = entries.flatMap(({ database, id, problem }): CleanupDecision[] =>
    problem === undefined
      ? []
      : [{ database, id, state: "unreadable", storedBytes: null, keep: true, because: [messageOf(problem)] }],
  )
  const readable = entries
    .flatMap((entry) => (entry.manifest === undefined || entry.problem ? [] : [entry]))
    .map((entry) => ({
      ...entry,
      startedAt: startOf(entry.id),
      proof: proofOf(entry.findings),
      isPinned: (entry.pins ?? []).length > 0,
      isPartial: entry.manifest.partial !== undefined,
    }))
  const decided = planCleanup(readable, policy, now).map(
    ({ backup: { database, id, state, manifest }, keep, because }) => ({
      database,
      id,
      state,
      storedBytes: storedBytes(manifest),
      keep,
      because,
    }),
  )
  return [...unreadable, ...decided]
}

/** What is to be said, and exited with, of storages that were not cleaned to their end. */
export function cleanupFailure({ storages }: CleanupResult): PgstowError | undefined {
  const unfinished = storages.filter(({ error }) => error !== null)
  if (unfinished.length === 0) return undefined
  const what = unfinished.map(({ storage, error }) => `${storage}: ${error}`).join("; ")
  return new PgstowError("storage", `not cleaned up to the end: ${what}`, {
    hint: "Fix the storage and run it again. Nothing was removed that is to be kept.",
  })
}
