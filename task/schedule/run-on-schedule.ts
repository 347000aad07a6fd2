import { setTimeout as sleep } from "node:timers/promises"
import type { Context } from "../context.ts"
import { messageOf } from "../errors.ts"
import type { DueTimes } from "./due-times.ts"

export type Timetable = {
  readonly times: DueTimes
  /** Each run begins at random up to this much later than it is due. */
  readonly jitterMs: number
  /** Whether one run begins at once, before the first that is due. */
  readonly atStart: boolean
  /** Does what is to be done, and gives its exit code. Ends early once the context's signal is aborted. */
  readonly run: () => Promise<number>
}

export type RunsMade = { readonly runs: number; readonly failed: number; readonly skipped: number }

/** The longest that nobody looks at the clock: timers stand still while a machine sleeps, and know nothing of a clock that is set. */
const lookEveryMs = 5_000

/** What is no delay of a busy machine, but a clock that was set or a machine that slept. */
const noticeableMs = 60_000

/**
 * Runs something at each due time until the context's signal is aborted, one at a time: a run that is due while the last
 * one still goes on is skipped. Due times that went by meanwhile, since the machine slept or its clock was set forward, are
 * made up for by one run; after a clock was set back, the next time is what the clock says then. A run that fails is
 * reported, and the next one comes all the same.
 *
 * Throws the signal's reason where that ended a run.
 */
export async function runOnSchedule(
  { times, jitterMs, atStart, run }: Timetable,
  { log, signal, now }: Pick<Context, "log" | "signal" | "now">,
): Promise<RunsMade> {
  const made = { runs: 0, failed: 0, skipped: 0 }
  let going: { readonly since: Date; readonly ended: Promise<void> } | undefined
  let interrupted = false
  let seen = now()
  let due = dueAfter(seen)

  function dueAfter(time: Date): { readonly at: Date; readonly begins: Date } | undefined {
    const at = times.next(time)
    return at && { at, begins: new Date(at.getTime() + Math.random() * jitterMs) }
  }
  const whenNext = () => (due ? { nextRun: due.begins.toISOString() } : {})
  const nextInWords = () => (due ? `the next run is at ${times.format(due.begins)}` : "no run follows")

  async function report(since: Date): Promise<void> {
    const startedAt = performance.now()
    made.runs++
    const failure = await run().then(
      (exitCode) => (exitCode === 0 ? undefined : { why: `it exited with ${exitCode}`, exitCode }),
      (error: unknown) => ({ why: messageOf(error), exitCode: undefined }),
    )
    going = undefined
    if (failure) made.failed++
    if (signal.aborted) interrupted = failure !== undefined
    else {
      const seconds = Math.round((performance.now() - startedAt) / 1_000)
      const which = `the run of ${times.format(since)}`
      const facts = { seconds, ...whenNext() }
      if (!failure) log.info(`${which} succeeded; ${nextInWords()}`, facts)
      else {
        const { why, exitCode } = failure
        log.error(`${which} failed: ${why}; ${nextInWords()}`, { exitCode, ...facts })
      }
    }
  }
  const begin = (since: Date) => {
    going = { since, ended: report(since) }
  }

  log.info(nextInWords(), whenNext())
  if (atStart) begin(seen)
  while (due && !signal.aborted) {
    const waitMs = Math.min(lookEveryMs, Math.max(0, due.begins.getTime() - now().getTime()))
    await sleep(waitMs, undefined, { signal }).catch(() => {})
    if (signal.aborted) break
    const time = now()
    const wentBack = seen.getTime() - time.getTime() > noticeableMs
    seen = time
    if (wentBack) {
      due = dueAfter(time)
      log.warn(`the clock was set back; ${nextInWords()}`, whenNext())
      continue
    }
    if (time < due.begins) continue
    const { at, begins } = due
    due = dueAfter(time)
    if (going) {
      made.skipped++
      log.warn(
        `the run due at ${times.format(at)} is skipped: that of ${times.format(going.since)} still goes on; ${nextInWords()}`,
        whenNext(),
      )
    } else {
      if (time.getTime() - begins.getTime() > noticeableMs)
        log.warn(
          `the run due at ${times.format(at)} begins only now: the machine slept, or its clock was set forward`,
        )
      begin(at)
    }
  }
  await going?.ended
  if (interrupted) signal.throwIfAborted()
  return made
}
