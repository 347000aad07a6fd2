import {
  type BackupName,
  type CatalogEntry,
  isAheadOf,
  listDatabases,
  newestFirst,
  type ReadOptions,
  readCheck,
  readStorage,
  requestsAtOnce,
} from "../catalog/catalog.ts"
import { decideCleanup } from "../catalog/clean-up.ts"
import { noneOf } from "../catalog/find-backup.ts"
import { type UnlistedPlace, unlistedPlace } from "../catalog/list.ts"
import { nothingFound } from "../catalog/nothing-found.ts"
import type { Context } from "../context.ts"
import { isBackupId, startOf } from "../core/backup-id.ts"
import { type Check, formatProblem } from "../core/check.ts"
import { partialInWords, rawBytes, storedBytes } from "../core/manifest.ts"
import { mapConcurrently } from "../core/map-concurrently.ts"
import type { RetentionPolicy } from "../core/retention.ts"
import { messageOf, PgstowError } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { version } from "../version.ts"
import { outlookOf } from "./growth.ts"
import { bestOf, stateOfCopy } from "./mark.ts"
import { nightsOf } from "./nights.ts"
import type {
  Aged,
  DatabaseReport,
  ReportData,
  ReportedBackup,
  ReportedDrill,
  ReportedProblem,
} from "./report-data.ts"

export type ReportOptions = ReadOptions & {
  /** Null where nothing says what to keep. */
  readonly policy: RetentionPolicy | null
  /** How old the newest verified backup may be. */
  readonly maxAgeHours: number
  /** The same of databases that have limits of their own. */
  readonly ownLimits?: ReadonlyMap<string, OwnLimits>
}

export type OwnLimits = { readonly policy?: RetentionPolicy; readonly maxAgeHours?: number }

/** So many of the last drills, and of the last problems, are read of each database. */
const drillsShown = 52
const problemsShown = 12

/** A folder without a manifest that is younger may be a backup that is still being written. */
const underWayMs = 24 * 60 * 60 * 1000

/**
 * Reads what the storages hold, of one database or of all. What can't be read is said and hides nothing of the rest,
 * as in `list`; rejects as that does: with a PgstowError "notFound" where all have answered and none has any backup,
 * and where there is nothing to show since none of those that may have some answers.
 *
 * Of each database's manifests only what is reported stays in memory.
 */
export async function collect(
  storages: readonly Storage[],
  { policy, maxAgeHours, ownLimits, ...options }: ReportOptions,
  { now, signal }: Pick<Context, "now" | "signal">,
): Promise<ReportData> {
  const at = now()
  const limitsOf = (database: string) => ({ policy, maxAgeHours, ...ownLimits?.get(database) })
  const copies = new Map<string, Copies>()
  const unlisted: UnlistedPlace[] = []
  const empty: PgstowError[] = []
  const emptyOf: ReportData["empty"][number][] = []
  let failure: PgstowError | undefined
  const fail = (storage: Storage, database: string | null, problem: PgstowError) => {
    failure ??= problem
    unlisted.push(unlistedPlace(storage, database, problem))
  }
  for (const [index, storage] of storages.entries()) {
    try {
      const names = options.database === undefined ? await listDatabases(storage) : [options.database]
      let found = 0
      for (const database of names) {
        signal.throwIfAborted()
        const read = await readDatabase(
          storage,
          index,
          { ...options, database },
          limitsOf(database).policy,
          at,
        )
        for (const { problem } of read.unlisted) fail(storage, database, problem)
        found += read.copies.backups.length + read.unlisted.length
        if (read.copies.backups.length > 0) copies.set(database, joined(copies.get(database), read.copies))
      }
      if (found > 0) continue
      const none = await nothingFound(storage, options.database)
      empty.push(none)
      emptyOf.push({ storage: storage.url, why: none.message })
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof PgstowError) || error.kind !== "storage") throw error
      fail(storage, null, error)
    }
  }
  if (empty.length === storages.length) throw noneOf({ empty })
  if (copies.size === 0 && failure) throw failure
  return {
    madeAt: at.toISOString(),
    by: `pgstow ${version}`,
    maxAgeHours,
    policy,
    ...([...copies.keys()].some((database) => ownLimits?.has(database)) ? { limitsVary: true } : {}),
    storages: storages.map(({ url }) => url),
    unlisted,
    empty: emptyOf,
    databases: [...copies]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([database, found]) => describe(database, found, limitsOf(database), at)),
  }
}

/** What was read of one database, of one storage or of several. */
type Copies = {
  readonly backups: readonly (ReportedBackup & { readonly isAhead: boolean; readonly isVerified: boolean })[]
  readonly drills: readonly ReportedDrill[]
  readonly problems: readonly ReportedProblem[]
  /** When backups were begun that have no manifest and are not under way any more. */
  readonly unfinished: readonly string[]
}

function joined(one: Copies | undefined, other: Copies): Copies {
  if (one === undefined) return other
  return {
    backups: [...one.backups, ...other.backups],
    drills: [...one.drills, ...other.drills],
    problems: [...one.problems, ...other.problems],
    unfinished: [...one.unfinished, ...other.unfinished],
  }
}

async function readDatabase(
  storage: Storage,
  index: number,
  options: ReadOptions & { readonly database: string },
  policy: RetentionPolicy | null,
  at: Date,
) {
  const { entries, unlisted, bare } = await readStorage(storage, options)
  const decisions = policy === null ? [] : decideCleanup(entries, policy, at)
  const decided = new Map(decisions.map(({ id, keep, because }) => [id, { keep, because }]))
  const backups = entries.map((entry) => {
    const { id, manifest, pins } = entry
    const pinned = pins === undefined ? null : pins.length > 0
    const state = stateOfCopy(entry)
    return {
      id,
      startedAt: isBackupId(id) ? startOf(id).toISOString() : null,
      seconds: manifest ? (Date.parse(manifest.finishedAt) - Date.parse(manifest.startedAt)) / 1000 : null,
      storedBytes: manifest ? storedBytes(manifest) : null,
      rawBytes: manifest ? rawBytes(manifest) : null,
      rows: manifest?.tableRows?.reduce((sum, { rows }) => sum + rows, 0) ?? null,
      partial: (manifest && partialInWords(manifest)) ?? null,
      state,
      copies: [{ storage: index, state, pinned, kept: decided.get(id) ?? null }],
      isAhead: isAheadOf(entry, at),
      isVerified: manifest !== undefined && entry.state === "verified",
    }
  })
  const checked = await checksOf(storage, index, entries)
  const unread = entries
    .filter(({ problem }) => problem !== undefined)
    .slice(0, problemsShown)
    .map(({ id, problem }) => ({
      at: isBackupId(id) ? startOf(id).toISOString() : null,
      id,
      storages: [index],
      what: messageOf(problem),
    }))
  const ahead = backups
    .filter(({ isAhead }) => isAhead)
    .slice(0, problemsShown)
    .map(({ id, startedAt }) => ({
      at: startedAt,
      id,
      storages: [index],
      what: "It is dated in the future: a clock is, or was, wrong. It counts for nothing.",
    }))
  const abandoned = abandonedOf(bare, at)
  return {
    unlisted,
    copies: {
      backups,
      drills: checked.drills,
      unfinished: abandoned.map(({ startedAt }) => startedAt),
      problems: [
        ...checked.problems,
        ...unread,
        ...ahead,
        ...abandoned.slice(0, problemsShown).map(({ id, startedAt }) => ({
          at: startedAt,
          id,
          storages: [index],
          what: "It has no manifest: the backup, or its removal, was interrupted.",
        })),
      ],
    },
  }
}

/** The folders without a manifest that are older than any that is still being written, newest first. */
function abandonedOf(
  bare: readonly BackupName[],
  at: Date,
): { readonly id: string; readonly startedAt: string }[] {
  return bare.toSorted(newestFirst).flatMap(({ id }) => {
    if (!isBackupId(id)) return []
    const startedAt = startOf(id)
    return at.getTime() - startedAt.getTime() > underWayMs ? [{ id, startedAt: startedAt.toISOString() }] : []
  })
}

/** The records of the last drills, and of the last checks that failed: no others are read. */
async function checksOf(
  storage: Storage,
  index: number,
  entries: readonly CatalogEntry[],
): Promise<Pick<Copies, "drills" | "problems">> {
  const findings = entries
    .flatMap((entry) => entry.findings.map((finding) => ({ entry, finding })))
    .sort((a, b) => b.finding.at.getTime() - a.finding.at.getTime())
  const wanted = new Set([
    ...findings.filter(({ finding }) => finding.kind.startsWith("drill")).slice(0, drillsShown),
    ...findings.filter(({ finding }) => finding.kind.endsWith("failed")).slice(0, problemsShown),
  ])
  const read = await mapConcurrently([...wanted], requestsAtOnce, async ({ entry, finding }) => ({
    id: entry.id,
    finding,
    check: await readCheck(storage, entry, finding).catch((error: unknown) => {
      if (error instanceof PgstowError && error.kind === "storage") return error
      throw error
    }),
  }))
  return {
    drills: read.flatMap(({ id, check }) =>
      check === undefined || check instanceof PgstowError ? [] : drillIn(check, id, index),
    ),
    problems: read.flatMap(({ id, finding, check }): ReportedProblem[] => {
      if (check === undefined) {
        const what = `${finding.kind}: its record can't be read`
        return [{ at: finding.at.toISOString(), id, storages: [index], what }]
      }
      if (check instanceof PgstowError) return [{ at: null, id, storages: [index], what: messageOf(check) }]
      const { kind, at, problems } = check
      return problems.length === 0 ? [] : [{ at, id, storages: [index], what: inWords(kind, problems) }]
    }),
  }
}

function drillIn({ kind, at, drill }: Check, id: string, storage: number): ReportedDrill[] {
  if (kind !== "drilled" && kind !== "drill-failed") return []
  return [
    {
      id,
      storage,
      at,
      good: kind === "drilled",
      restoreSeconds: drill?.restoreSeconds ?? null,
      rows: drill?.rows ?? null,
      server: drill?.server ?? null,
    },
  ]
}

const problemsNamed = 3

function inWords(kind: string, problems: Check["problems"]): string {
  const named = problems.slice(0, problemsNamed).map(formatProblem)
  const others = problems.length - named.length
  return `${kind}: ${[...named, ...(others > 0 ? [`and ${others} more`] : [])].join("; ")}`
}

function describe(
  database: string,
  { backups: read, drills, problems, unfinished }: Copies,
  { policy, maxAgeHours }: Pick<ReportOptions, "policy" | "maxAgeHours">,
  at: Date,
): DatabaseReport {
  const ahead = new Set(read.filter(({ isAhead }) => isAhead).map(({ id }) => id))
  const backups = [...Map.groupBy(read, ({ id }) => id).values()]
    .map(asOne)
    .sort((a, b) => newestFirst({ database, id: a.id }, { database, id: b.id }))
  const present = backups.filter(({ id }) => !ahead.has(id))
  const verified = new Set(read.filter(({ isVerified }) => isVerified).map(({ id }) => id))
  const newestThat = (is: (backup: ReportedBackup) => boolean): Aged | null => {
    const newest = present.find(is)
    return newest ? agedOf(newest, at) : null
  }
  const newestVerified = newestThat(({ id }) => verified.has(id))
  const byTime = (a: { readonly at: string | null }, b: { readonly at: string | null }) =>
    (b.at ?? "").localeCompare(a.at ?? "")
  return {
    database,
    backups,
    newest: newestThat(({ storedBytes: bytes }) => bytes !== null),
    newestVerified,
    newestDrilled: newestThat(({ state }) => state === "drilled"),
    overdue: newestVerified === null || newestVerified.ageHours > maxAgeHours,
    drills: drills.toSorted(byTime).slice(0, drillsShown),
    problems: alikeAsOne(problems).sort(byTime).slice(0, problemsShown),
    nights: nightsOf(present, unfinished, at),
    outlook: outlookOf(present, policy !== null, at),
  }
}

/** What is the same of several copies is told once. */
function alikeAsOne(problems: readonly ReportedProblem[]): ReportedProblem[] {
  const alike = Map.groupBy(problems, ({ at, id, what }) => JSON.stringify([at?.slice(0, 16), id, what]))
  return [...alike.values()].flatMap((same) =>
    same.slice(0, 1).map((one) => ({ ...one, storages: same.flatMap(({ storages }) => storages) })),
  )
}

function agedOf({ id, startedAt }: ReportedBackup, at: Date): Aged | null {
  if (startedAt === null) return null
  return { id, startedAt, ageHours: Math.max(0, at.getTime() - Date.parse(startedAt)) / 3_600_000 }
}

/** The copies of one backup as one: what one of them can't tell, another may. */
function asOne(copies: readonly ReportedBackup[]): ReportedBackup {
  const [first] = copies
  if (first === undefined) throw new RangeError("a backup without a copy")
  const told = copies.find(({ storedBytes: bytes }) => bytes !== null) ?? first
  return {
    id: told.id,
    startedAt: told.startedAt,
    seconds: told.seconds,
    storedBytes: told.storedBytes,
    rawBytes: told.rawBytes,
    rows: told.rows,
    partial: told.partial,
    state: bestOf(copies.map(({ state }) => state)),
    copies: copies.flatMap((copy) => copy.copies),
  }
}
