import { formatChange, formatDuration, formatName } from "../console/format.ts"
import type { Comparison, RowsCompared } from "../core/compare-backups.ts"

/** How a backup differs from the last ones, a line each. */
export function comparisonInWords({ backups, usual, own, rows }: Comparison): string[] {
  const rates =
    own.bytesPerSecond === null || usual.bytesPerSecond === null
      ? []
      : [`rate ${formatChange(usual.bytesPerSecond, own.bytesPerSecond)}`]
  const measures = [
    `stored ${formatChange(usual.storedBytes, own.storedBytes)}`,
    `raw ${formatChange(usual.rawBytes, own.rawBytes)}`,
    `time ${formatChange(usual.seconds, own.seconds)} (usually ${formatDuration(usual.seconds)})`,
    ...rates,
  ]
  return [
    `against the last ${backups === 1 ? "one" : backups}: ${measures.join(", ")}`,
    ...(rows === null ? [] : [rowsInWords(rows)]),
  ]
}

function rowsInWords({ since, before, after, tables }: RowsCompared): string {
  const named = tables.map(
    (one) => `${formatName(one.table)} ${difference(one.before ?? 0, one.after ?? 0)}${wordOf(one)}`,
  )
  const which = named.length === 0 ? "" : `: ${named.join(", ")}`
  return `rows, about ${whole.format(after)}, since ${since} ${difference(before, after)}${which}`
}

function wordOf({ before, after }: RowsCompared["tables"][number]): string {
  return before === null ? " (new)" : after === null ? " (gone)" : ""
}

const whole = new Intl.NumberFormat("en-US")

function difference(before: number, after: number): string {
  return before === after ? "=" : `${after > before ? "+" : ""}${whole.format(after - before)}`
}
