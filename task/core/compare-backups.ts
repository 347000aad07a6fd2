import { type Manifest, rawBytes } from "./manifest.ts"

/** Tables that had fewer rows are not looked at: few rows come and go. */
const leastRows = 100
const tablesNamed = 5

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

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}
