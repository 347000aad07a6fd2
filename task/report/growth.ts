import { dollarsPerMonth } from "../core/s3-standard-price.ts"
import { rhythmDays } from "./nights.ts"
import type { Outlook, ReportedBackup } from "./report-data.ts"

export const trendDays = 90
const leastBackups = 5
const leastDays = 7
const daysAhead = [90, 365]
const dayMs = 24 * 60 * 60 * 1000

/**
 * Draws a straight line through the sizes of the backups of the last 90 days (least squares). With a policy, as many
 * backups will be kept as now, each as large as the line says; without one, each new backup adds to what there is.
 */
export function outlookOf(
  backups: readonly Pick<ReportedBackup, "startedAt" | "storedBytes" | "copies">[],
  hasPolicy: boolean,
  now: Date,
): Outlook {
  const known = backups.flatMap(({ startedAt, storedBytes, copies }) => {
    if (startedAt === null || storedBytes === null) return []
    const keptCopies = copies.filter(({ kept }) => kept?.keep !== false).length
    return [
      {
        day: (Date.parse(startedAt) - now.getTime()) / dayMs,
        date: startedAt.slice(0, 10),
        bytes: storedBytes,
        keptCopies,
      },
    ]
  })
  const keptBytes = known.reduce((sum, { bytes, keptCopies }) => sum + bytes * keptCopies, 0)
  const keptCopies = known.reduce((sum, one) => sum + one.keptCopies, 0)
  const current = { keptBytes, dollarsPerMonth: dollarsPerMonth(keptBytes) }
  const recent = known.filter(({ day }) => day > -trendDays)
  const line = lineThrough(recent.map(({ day, bytes }) => ({ x: day, y: bytes })))
  const span =
    recent.length === 0
      ? 0
      : Math.max(...recent.map(({ day }) => -day)) - Math.min(...recent.map(({ day }) => -day))
  if (line === undefined || recent.length < leastBackups || span < leastDays)
    return { ...current, growth: null }
  const sizeAt = (days: number) => Math.max(0, line.atZero + line.slope * days)
  const dates = [...new Set(known.map(({ date }) => date))].sort()
  const copiesEach = keptCopies / Math.max(1, known.filter((one) => one.keptCopies > 0).length)
  const ahead = daysAhead.map((days) => {
    const backupBytes = sizeAt(days)
    const added = (days / rhythmDays(dates)) * copiesEach * ((sizeAt(0) + backupBytes) / 2)
    const bytes = hasPolicy ? keptCopies * backupBytes : keptBytes + added
    return {
      days,
      backupBytes: Math.round(backupBytes),
      keptBytes: Math.round(bytes),
      dollarsPerMonth: dollarsPerMonth(bytes),
    }
  })
  return { ...current, growth: { bytesPerDay: Math.round(line.slope), ahead } }
}

/** The straight line with the least squares; undefined where the points do not make one. */
function lineThrough(
  points: readonly { readonly x: number; readonly y: number }[],
): { readonly slope: number; readonly atZero: number } | undefined {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  const meanX = mean(points.map(({ x }) => x))
  const meanY = mean(points.map(({ y }) => y))
  const spread = points.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0)
  if (!(spread > 0)) return undefined
  const slope = points.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0) / spread
  return { slope, atZero: meanY - slope * meanX }
}
