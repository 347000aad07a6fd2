/** The seconds of "0:03:05". */
export function secondsOf(text: string): number {
  return text.split(":").reduce((sum, part) => sum * 60 + Number(part), 0)
}

/** "45 s", "12 min", "2 h 30". */
export function formatSeconds(seconds: number): string {
  if (seconds < 90) return `${Number(seconds.toFixed(1))} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 120) return `${minutes} min`
  return `${Math.floor(minutes / 60)} h${minutes % 60 === 0 ? "" : ` ${minutes % 60}`}`
}

type Tick = { readonly value: number; readonly label: string }

const ticksAtMost = 4
const dayMs = 24 * 60 * 60 * 1000

/** A few marks of a time axis at the beginnings of years, months or days (UTC). */
export function timeTicks(from: number, to: number): readonly Tick[] {
  const months = monthsBetween(from, to)
  if (months.length >= 2) {
    const every = [1, 2, 3, 6, 12, 24, 60].find((step) => months.length / step <= ticksAtMost) ?? 120
    return months
      .filter((value) => {
        const date = new Date(value)
        return (date.getUTCFullYear() * 12 + date.getUTCMonth()) % every === 0
      })
      .map((value) => ({ value, label: monthLabel(new Date(value), every) }))
  }
  const days = Math.max(1, Math.ceil((to - from) / dayMs / ticksAtMost))
  const first = Math.ceil(from / dayMs) * dayMs
  const ticks: Tick[] = []
  for (let value = first; value <= to; value += days * dayMs)
    ticks.push({
      value,
      label: new Date(value).toLocaleDateString("en", { day: "numeric", month: "short", timeZone: "UTC" }),
    })
  return ticks
}

function monthLabel(date: Date, every: number): string {
  const year = String(date.getUTCFullYear())
  if (every >= 12) return year
  const month = date.toLocaleDateString("en", { month: "short", timeZone: "UTC" })
  return date.getUTCMonth() === 0 ? year : month
}

function monthsBetween(from: number, to: number): number[] {
  const first = new Date(from)
  const found: number[] = []
  for (let month = 0; ; month += 1) {
    const value = Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + month, 1)
    if (value > to) return found
    if (value >= from) found.push(value)
  }
}

const [second, minute, hour] = [1, 60, 3600]
const steps = [
  ...[1, 2, 5, 10, 20, 30].map((count) => count * second),
  ...[1, 2, 5, 10, 15, 30].map((count) => count * minute),
  ...[1, 2, 3, 6, 12, 24, 48].map((count) => count * hour),
]

/** Seconds from one mark of an axis of durations to the next, of which three go up to `most` or beyond. */
export function durationStep(most: number): number {
  return steps.find((step) => 2 * step >= most) ?? Math.ceil(most / 2 / (24 * hour)) * 24 * hour
}
