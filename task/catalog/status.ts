import { formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import { isBackupId, startOf } from "../core/backup-id.ts"
import { PgstowError } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { type CatalogEntry, databases, listBackups } from "./catalog.ts"

export type StatusOptions = {
  /** One database only; all of them without it. */
  readonly database?: string | undefined
  /** How old the newest verified backup may be. */
  readonly maxAgeHours: number
}

/** The newest verified backup of one database in one storage. */
export type DatabaseStatus = {
  readonly storage: string
  readonly database: string
  /** Null where no backup is verified. */
  readonly id: string | null
  readonly startedAt: string | null
  readonly ageHours: number | null
  readonly overdue: boolean
}

export type StatusResult = { readonly maxAgeHours: number; readonly databases: readonly DatabaseStatus[] }

/** Looks for the newest verified backup of every database in each of `storages`. */
export async function status(
  storages: readonly Storage[],
  { database, maxAgeHours }: StatusOptions,
  { now }: Pick<Context, "now">,
): Promise<StatusResult> {
  const found: DatabaseStatus[] = []
  for (const storage of storages) {
    const entries = await listBackups(storage, database)
    const names = database === undefined ? await databases(storage) : [database]
    for (const name of names) {
      const newest = newestVerified(entries.filter((entry) => entry.database === name))
      const ageHours =
        newest === undefined ? null : (now().getTime() - newest.startedAt.getTime()) / 3_600_000
      found.push({
        storage: storage.url,
        database: name,
        id: newest?.id ?? null,
        startedAt: newest?.startedAt.toISOString() ?? null,
        ageHours,
        overdue: ageHours === null || ageHours > maxAgeHours,
      })
    }
  }
  return { maxAgeHours, databases: found }
}

/** What is to be said, and exited with, where a backup is overdue, or where there is none at all. */
export function statusFailure({ maxAgeHours, databases }: StatusResult): PgstowError | undefined {
  const overdue = databases.filter((each) => each.overdue)
  if (databases.length > 0 && overdue.length === 0) return undefined
  const what = overdue.map(({ database, storage }) => `${formatName(database)} in ${storage}`)
  return new PgstowError(
    "overdue",
    databases.length === 0
      ? "there is no backup at all"
      : `no verified backup of the last ${maxAgeHours} hours: ${what.join(", ")}`,
    { hint: "See why the last run failed, or whether it ran; then back up." },
  )
}

/** @param entries newest first */
function newestVerified(entries: readonly CatalogEntry[]): { id: string; startedAt: Date } | undefined {
  const newest = entries.find(({ id, state, manifest }) => state === "verified" && manifest && isBackupId(id))
  return newest && { id: newest.id, startedAt: startOf(newest.id) }
}
