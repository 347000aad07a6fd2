import { execFileSync } from "node:child_process"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { describe, expect, onTestFinished, test } from "vitest"
import { sample } from "../legacy/samples.ts"
import { type BackupScene, setBackupScene } from "../support/backup-scene.ts"
import { clientsWith } from "../support/client-folder.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { holdDump } from "../support/held-dump.ts"
import type { Running } from "../support/pgstow.ts"
import { waitsForFifo } from "../support/processes.ts"
import type { SeenRequest } from "../support/s3-endpoint.ts"
import { setScene } from "../support/scene.ts"
import { startWebhook } from "../support/webhook.ts"

const signals = [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const

/** Makes the bucket leave such requests without an answer; resolves at the first of them. */
function hang({ bucket }: BackupScene, such: (request: SeenRequest) => boolean): Promise<void> {
  const first = Promise.withResolvers<void>()
  bucket.endpoint.inject((request) => {
    if (!such(request)) return undefined
    first.resolve()
    return "hang"
  })
  return first.promise
}

const isPart = ({ operation, key }: SeenRequest) => operation === "UploadPart" && key.includes("/main.")
const isRead = ({ operation }: SeenRequest) => operation === "GetObject"

/** Waits for the program to end after a signal, and fails the test where that takes long or has another reason: one
 * whose time is up, after nine seconds, gives none. */
async function expectEnd(
  running: Running,
  signal: string,
  exitCode: number,
  sentAt = Date.now(),
): Promise<string> {
  const finished = await running.finished
  expect(Date.now() - sentAt).toBeLessThan(20_000)
  const { message, ...failure } = failureOfRun(finished)
  expect(failure.exitCode).toBe(exitCode)
  expect(message).toMatch(new RegExp(`^stopped by ${signal}`))
  return `${message}. ${failure.hint}`
}

describe.each(signals)("%s", (signal, exitCode) => {
  test("during the dump ends the children, and leaves nothing", async () => {
    const scene = await setBackupScene()
    const held = await holdDump(scene.server, scene.database)
    const running = scene.start(["backup"])
    await held.reached()
    running.kill(signal)
    await expectEnd(running, signal, exitCode)
    await scene.expectNothing()
  })

  test("to the children too, as Ctrl-C in a terminal sends it, is still what is told of", async () => {
    const scene = await setBackupScene()
    const held = await holdDump(scene.server, scene.database)
    const running = scene.start(["backup"])
    await held.reached()
    running.killAll(signal)
    await expectEnd(running, signal, exitCode)
    await scene.expectNothing()
  })

  test("during an upload that hangs ends it, and leaves nothing", async () => {
    const scene = await setBackupScene()
    const hanging = hang(scene, isPart)
    const running = scene.start(["backup"])
    await hanging
    running.kill(signal)
    await expectEnd(running, signal, exitCode)
    await scene.expectNothing()
  })

  test("while the backup is read back leaves it, unverified, and says so", async () => {
    const scene = await setBackupScene()
    const hanging = hang(scene, isRead)
    const running = scene.start(["backup"])
    await hanging
    running.kill(signal)
    const told = await expectEnd(running, signal, exitCode)
    scene.bucket.endpoint.inject()
    const [, id = ""] =
      / before all of backup (\S+) was read back\. It is stored: check it by `pgstow verify \1`\.$/.exec(
        told,
      ) ?? []
    const list = await scene.json(["list"], { PGSTOW_STORAGE: scene.bucket.storage })
    expect(list).toMatchObject({ backups: [{ id, state: "unverified" }] })
    expect(await scene.json(["verify", id])).toMatchObject([{ kind: "verified" }, { kind: "verified" }])
  })

  test("while what was imported is read back leaves it, unverified", async () => {
    const scene = await setBackupScene()
    const file = sample("sentinel_backup_20251215_163138.sql.gz")
    const hanging = hang(scene, (request) => isRead(request) && request.key.includes("/main."))
    const running = scene.start(["import", file])
    await hanging
    running.kill(signal)
    await expectEnd(running, signal, exitCode)
    scene.bucket.endpoint.inject()
    const list = await scene.json(["list"], { PGSTOW_STORAGE: scene.bucket.storage })
    expect(list).toMatchObject({ backups: [{ state: "unverified" }] })
    const again = await scene.json(["import", file])
    expect(again).toMatchObject({ files: [{ state: "present" }] })
  })
})

test("a program that does not heed SIGTERM is ended all the same", async () => {
  const scene = await setBackupScene()
  const clients = await clientsWith(scene.server, "pg_dump", "trap '' TERM\nexec sleep 60")
  const running = scene.start(["backup"], { PGSTOW_PG_BIN: clients })
  while (!running.processes().some(({ name }) => name === "sleep")) await sleep(10)
  running.kill("SIGTERM")
  await expectEnd(running, "SIGTERM", 143)
  await scene.expectNothing()
})

test("a storage that answers nothing any more does not hold up an interruption for long", async () => {
  const scene = await setBackupScene()
  const hanging = hang(scene, isPart)
  const running = scene.start(["backup"])
  await hanging
  scene.bucket.endpoint.inject(() => "hang")
  running.kill("SIGTERM")
  await expectEnd(running, "SIGTERM", 143)
  expect(await scene.bucket.keys()).toEqual([])
})

test("an interrupted verify of a storage that hangs says nothing of the backup", async () => {
  const scene = await setBackupScene()
  const storage = { PGSTOW_STORAGE: scene.bucket.storage }
  await scene.json(["backup", "--no-verify"], storage)
  const hanging = hang(scene, (request) => isRead(request) && request.key.includes("main.dump"))
  const running = scene.start(["verify"], storage)
  await hanging
  running.kill("SIGINT")
  await expectEnd(running, "SIGINT", 130)
  expect(await scene.bucket.keys()).not.toContainEqual(expect.stringContaining("/checks/"))
})

describe("a second signal ends the program at once", () => {
  test.each(signals)("%s, though it waits for a file that nobody writes", async (signal, exitCode) => {
    const scene = await setBackupScene()
    await scene.json(["backup"])
    const identity = join(scene.folder, "identity")
    execFileSync("mkfifo", [identity])
    const running = scene.start(["verify", "latest", "--deep", "--identity", identity])
    // Once it waits, one of its threads does so in the system's open().
    await blocked(running.pid)
    running.kill(signal)
    await sleep(300)
    const sentAt = Date.now()
    running.kill(signal)
    expect((await running.finished).exitCode).toBe(exitCode)
    // One signal alone would take nine seconds.
    expect(Date.now() - sentAt).toBeLessThan(6_000)
  })

  test("and every program that it started", async () => {
    const scene = await setBackupScene()
    const clients = await clientsWith(scene.server, "pg_dump", "trap '' TERM\nexec sleep 60")
    const running = scene.start(["backup"], { PGSTOW_PG_BIN: clients })
    while (!running.processes().some(({ name }) => name === "sleep")) await sleep(10)
    running.kill("SIGTERM")
    await sleep(300)
    const sentAt = Date.now()
    running.kill("SIGTERM")
    expect((await running.finished).exitCode).toBe(143)
    // One signal alone would be given five seconds before the program that does not heed it is killed.
    expect(Date.now() - sentAt).toBeLessThan(4_500)
  })
})

test("one signal ends the program within ten seconds, though it waits for a file that nobody writes", async () => {
  const scene = await setBackupScene()
  const identity = join(scene.folder, "identity")
  execFileSync("mkfifo", [identity])
  const running = scene.start(["verify", "latest", "--deep", "--identity", identity])
  await blocked(running.pid)
  const sentAt = Date.now()
  running.kill("SIGTERM")
  expect((await running.finished).exitCode).toBe(143)
  // Ten, on a machine that has nothing else to do.
  expect(Date.now() - sentAt).toBeLessThan(20_000)
})

test("a signal while a silent channel is being told of a good backup ends the others in time, and is said", async () => {
  const scene = await setScene()
  await scene.server.psql("CREATE TABLE t AS SELECT 1 AS one", scene.database)
  const webhook = await startWebhook()
  onTestFinished(() => webhook.stop())
  for (let request = 0; request < 20; request++) webhook.answers.push("silence")
  const file = join(scene.folder, "pgstow.config.json")
  const settings = {
    databases: ["one", "two"].map((name) => ({ name, connection: { urlEnv: "ORDERS_URL" } })),
    storages: ["./backups"],
    recipients: [scene.recipient],
    notifications: { webhooks: [{ urlEnv: "HOOK", level: "all" }] },
  }
  await writeFile(file, JSON.stringify(settings))
  const running = scene.start(["backup", "--config", file], {
    ORDERS_URL: scene.server.url(scene.database),
    HOOK: webhook.origin,
  })
  while (webhook.seen.length === 0) await sleep(10)
  running.kill("SIGTERM")
  await expectEnd(running, "SIGTERM", 143)
})

/** Resolves once the program waits for a FIFO; where the system does not tell that, after 5 s. */
async function blocked(pid: number): Promise<void> {
  for (let tries = 0; tries < 250 && !waitsForFifo(pid); tries++) await sleep(20)
}
