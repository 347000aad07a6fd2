import { formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import { startOf } from "../core/backup-id.ts"
import { PgstowError } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { isAheadOf, listBackups, listDatabases, newestVerified } from "./catalog.ts"
import { clockAheadSeconds, describeClock } from "./clocks.ts"
import { nothingFound } from "./nothing-found.ts"

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
  /** The ids of backups that are dated in the future, which count for nothing. */
  readonly fromTheFuture: readonly string[]
}

export type StatusResult = {
  readonly maxAgeHours: number
  readonly databases: readonly DatabaseStatus[]
  /** The storages whose clocks differ from this machine's by more than five minutes. */
  readonly clocks: readonly ClockDifference[]
  /** Why there is nothing of what was asked for, for each storage that has nothing of it. */
  readonly empty: readonly { readonly storage: string; readonly why: string; readonly hint: string }[]
}

/** How far this machine's clock is ahead of a storage's; negative where it is behind. */
export type ClockDifference = { readonly storage: string; readonly aheadSeconds: number }

/** Looks for the newest verified backup of every database in each of `storages`, and at the clocks. */
export async function status(
  storages: readonly Storage[],
  { database, maxAgeHours }: StatusOptions,
  { now }: Pick<Context, "now">,
): Promise<StatusResult> {
  const found: DatabaseStatus[] = []
  const clocks: ClockDifference[] = []
  const empty: StatusResult["empty"][number][] = []
  for (const storage of storages) {
    const entries = await listBackups(storage, database)
    if (entries.length === 0) {
      const { message, hint = "" } = await nothingFound(storage, database)
      empty.push({ storage: storage.url, why: message, hint })
    }
    const names =
      entries.length === 0 ? [] : database === undefined ? await listDatabases(storage) : [database]
    const at = now()
    const aheadSeconds = clockAheadSeconds(storage, at)
    if (aheadSeconds !== null) clocks.push({ storage: storage.url, aheadSeconds })
    for (const name of names) {
      const backups = entries.filter((entry) => entry.database === name)
      const newest = newestVerified(backups, at)
      const startedAt = newest && startOf(newest.id)
      const ageHours = startedAt ? Math.max(0, at.getTime() - startedAt.getTime()) / 3_600_000 : null
      found.push({
        storage: storage.url,
        database: name,
        id: newest?.id ?? null,
        startedAt: startedAt?.toISOString() ?? null,
        ageHours,
        overdue: ageHours === null || ageHours > maxAgeHours,
        fromTheFuture: backups.filter((backup) => isAheadOf(backup, at)).map(({ id }) => id),
      })
    }
  }
  return { maxAgeHours, databases: found, clocks, empty }
}

/**
 * What is to be said, and exited with, where a clock is wrong, a storage has no backup, or one is overdue. The clock
 * goes first, since ages mean nothing by a wrong one.
 */
export function statusFailure({
  maxAgeHours,
  databases,
  clocks,
  empty,
}: StatusResult): PgstowError | undefined {
  const wrongClocks = [
    ...clocks.map(({ storage, aheadSeconds }) => describeClock(storage, aheadSeconds)),
    ...databases.flatMap(({ database, storage, fromTheFuture }) =>
      fromTheFuture.length === 0
        ? []
        : `dated in the future: ${listed(fromTheFuture)} of ${formatName(database)} in ${storage}`,
    ),
  ]
  const overdue = databases.filter((each) => each.overdue)
  const where = overdue.map(({ database, storage }) => `${formatName(database)} in ${storage}`)
  const none = empty.map(({ why }) => why)
  const late =
    overdue.length > 0 ? [`no verified backup of the last ${maxAgeHours} hours: ${where.join(", ")}`] : []
  if (wrongClocks.length > 0)
    return new PgstowError("clock", [...wrongClocks, ...none, ...late].join("; "), {
      hint: "Set the clocks by NTP, here and where backups are made. A backup from the future counts for nothing until then.",
    })
  if (none.length > 0)
    return new PgstowError("notFound", [...none, ...late].join("; "), {
      hint: [...new Set(empty.map(({ hint }) => hint))].join(" "),
    })
  const [message] = late
  if (message === undefined) return undefined
  return new PgstowError("overdue", message, {
    hint: "See why the last run failed, or whether it ran; then back up.",
  })
}

const listedAtMost = 3

function listed(ids: readonly string[]): string {
  const more = ids.length - listedAtMost
  return ids.slice(0, listedAtMost).join(", ") + (more > 0 ? ` and ${more} more` : "")
}
