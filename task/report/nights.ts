import { type Mark, markOfState, marks } from "./mark.ts"
import type { Night, ReportedBackup } from "./report-data.ts"

/** The calendar goes back to the first day of the month so many months ago. */
const monthsBack = 11
const dayMs = 24 * 60 * 60 * 1000

/** Rules that keep every backup, or the newest of each day: within their reach none is gone. */
const keepsEachDay = /^(last|younger|hourly|daily)\b/

/** By so many of the last days with a backup it is told how often there is one. */
const daysForRhythm = 15

/**
 * The days from the first backup on, of about the last year, until today. A day is missing when as many days have gone by
 * since the last backup as usually do: the median of the last fortnight's. Where a policy thins backups out, only within
 * the days that it keeps one of each.
 *
 * @param backups newest first
 * @param unfinished when backups were begun that have come to nothing
 */
export function nightsOf(
  backups: readonly Pick<ReportedBackup, "startedAt" | "state" | "copies">[],
  unfinished: readonly string[],
  now: Date,
): Night[] {
  const best = new Map<string, Mark>()
  const note = (day: string, mark: Mark) => {
    const before = best.get(day)
    if (before === undefined || marks.indexOf(mark) < marks.indexOf(before)) best.set(day, mark)
  }
  for (const { startedAt, state } of backups)
    if (startedAt !== null) note(startedAt.slice(0, 10), markOfState[state])
  for (const startedAt of unfinished) note(startedAt.slice(0, 10), "failed")
  const days = [...best.keys()].sort()
  const [first] = days
  if (first === undefined) return []
  const knownFrom = firstKnown(backups) ?? first
  const knownDays = days.filter((day) => day >= knownFrom)
  const rhythm = rhythmDays(knownDays.length >= 3 ? knownDays : days)
  const today = now.toISOString().slice(0, 10)
  const earliest = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - monthsBack, 1))
  const nights: Night[] = []
  let last = Date.parse(first)
  for (let time = last; time <= now.getTime(); time += dayMs) {
    const day = new Date(time).toISOString().slice(0, 10)
    const mark = best.get(day)
    if (mark !== undefined) last = time
    const isMissing = day < today && day > knownFrom && (time - last) / dayMs >= rhythm
    if (time >= earliest.getTime()) nights.push({ day, mark: mark ?? (isMissing ? "missing" : "none") })
  }
  return nights
}

/** How many days usually are from one day with a backup to the next: 1 for nightly ones. */
export function rhythmDays(days: readonly string[]): number {
  const last = days.slice(-daysForRhythm)
  const gaps = last.slice(1).map((day, index) => (Date.parse(day) - Date.parse(last[index] ?? day)) / dayMs)
  return Math.max(1, gaps.toSorted((a, b) => a - b)[Math.floor(gaps.length / 2)] ?? 1)
}

/** The day since which retention has removed none; undefined where there is no policy. */
function firstKnown(backups: readonly Pick<ReportedBackup, "startedAt" | "copies">[]): string | undefined {
  const hasPolicy = backups.some(({ copies }) => copies.some(({ kept }) => kept !== null))
  if (!hasPolicy) return undefined
  const each = backups.filter(({ copies }) =>
    copies.some(({ kept }) => kept?.because.some((reason) => keepsEachDay.test(reason))),
  )
  return (each.at(-1) ?? backups[0])?.startedAt?.slice(0, 10)
}
