import { Cron } from "croner"
import { messageOf, PgstowError } from "../errors.ts"

/** When something is due. */
export type DueTimes = {
  /** The first due time after another time; undefined where none follows. */
  readonly next: (after: Date) => Date | undefined
  /** The least time between two of the due times after another time, in milliseconds; of the first fifty. */
  readonly shortestGapMs: (after: Date) => number
  /** A time as its time zone has it: "2026-03-01 03:00:00 Europe/Berlin". */
  readonly format: (time: Date) => string
}

/**
 * Reads a cron expression of five fields, or of six with seconds first, in a time zone, by default this machine's.
 * A time that summer time leaves out is due right after the gap; one that comes twice is due once, where the expression names
 * one time of day. Throws a usage error where either can't be read.
 */
export function dueTimes(expression: string, zone?: string): DueTimes {
  const timeZone = zone ?? ownTimeZone()
  const format = formatIn(timeZone)
  const cron = read(expression, timeZone)
  // By a clock without summer time: croner passes over what that leaves out where the expression has several times of day.
  const wall = read(expression, "UTC")
  const wallTime = wallTimeIn(timeZone)
  const next = (after: Date) => {
    const found = cron.nextRun(after) ?? undefined
    const wanted = wall.nextRun(wallTime(after))
    if (wanted === null || (found !== undefined && wallTime(found) <= wanted)) return found
    const gapEnd = endOfGap(wanted, wallTime)
    return gapEnd === undefined || gapEnd <= after ? found : gapEnd
  }
  return {
    next,
    shortestGapMs: (after) => {
      const times: number[] = []
      for (let time = next(after); time && times.length < 50; time = next(time)) times.push(time.getTime())
      return Math.min(...times.slice(1).map((time, index) => time - (times[index] ?? 0)))
    },
    format,
  }
}

function read(expression: string, timezone: string): Cron {
  try {
    return new Cron(expression, { timezone, mode: "5-or-6-parts" })
  } catch (error) {
    // It names all forms that it could be told to read.
    const why = messageOf(error)
      .replace(/^\w+: /, "")
      .replace("five, six, or seven", "five or six")
    throw new PgstowError("usage", `--run ${expression} is no cron expression: ${why.replace(/\.$/, "")}`, {
      hint: 'Write minute, hour, day, month and weekday, as in "0 3 * * *" for every night at 3.',
    })
  }
}

/** What clocks in a time zone show at a time, as if that were UTC. */
function wallTimeIn(timeZone: string): (time: Date) => Date {
  const shown = new Intl.DateTimeFormat("sv", { timeZone, dateStyle: "short", timeStyle: "medium" })
  return (time) => new Date(`${shown.format(time).replace(" ", "T")}Z`)
}

const dayMs = 86_400_000

/** When the clocks were set forward past a time that they never showed; undefined where they showed it. */
function endOfGap(wanted: Date, wallTime: (time: Date) => Date): Date | undefined {
  let before = wanted.getTime() - dayMs
  let after = wanted.getTime() + dayMs
  // The first second at which clocks show that time, or a later one.
  while (after - before > 1_000) {
    const middle = Math.floor((before + after) / 2_000) * 1_000
    if (wallTime(new Date(middle)) < wanted) before = middle
    else after = middle
  }
  return wallTime(new Date(after)).getTime() === wanted.getTime() ? undefined : new Date(after)
}

function ownTimeZone(): string {
  // Node's types don't know that it is undefined where TZ names none.
  const timeZone: string | undefined = Intl.DateTimeFormat().resolvedOptions().timeZone
  if (timeZone !== undefined) return timeZone
  throw new PgstowError("usage", "TZ names no time zone", { hint: "Write it like TZ=Europe/Berlin." })
}

function formatIn(timeZone: string): (time: Date) => string {
  try {
    const shown = new Intl.DateTimeFormat("sv", { timeZone, dateStyle: "short", timeStyle: "medium" })
    return (time) => `${shown.format(time)} ${timeZone}`
  } catch {
    throw new PgstowError("usage", `--time-zone ${timeZone} is no time zone`, {
      hint: "Write it like Europe/Berlin, or UTC.",
    })
  }
}
