import { setTimeout as sleep } from "node:timers/promises"
import { describe, expect, onTestFinished, test } from "vitest"
import { setBackupScene } from "../support/backup-scene.ts"
import { failureOfRun, logOf } from "../support/failure-line.ts"
import { holdDump } from "../support/held-dump.ts"
import { needsLinux } from "../support/not-run.ts"
import type { Running } from "../support/pgstow.ts"
import { processesNaming, processesOfSession } from "../support/processes.ts"
import { setScene } from "../support/scene.ts"
import { startWebhook } from "../support/webhook.ts"

/** Resolves once the program has said so many times what matches; fails the test where it ends before. */
async function said(running: Running, words: RegExp, times = 1): Promise<void> {
  const ended = running.finished.then(({ stderr }) => {
    throw new Error(`it ended and said: ${stderr}`)
  })
  const heard = async () => {
    while ((running.stderr().match(new RegExp(words, "g")) ?? []).length < times) await sleep(50)
  }
  await Promise.race([heard(), ended])
}

/** The processes of runs that a schedule has begun: backups under a name that nobody else has; none where there is no /proc. */
function runsOf(schedule: Running, name: string): number[] {
  const named = processesNaming(name).filter(({ args }) => args.includes("--name"))
  return named.map(({ pid }) => pid).filter((pid) => pid !== schedule.pid)
}

/** The process, and session, of the one run that a schedule has begun. */
function runOf(schedule: Running, name: string): number {
  const [run] = runsOf(schedule, name)
  if (run === undefined) throw new Error("no run was begun")
  return run
}

test("backs up when it is due, tells of it as `backup` does, and `status` is content", async () => {
  const scene = await setScene()
  const webhook = await startWebhook()
  onTestFinished(() => webhook.stop())
  const running = scene.start(["schedule", "--run", "*/3 * * * * *", "--time-zone", "Europe/Berlin"], {
    PGSTOW_NOTIFY: `format=webhook,${webhook.origin}/told`,
  })
  await said(running, /the run of [^"]* succeeded/, 2)
  running.kill("SIGTERM")
  const { exitCode, stderr } = await running.finished
  const log = logOf(stderr)
  const [first] = log
  expect(first?.level).toBe("info")
  expect(first?.nextRun).toMatch(/^\d{4}-.*Z$/)
  expect(first?.message).toMatch(/^the next run is at \S+ \S+ Europe\/Berlin$/)
  expect(log.filter(({ message }) => message === `backed up ${scene.database}`).length).toBeGreaterThan(1)
  expect(webhook.seen[0]?.body).toContain("Backup Succeeded")
  expect(await scene.json(["status"])).toMatchObject({
    databases: [{ database: scene.database, overdue: false }],
  })
  // A third run may have begun.
  expect([0, 143]).toContain(exitCode)
})

test("a run that fails is told of as `backup` tells it, and the next one comes", async () => {
  const scene = await setScene()
  const webhook = await startWebhook()
  onTestFinished(() => webhook.stop())
  const later = `${scene.database}_later`
  const running = scene.start(
    ["schedule", "--run", "*/3 * * * * *", "--now", "--", "backup", "--jobs", "1"],
    {
      DATABASE_URL: scene.server.url(later),
      PGSTOW_NOTIFY: `format=webhook,${webhook.origin}/told`,
    },
  )
  await said(running, /the run of [^"]* failed: it exited with 3; the next run is at/)
  await scene.server.psql(`CREATE DATABASE ${later}`)
  onTestFinished(() => scene.server.psql(`DROP DATABASE ${later} WITH (FORCE)`).then(() => {}))
  await said(running, /the run of [^"]* succeeded/)
  running.kill("SIGTERM")
  await running.finished
  const told = webhook.seen.map(({ body }) => /"type":"([^"]*)"/.exec(body)?.[1])
  expect(told[0]).toBe("Backup Failed")
  expect(told).toContain("Backup Succeeded")
})

describe.each([
  ["SIGTERM", 143],
  ["SIGINT", 130],
] as const)("%s", (signal, exitCode) => {
  test("between runs ends it at once, with 0", async () => {
    const scene = await setScene()
    const running = scene.start(["schedule", "--run", "0 3 29 2 *"])
    await said(running, /the next run is at/)
    const sentAt = Date.now()
    running.kill(signal)
    const { exitCode, stderr } = await running.finished
    expect(exitCode, stderr).toBe(0)
    // Who only looks at the clock would see the signal five seconds later.
    expect(Date.now() - sentAt).toBeLessThan(4_500)
    expect(logOf(stderr).at(-1)?.message).toBe("stopped after 0 runs; failed: 0, skipped: 0")
  })

  test.skipIf(needsLinux)(
    `during a run ends that properly, though a terminal sends it to all, and nothing is left${needsLinux}`,
    async () => {
      const scene = await setBackupScene()
      const held = await holdDump(scene.server, scene.database)
      const line = ["schedule", "--run", "0 3 29 2 *", "--now", "--", "backup", "--name", scene.database]
      const running = scene.start(line)
      await held.reached()
      const session = runOf(running, scene.database)
      expect(processesOfSession(session).map(({ name }) => name)).toContain("pg_dump")
      const sentAt = Date.now()
      running.killAll(signal)
      const finished = await running.finished
      expect(finished.exitCode).toBe(exitCode)
      expect(Date.now() - sentAt).toBeLessThan(20_000)
      // The run says so first, then the schedule.
      const words = logOf(finished.stderr).filter(({ level }) => level === "error")
      expect(words.map(({ message }) => message.replace(/:.*/, ""))).toEqual([
        `stopped by ${signal}`,
        `stopped by ${signal}`,
      ])
      expect(processesOfSession(session)).toEqual([])
      await scene.expectNothing()
    },
  )
})

test.skipIf(needsLinux)(
  `a second signal ends the run and all that it started at once${needsLinux}`,
  async () => {
    const scene = await setBackupScene()
    const held = await holdDump(scene.server, scene.database)
    // Nothing that it removes at its end is answered for.
    const running = scene.start(
      ["schedule", "--run", "0 3 29 2 *", "--now", "--", "backup", "--name", scene.database],
      { PGSTOW_STORAGE: scene.bucket.storage },
    )
    await held.reached()
    const session = runOf(running, scene.database)
    scene.bucket.endpoint.inject(() => "hang")
    running.kill("SIGTERM")
    await sleep(500)
    const sentAt = Date.now()
    running.kill("SIGTERM")
    expect((await running.finished).exitCode).toBe(143)
    while (processesOfSession(session).length > 0) await sleep(20)
    // One signal alone would take nine seconds.
    expect(Date.now() - sentAt).toBeLessThan(6_000)
  },
)

test("two never run at once: what is due meanwhile is skipped, and the next one is not", async () => {
  const scene = await setBackupScene()
  const held = await holdDump(scene.server, scene.database)
  const line = ["schedule", "--run", "*/2 * * * * *", "--now", "--", "backup", "--name", scene.database]
  const running = scene.start(line)
  await held.reached()
  await said(running, /is skipped: that of [^"]* still goes on/, 2)
  expect(runsOf(running, scene.database).length).toBeLessThanOrEqual(1)
  await held.release()
  await said(running, /the run of [^"]* succeeded/, 2)
  running.kill("SIGTERM")
  await running.finished
})

test("SIGHUP ends nothing", async () => {
  const scene = await setScene()
  const running = scene.start(["schedule", "--run", "0 3 29 2 *"])
  await said(running, /the next run is at/)
  running.kill("SIGHUP")
  await said(running, /SIGHUP changes nothing/)
  running.kill("SIGTERM")
  expect((await running.finished).exitCode).toBe(0)
})

test.each([
  [["--run", "0 3 * *"], "--run 0 3 * * is no cron expression"],
  [["--run", "0 25 * * *"], "--run 0 25 * * * is no cron expression"],
  [["--run", "0 3 30 2 *"], "the time of --run 0 3 30 2 * never comes"],
  [["--run", "0 3 * * *", "--time-zone", "Europe/Nowhere"], "--time-zone Europe/Nowhere is no time zone"],
  [["--run", "0 3 * * *", "--jitter", "soon"], "--jitter must be a time like 90s, 10m or 1h"],
  [["--run", "0 * * * *", "--jitter", "1h"], "--jitter is as long as the time from one run to the next"],
  [["--run", "0 3 * * *", "--at", "03:00"], "--run and --at contradict each other"],
  [["--run", "0 3 * * *", "--install"], "--run and --install contradict each other"],
  [["--jitter", "10m"], "--jitter is nothing without --run"],
  [["backup"], "backup is nothing without --run"],
  [["--run", "0 3 * * *", "--", "back-up"], "unknown command 'back-up'"],
  [["--run", "0 3 * * *", "--", "backup", "--storge", "x"], "unknown option '--storge'"],
  [["--run", "0 3 * * *", "--", "backup", "--jobs", "many"], "--jobs must be auto"],
  [["--run", "0 3 * * *", "--", "backup", "--help"], "backup --help runs nothing"],
  [["--run", "0 3 * * *", "--", "backup", "--cleanup"], "no retention rule was given"],
  [["--run", "0 3 * * *", "--", "cleanup"], "no retention rule was given"],
  [["--run", "0 3 * * *", "--", "verify", "--storage", "ftp://backups"], "ftp: is not a kind of storage"],
  [["--run", "0 3 * * *", "--", "schedule", "--run", "0 3 * * *"], "a schedule can't run a schedule"],
])("schedule %j is refused at the start: %s", async (args, message) => {
  const scene = await setScene()
  const failure = failureOfRun(await scene.run(["schedule", ...args]))
  expect(failure.kind).toBe("usage")
  expect(failure.message).toContain(message)
})

test.each([
  [{ TZ: "Europe/Nowhere" }, "TZ names no time zone"],
  [{ PGSTOW_STORAGE: "" }, "no storage was given"],
  [{ PGSTOW_RECIPIENTS: "" }, "no recipient was given"],
  [{ DATABASE_URL: "mysql://db/x" }, "the database URL begins with mysql://"],
])("settings that every backup would be refused with end it at the start: %j", async (env, message) => {
  const scene = await setScene()
  const failure = failureOfRun(await scene.run(["schedule", "--run", "0 3 * * *"], env))
  expect(failure.message).toContain(message)
})
