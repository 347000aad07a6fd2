import { type Manifest, rawBytes, storedBytes } from "./manifest.ts"

/** Tables that had fewer rows are not looked at: few rows come and go. */
const leastRows = 100
const tablesNamed = 5

/** With so many of the last ones a backup is compared. */
export const comparedBackups = 5

/**
 * What looks as if data was lost since the backups before, a sentence each: the whole, or a table, has shrunk by
 * `shrinkPercent` or more. Rows are estimates.
 *
 * @param earlier the last few backups of the same database, the newest first
 */
export function shrinkWarnings(
  manifest: Manifest,
  earlier: readonly Manifest[],
  shrinkPercent: number,
): string[] {
  const shrank = (now: number, before: number) => before > 0 && now <= before * (1 - shrinkPercent / 100)
  const warnings: string[] = []
  const [bytes, usual] = [rawBytes(manifest), median(earlier.map(rawBytes))]
  if (shrank(bytes, usual)) {
    const percent = Math.round(100 * (1 - bytes / usual))
    warnings.push(`The backup is ${percent} % smaller than the last ones, before compression.`)
  }

  const before = earlier.find(({ tableRows }) => tableRows !== undefined)?.tableRows ?? []
  const now = new Map(manifest.tableRows?.map(({ table, rows }) => [table, rows]))
  const lost =
    manifest.tableRows === undefined
      ? []
      : before.filter(({ table, rows }) => rows >= leastRows && shrank(now.get(table) ?? 0, rows))
  for (const { table, rows } of lost.slice(0, tablesNamed)) {
    const left = now.get(table)
    warnings.push(
      left === undefined
        ? `The table ${table} is gone; it had about ${rows} rows.`
        : `The table ${table} has about ${left} rows; it had ${rows}.`,
    )
  }
  if (lost.length > tablesNamed) warnings.push(`So have ${lost.length - tablesNamed} more tables.`)
  return warnings
}

/** One backup beside the last ones of the same database: what it has, and what is usual. */
export type Comparison = {
  /** How many earlier ones there are to compare with. */
  readonly backups: number
  /** Their medians. */
  readonly usual: Measures
  readonly own: Measures
  /** About how many rows the listed tables have; null where this one or the last lists none. */
  readonly rows: RowsCompared | null
}

export type Measures = {
  readonly storedBytes: number
  readonly rawBytes: number
  readonly seconds: number
  /** Before compression; null where it took too short to tell. */
  readonly bytesPerSecond: number | null
}

export type RowsCompared = {
  /** The id of the last one. */
  readonly since: string
  readonly before: number
  readonly after: number
  /** The tables that changed most, the largest change first; null for one that was, or is, not listed. */
  readonly tables: readonly {
    readonly table: string
    readonly before: number | null
    readonly after: number | null
  }[]
}

/**
 * Compares a backup with the last few of the same database; null where there are none.
 *
 * @param earlier the newest first
 */
export function compareBackups(manifest: Manifest, earlier: readonly Manifest[]): Comparison | null {
  const [last] = earlier
  if (last === undefined) return null
  const each = earlier.map(measuresOf)
  const rates = each.flatMap(({ bytesPerSecond }) => bytesPerSecond ?? [])
  return {
    backups: earlier.length,
    usual: {
      storedBytes: median(each.map(({ storedBytes: bytes }) => bytes)),
      rawBytes: median(each.map(({ rawBytes: bytes }) => bytes)),
      seconds: median(each.map(({ seconds }) => seconds)),
      bytesPerSecond: rates.length > 0 ? median(rates) : null,
    },
    own: measuresOf(manifest),
    rows: compareRows(manifest, last),
  }
}

/** From so many earlier ones on it can be told what is usual. */
const fewestUsual = 3
const slowerBy = 2
/** Less is not worth a warning. */
const leastSlowerSeconds = 60

/** Whether a backup took much longer than is usual, and not only because there was more to do. */
export function isSlow({ backups, usual, own }: Comparison): boolean {
  const isSlower =
    own.seconds >= slowerBy * usual.seconds && own.seconds - usual.seconds >= leastSlowerSeconds
  const [rate, usualRate] = [own.bytesPerSecond ?? 0, usual.bytesPerSecond ?? 0]
  return backups >= fewestUsual && isSlower && rate * slowerBy <= usualRate
}

/** From how many seconds on a rate can be told. */
const shortestMeasured = 0.1

function measuresOf(manifest: Manifest): Measures {
  const seconds = (Date.parse(manifest.finishedAt) - Date.parse(manifest.startedAt)) / 1000
  const bytes = rawBytes(manifest)
  return {
    storedBytes: storedBytes(manifest),
    rawBytes: bytes,
    seconds,
    bytesPerSecond: seconds < shortestMeasured ? null : bytes / seconds,
  }
}

function compareRows({ tableRows: now }: Manifest, { id, tableRows: then }: Manifest): RowsCompared | null {
  if (now === undefined || then === undefined) return null
  const [after, before] = [now, then].map(
    (rows) => new Map(rows.map(({ table, rows: count }) => [table, count])),
  )
  const names = new Set([...now, ...then].map(({ table }) => table))
  const changes = [...names].map((table) => ({
    table,
    before: before?.get(table) ?? null,
    after: after?.get(table) ?? null,
  }))
  const size = (one: (typeof changes)[number]) => Math.abs((one.after ?? 0) - (one.before ?? 0))
  const sum = (rows: typeof now) => rows.reduce((total, { rows: count }) => total + count, 0)
  return {
    since: id,
    before: sum(then),
    after: sum(now),
    tables: changes
      .filter((one) => size(one) > 0)
      .sort((a, b) => size(b) - size(a))
      .slice(0, tablesNamed),
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}
