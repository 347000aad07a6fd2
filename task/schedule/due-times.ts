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
  const next = (after: Date) => cron.nextRun(after) ?? undefined
  return {
    next,
    shortestGapMs: (after) => {
      const times = cron.nextRuns(50, after).map((time) => time.getTime())
      return Math.min(...times.slice(1).map((time, index) => time - (times[index] ?? 0)))
    },
    format,
  }
}

function read(expression: string, timezone: string): Cron {
  try {
    return new Cron(expression, { timezone, mode: "5-or-6-parts" })
  } catch (error) {
    const why = messageOf(error).replace(/^\w+: /, "")
    throw new PgstowError("usage", `--run ${expression} is no cron expression: ${why.replace(/\.$/, "")}`, {
      hint: 'Write minute, hour, day, month and weekday, as in "0 3 * * *" for every night at 3.',
    })
  }
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
