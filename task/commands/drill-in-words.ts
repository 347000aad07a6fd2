import { formatCount, formatDuration, formatKinds } from "../console/format.ts"
import type { DrillRecord } from "../core/check.ts"

/** What a drill measured and counted, a line each. */
export function drillInWords(drill: DrillRecord): string[] {
  const { server, restoreSeconds, rowsSeconds, indexesSeconds, restSeconds, compareSeconds, rows } = drill
  const parts = [
    ["rows", rowsSeconds],
    ["indexes", indexesSeconds],
    ["the rest", restSeconds],
  ] as const
  const shares = parts.flatMap(([what, seconds]) =>
    seconds === undefined ? [] : [`${what} ${formatDuration(seconds)}`],
  )
  const counts = formatKinds(drill.objects)
  return [
    `restored into PostgreSQL ${server} in ${formatDuration(restoreSeconds)}${shares.length > 0 ? ` (${shares.join(", ")})` : ""}, compared in ${formatDuration(compareSeconds)}`,
    `${formatCount(rows, "row")} counted${counts.length > 0 ? `; ${counts.join(", ")}` : ""}`,
    ...drill.notes.map((note) => `note: ${note}`),
  ]
}
