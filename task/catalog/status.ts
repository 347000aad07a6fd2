import { formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import { startOf } from "../core/backup-id.ts"
import type { CheckKind } from "../core/check.ts"
import { partialInWords } from "../core/manifest.ts"
import { PgstowError } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import {
  type CatalogEntry,
  isAheadOf,
  listDatabases,
  newestVerified,
  type ReadOptions,
  readStorage,
} from "./catalog.ts"
import { clockAheadSeconds, describeClock } from "./clocks.ts"
import { placeInWords, type UnlistedPlace, unlistedPlace } from "./list.ts"
import { type BackupMeasures, measureBackups } from "./measure-backups.ts"
import { nothingFound } from "./nothing-found.ts"

export type StatusOptions = ReadOptions & {
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
  /** What it holds and what not, in words, where something was left out. */
  readonly partial: string | null
  readonly overdue: boolean
  /** The last drill of any of its backups, and how it ended; null where there was none. */
  readonly lastDrill: { readonly id: string; readonly kind: CheckKind; readonly at: string } | null
  /** The ids of backups that are dated in the future, which count for nothing. */
  readonly fromTheFuture: readonly string[]
  readonly measures: BackupMeasures
}

export type StatusResult = {
  readonly maxAgeHours: number
  /** All that were asked, also those that did not answer. */
  readonly storages: readonly string[]
  readonly databases: readonly DatabaseStatus[]
  /** The storages whose clocks differ from this machine's by more than five minutes. */
  readonly clocks: readonly ClockDifference[]
  /** Why there is nothing of what was asked for, for each storage that has nothing of it. */
  readonly empty: readonly { readonly storage: string; readonly why: string; readonly hint: string }[]
  /** What could not be listed: nothing is known of it. */
  readonly unlisted: readonly UnlistedPlace[]
}

/** How far this machine's clock is ahead of a storage's; negative where it is behind. */
export type ClockDifference = { readonly storage: string; readonly aheadSeconds: number }

/**
 * Looks for the newest verified backup of every database in each of `storages`, and at the clocks. A storage that does
 * not answer hides nothing of the others; rejects where none does.
 */
export async function status(
  storages: readonly Storage[],
  options: StatusOptions,
  context: Pick<Context, "now">,
): Promise<StatusResult> {
  const { result, unanswered } = await statusOrSilence(storages, options, context)
  if (unanswered) throw unanswered
  return result
}

/** The same for those who must report also that none answers: `unanswered` is then what the first fails of. */
export async function statusOrSilence(
  storages: readonly Storage[],
  { maxAgeHours, ...options }: StatusOptions,
  { now }: Pick<Context, "now">,
): Promise<{ readonly result: StatusResult; readonly unanswered: PgstowError | undefined }> {
  const found: DatabaseStatus[] = []
  const clocks: ClockDifference[] = []
  const empty: StatusResult["empty"][number][] = []
  const unlisted: UnlistedPlace[] = []
  let failure: PgstowError | undefined
  let answered = 0
  for (const storage of storages) {
    try {
      const place = await statusOf(storage, options, now, maxAgeHours)
      found.push(...place.databases)
      clocks.push(...place.clocks)
      empty.push(...place.empty)
      unlisted.push(...place.unlisted)
      answered += 1
    } catch (error) {
      if (!(error instanceof PgstowError) || error.kind !== "storage") throw error
      failure ??= error
      unlisted.push(unlistedPlace(storage, null, error))
    }
  }
  return {
    result: {
      maxAgeHours,
      storages: storages.map(({ url }) => url),
      databases: found,
      clocks,
      empty,
      unlisted,
    },
    unanswered: answered === 0 ? failure : undefined,
  }
}

/** What is known of one storage. */
async function statusOf(
  storage: Storage,
  options: ReadOptions,
  now: Context["now"],
  maxAgeHours: number,
): Promise<Omit<StatusResult, "maxAgeHours" | "storages">> {
  const { database } = options
  const { entries, unlisted } = await readStorage(storage, options)
  const hidden = new Set(unlisted.map((each) => each.database))
  const isEmpty = entries.length === 0 && unlisted.length === 0
  const none = isEmpty ? [await nothingFound(storage, database)] : []
  const names = isEmpty ? [] : database === undefined ? await listDatabases(storage) : [database]
  const at = now()
  const aheadSeconds = clockAheadSeconds(storage, at)
  const ageHoursOf = (startedAt: Date) => Math.max(0, at.getTime() - startedAt.getTime()) / 3_600_000
  const statuses = names
    .filter((name) => !hidden.has(name))
    .map((name): DatabaseStatus => {
      const backups = entries.filter((entry) => entry.database === name)
      const newest = newestVerified(backups, at)
      const startedAt = newest && startOf(newest.id)
      const ageHours = startedAt ? ageHoursOf(startedAt) : null
      return {
        storage: storage.url,
        database: name,
        id: newest?.id ?? null,
        startedAt: startedAt?.toISOString() ?? null,
        ageHours,
        partial: (newest?.manifest && partialInWords(newest.manifest)) ?? null,
        overdue: ageHours === null || ageHours > maxAgeHours,
        lastDrill: lastDrillOf(backups),
        fromTheFuture: backups.filter((backup) => isAheadOf(backup, at)).map(({ id }) => id),
        measures: measureBackups(backups, at),
      }
    })
  // One that does not answer just now may be the one that is wanted.
  const unread = statuses.flatMap(({ database, overdue: isLate }) => {
    const entry = entries.find((one) => one.database === database && one.problem?.kind === "storage")
    if (!isLate || entry?.problem === undefined || ageHoursOf(startOf(entry.id)) > maxAgeHours) return []
    return [{ database, problem: entry.problem }]
  })
  const unknown = new Set(unread.map(({ database }) => database))
  return {
    databases: statuses.filter(({ database }) => !unknown.has(database)),
    clocks: aheadSeconds === null ? [] : [{ storage: storage.url, aheadSeconds }],
    empty: none.map(({ message, hint = "" }) => ({ storage: storage.url, why: message, hint })),
    unlisted: [...unlisted, ...unread].map(({ database, problem }) =>
      unlistedPlace(storage, database, problem),
    ),
  }
}

function lastDrillOf(backups: readonly CatalogEntry[]): DatabaseStatus["lastDrill"] {
  const drills = backups.flatMap(({ id, drill }) => (drill ? [{ ...drill, id }] : []))
  const [last] = drills.toSorted((a, b) => b.at.getTime() - a.at.getTime())
  return last ? { id: last.id, kind: last.kind, at: last.at.toISOString() } : null
}

/**
 * What is to be said, and exited with, where a clock is wrong, a storage does not answer or has no backup, or one is
 * overdue. The clock goes first, since ages mean nothing by a wrong one.
 */
export function statusFailure({
  maxAgeHours,
  databases,
  clocks,
  empty,
  unlisted,
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
  const none = [
    ...unlisted.map((place) => `not known: ${placeInWords(place)}`),
    ...empty.map(({ why }) => why),
  ]
  const late =
    overdue.length > 0 ? [`no verified backup of the last ${maxAgeHours} hours: ${where.join(", ")}`] : []
  if (wrongClocks.length > 0)
    return new PgstowError("clock", [...wrongClocks, ...none, ...late].join("; "), {
      hint: "Set the clocks by NTP, here and where backups are made. A backup from the future counts for nothing until then.",
    })
  const hints = new Set(unlisted.flatMap(({ hint }) => hint ?? []))
  if (unlisted.length > 0)
    return new PgstowError("storage", [...none, ...late].join("; "), {
      hint: hints.size > 0 ? [...hints].join(" ") : undefined,
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
