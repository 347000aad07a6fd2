import { setTimeout as sleep } from "node:timers/promises"
import { expect, type TestContext, test } from "vitest"
import { PgstowError } from "../../task/errors.ts"
import { dueTimes } from "../../task/schedule/due-times.ts"
import { type RunsMade, runOnSchedule, type Timetable } from "../../task/schedule/run-on-schedule.ts"

type Started = {
  /** When runs began, by the clock that the schedule looks at. */
  readonly began: Date[]
  /** Warnings and errors. */
  readonly said: string[]
  /** Sets the clock that the schedule looks at. */
  setClock(time: string): void
  stop(): Promise<RunsMade>
}

/** Starts a schedule by a clock that can be set. Its runs take no time unless `run` says otherwise. */
function start(
  { onTestFinished }: TestContext,
  expression: string,
  clock: string,
  timetable: Partial<Timetable> = {},
): Started {
  let ahead = 0
  const set = (time: string) => {
    ahead = new Date(time).getTime() - Date.now()
  }
  set(clock)
  const now = () => new Date(Date.now() + ahead)
  const stopping = new AbortController()
  onTestFinished(() => stopping.abort())
  const began: Date[] = []
  const said: string[] = []
  const hear = (message: string) => void said.push(message)
  const log = { debug: () => {}, info: () => {}, warn: hear, error: hear, close: () => {} }
  const { run = async () => 0, ...rest } = timetable
  const ended = runOnSchedule(
    {
      times: dueTimes(expression, "UTC"),
      jitterMs: 0,
      atStart: false,
      ...rest,
      run: () => {
        began.push(now())
        return run()
      },
    },
    { log, signal: stopping.signal, now },
  )
  ended.catch(() => {})
  return {
    began,
    said,
    setClock: set,
    stop: () => {
      stopping.abort(new PgstowError("terminated", "stopped by SIGTERM"))
      return ended
    },
  }
}

async function until(is: () => boolean, withinMs: number): Promise<void> {
  for (const startedAt = Date.now(); !is(); await sleep(20))
    if (Date.now() - startedAt > withinMs) throw new Error(`that took longer than ${withinMs} ms`)
}

const nightly = "0 3 * * *"

test.concurrent("nights that a sleeping machine missed are made up for by one run, and that is said", async (context) => {
  const schedule = start(context, nightly, "2026-01-01T12:00:00Z")
  await sleep(300)
  schedule.setClock("2026-01-04T08:00:00Z")
  await until(() => schedule.began.length > 0, 30_000)
  await sleep(300)
  expect(schedule.began).toHaveLength(1)
  expect(schedule.said).toEqual([
    "the run due at 2026-01-02 03:00:00 UTC begins only now: the machine slept, or its clock was set forward",
  ])
  // The next one is that of the next night.
  schedule.setClock("2026-01-05T02:59:59.800Z")
  await until(() => schedule.began.length > 1, 30_000)
  expect(await schedule.stop()).toEqual({ runs: 2, failed: 0, skipped: 0 })
})

test.concurrent("a clock that was years ahead and is set right does not put off the next night for years", async (context) => {
  const schedule = start(context, nightly, "2030-06-01T12:00:00Z")
  await sleep(300)
  schedule.setClock("2026-01-01T12:00:00Z")
  await until(() => schedule.said.length > 0, 30_000)
  expect(schedule.said).toEqual(["the clock was set back; the next run is at 2026-01-02 03:00:00 UTC"])
  expect(schedule.began).toEqual([])
  schedule.setClock("2026-01-02T02:59:59.800Z")
  await until(() => schedule.began.length > 0, 30_000)
})

test.concurrent("a clock that is set back by seconds does not run a night twice", async (context) => {
  const schedule = start(context, nightly, "2026-01-02T02:59:59.800Z")
  await until(() => schedule.began.length > 0, 30_000)
  schedule.setClock("2026-01-02T02:59:58Z")
  await sleep(6_500)
  expect(schedule.began).toHaveLength(1)
})

test.concurrent("a run that is due while the last one goes on is skipped, and the one after it is not", async (context) => {
  const first = Promise.withResolvers<number>()
  const schedule = start(context, nightly, "2026-01-02T02:59:59.800Z", { run: () => first.promise })
  await until(() => schedule.began.length > 0, 30_000)
  schedule.setClock("2026-01-03T03:00:01Z")
  await until(() => schedule.said.length > 0, 30_000)
  expect(schedule.said).toEqual([
    "the run due at 2026-01-03 03:00:00 UTC is skipped: that of 2026-01-02 03:00:00 UTC still goes on; the next run is at 2026-01-04 03:00:00 UTC",
  ])
  first.resolve(0)
  schedule.setClock("2026-01-04T02:59:59.800Z")
  await until(() => schedule.began.length > 1, 30_000)
  expect(await schedule.stop()).toEqual({ runs: 2, failed: 0, skipped: 1 })
})

test.concurrent("a failed run is reported, and the next one comes", async (context) => {
  let runs = 0
  const schedule = start(context, "* * * * * *", "2026-01-02T03:00:00Z", {
    run: async () => {
      runs++
      if (runs === 1) throw new Error("spawn ENOMEM")
      return runs === 2 ? 3 : 0
    },
  })
  await until(() => schedule.began.length > 3, 30_000)
  expect(schedule.said).toHaveLength(2)
  expect(schedule.said[0]).toMatch(/^the run of .* UTC failed: spawn ENOMEM; the next run is at /)
  expect(schedule.said[1]).toMatch(/^the run of .* UTC failed: it exited with 3; the next run is at /)
  expect((await schedule.stop()).failed).toBe(2)
})

test.concurrent("jitter begins runs later, and never earlier or by more", async (context) => {
  const schedule = start(context, "*/2 * * * * *", "2026-01-02T03:00:00.500Z", { jitterMs: 1_000 })
  await until(() => schedule.began.length > 3, 30_000)
  const lateMs = schedule.began.map((time) => time.getTime() % 2_000)
  // A timer ends late on a busy machine, but never by what is left of two seconds.
  for (const late of lateMs) expect(late).toBeLessThan(1_950)
  expect(Math.max(...lateMs) - Math.min(...lateMs)).toBeGreaterThan(20)
})

test.concurrent("a run at the start comes at once", async (context) => {
  const schedule = start(context, nightly, "2026-01-02T12:00:00Z", { atStart: true })
  await until(() => schedule.began.length > 0, 30_000)
  expect(await schedule.stop()).toEqual({ runs: 1, failed: 0, skipped: 0 })
})

test.concurrent("stopped between runs it ends well; stopped during one, it waits for that and gives the reason", async (context) => {
  expect(await start(context, nightly, "2026-01-02T12:00:00Z").stop()).toEqual({
    runs: 0,
    failed: 0,
    skipped: 0,
  })

  const run = Promise.withResolvers<number>()
  const schedule = start(context, nightly, "2026-01-02T12:00:00Z", { atStart: true, run: () => run.promise })
  const stopped = schedule.stop()
  const early = await Promise.race([stopped, sleep(300, "waits")])
  expect(early).toBe("waits")
  run.resolve(143)
  await expect(stopped).rejects.toThrow("stopped by SIGTERM")
})

test.concurrent("a run that a signal came too late for ends well", async (context) => {
  const run = Promise.withResolvers<number>()
  const schedule = start(context, nightly, "2026-01-02T12:00:00Z", { atStart: true, run: () => run.promise })
  const stopped = schedule.stop()
  run.resolve(0)
  expect(await stopped).toEqual({ runs: 1, failed: 0, skipped: 0 })
})
