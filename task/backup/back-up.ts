import { manifestsBefore } from "../catalog/catalog.ts"
import { clockAheadSeconds, describeClock } from "../catalog/clocks.ts"
import { formatDuration, formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import {
  type Comparison,
  compareBackups,
  comparedBackups,
  isSlow,
  shrinkWarnings,
} from "../core/compare-backups.ts"
import { type Manifest, partialInWords, rawBytes, storedBytes } from "../core/manifest.ts"
import { messageOf, PgstowError } from "../errors.ts"
import { databaseIn } from "../postgres/connection.ts"
import { LockWaitError } from "../postgres/dump-failure.ts"
import type { BackupOptions } from "./options.ts"
import { probeStorages } from "./probe-storages.ts"
import { type BackupCopy, copiesOf } from "./read-back.ts"
import { writeBackup } from "./write-backup.ts"

export type BackupResult = {
  readonly id: string
  readonly database: string
  /** What it holds and what not, in words, where something was left out. */
  readonly partial: string | null
  readonly storedBytes: number
  readonly rawBytes: number
  /** From the start until the manifests were written; reading back comes on top. */
  readonly seconds: number
  readonly storages: readonly BackupCopy[]
  /** What the backup before took up; null where there is none that could be read. */
  readonly lastStoredBytes: number | null
  /** What is usual, by the last ones of the same choice of tables; null where none could be read. */
  readonly comparison: Comparison | null
  /** What is not in the backup, and what looks as if data was lost since the one before, a sentence each. */
  readonly warnings: readonly string[]
}

/**
 * Backs up one database into every storage, in one pass over its data. A storage that fails is left out while the
 * others go on; `backupFailure` reports it. One that could not take anything is found out before the database is
 * asked for anything.
 *
 * Where somebody comes to wait for a table that the backup has locked, and has still to lock in another session,
 * neither would ever get on: the backup releases its locks and starts over once, in one stream, which takes all its locks at
 * the beginning.
 *
 * Rejects where no storage holds the backup: then none has a manifest, and what was stored is removed as far as
 * the writer may.
 */
export async function backup(options: BackupOptions, context: Context): Promise<BackupResult> {
  const { storages } = options
  const name = options.name ?? databaseIn(options.connection)
  const unable = name === undefined ? undefined : await probeStorages(storages, name, context)
  const { manifest, failures, warnings } = await writeBackup(options, unable, context).catch(
    (error: unknown) => {
      if (!(error instanceof LockWaitError) || context.signal.aborted) throw error
      context.log.warn(`${error.message}: the backup starts over, in one stream`)
      return writeBackup({ ...options, jobs: 1 }, unable, context)
    },
  )
  for (const storage of storages) {
    const aheadSeconds = failures.has(storage) ? null : clockAheadSeconds(storage, context.now())
    if (aheadSeconds !== null) context.log.warn(`${describeClock(storage.url, aheadSeconds)}: set it by NTP`)
  }
  const copies = await copiesOf(manifest, { storages, failures, verify: options.verify }, context)
  const earlier = await compareWithEarlier(manifest, options, context)
  return {
    id: manifest.id,
    database: manifest.database,
    partial: partialInWords(manifest) ?? null,
    storedBytes: storedBytes(manifest),
    rawBytes: rawBytes(manifest),
    seconds: (Date.parse(manifest.finishedAt) - Date.parse(manifest.startedAt)) / 1000,
    storages: copies,
    lastStoredBytes: earlier.lastStoredBytes,
    comparison: earlier.comparison,
    warnings: [...warnings, ...earlier.warnings],
  }
}

/** Compares a backup with the last ones. Without the right to read the storages there is nothing to compare. */
async function compareWithEarlier(
  manifest: Manifest,
  { storages, signedBy, verify, shrinkWarning }: BackupOptions,
  { log }: Context,
): Promise<Pick<BackupResult, "lastStoredBytes" | "comparison" | "warnings">> {
  for (const storage of verify ? storages : []) {
    try {
      const earlier = await manifestsBefore(
        storage,
        manifest,
        comparedBackups,
        signedBy,
        (one) => partialInWords(one) === partialInWords(manifest),
      )
      const [last] = earlier
      if (!last) continue
      const comparison = compareBackups(manifest, earlier)
      const warnings = [...shrinkWarnings(manifest, earlier, shrinkWarning), ...slowWarnings(comparison)]
      for (const warning of warnings) log.warn(warning)
      return { lastStoredBytes: storedBytes(last), comparison, warnings }
    } catch (error) {
      log.debug(`not compared with earlier backups: ${messageOf(error)}`)
    }
  }
  return { lastStoredBytes: null, comparison: null, warnings: [] }
}

function slowWarnings(comparison: Comparison | null): string[] {
  if (comparison === null || !isSlow(comparison)) return []
  const { own, usual } = comparison
  return [
    `It took ${formatDuration(own.seconds)}, and the last ones about ${formatDuration(usual.seconds)}: it read at less than half their rate.`,
  ]
}

/** The failure to report, and to exit with, where a backup is not good in every storage. */
export function backupFailure({ id, database, storages }: BackupResult): PgstowError | undefined {
  const bad = storages.filter(({ error }) => error !== null)
  if (bad.length === 0) return undefined
  const what = bad.map(({ storage, state, error }) => `${storage}: ${state}: ${error}`).join("; ")
  const damaged = bad.some(({ state }) => state === "damaged")
  const unread = bad.every(({ state }) => state === "stored")
  return new PgstowError(
    damaged ? "damaged" : bad.length < storages.length ? "partial" : "storage",
    `backup ${id} of ${formatName(database)} is not good everywhere: ${what}`,
    {
      hint: unread
        ? "Verify it from where it may be read; --no-verify says that this is not to be tried here."
        : "Fix the storage and back up again; the good copies stay.",
    },
  )
}
