import { mkdir, readdir } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { expect, test } from "vitest"
import type { Running } from "../support/pgstow.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { type Scene, setScene } from "../support/scene.ts"

/** A scene with a backup of a database that takes some seconds to restore. */
async function sceneWithBackup(): Promise<Scene> {
  const scene = await setScene()
  await fillSampleDatabase(scene.server, scene.database, { megabytes: 15 })
  await scene.json(["backup", "--no-verify"])
  return scene
}

/** Waits until pg_restore copies rows into the database. */
async function copying({ server }: Scene, database: string, running: Running): Promise<void> {
  const query = `SELECT count(*) FROM pg_stat_activity WHERE datname = '${database}' AND query LIKE 'COPY%'`
  const ended = running.finished.then(({ stderr }) => {
    throw new Error(`it ended before it copied any rows: ${stderr}`)
  })
  ended.catch(() => {})
  while ((await Promise.race([server.psql(query), ended])) === "0") await sleep(10)
}

/** Sends a signal, and gives what became of the program, which must not take long. */
async function interrupted(running: Running, signal: "SIGINT" | "SIGTERM") {
  const start = performance.now()
  running.kill(signal)
  const finished = await running.finished
  expect(performance.now() - start).toBeLessThan(10_000)
  return finished
}

test("Ctrl-C in the middle of a restore leaves the incomplete database, and names it", async () => {
  const scene = await sceneWithBackup()
  const [into, incomplete] = [`${scene.database}_r`, `incomplete_${scene.database}_r`]
  const running = scene.start(["restore", "latest", "--into", into])
  await copying(scene, incomplete, running)
  const { exitCode, stderr } = await interrupted(running, "SIGINT")
  expect(exitCode).toBe(130)
  expect(stderr.trim().split("\n").slice(-2).join("\n")).toContain(`${incomplete}: do not use it`)
  const left = await scene.server.psql(
    `SELECT datname FROM pg_database WHERE datname IN ('${into}', '${incomplete}')`,
  )
  expect(left).toBe(incomplete)
})

test("SIGTERM in the middle of a restore into an existing database leaves that as it was", async () => {
  const scene = await sceneWithBackup()
  const into = await scene.server.createDatabase()
  const running = scene.start(["restore", "latest", "--into", into])
  await copying(scene, into, running)
  const { exitCode } = await interrupted(running, "SIGTERM")
  expect(exitCode).toBe(143)
  const busy = `SELECT count(*) FROM pg_stat_activity WHERE datname = '${into}' AND pid <> pg_backend_pid()`
  while ((await scene.server.psql(busy, into)) !== "0") await sleep(20)
  expect(await scene.server.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'shop'", into)).toBe("0")
})

test("a restore that is killed leaves the table of contents until the next run, which removes it", async () => {
  const scene = await sceneWithBackup()
  const [into, incomplete] = [`${scene.database}_r`, `incomplete_${scene.database}_r`]
  const temporary = async () => (await readdir(scene.folder)).filter((name) => name.startsWith("pgstow-"))
  const running = scene.start(["restore", "latest", "--into", into])
  await copying(scene, incomplete, running)
  running.killAll("SIGSTOP")
  const kept = await temporary()
  expect(kept).not.toEqual([])
  await scene.json(["list"])
  expect(await temporary(), "what a running restore needs").toEqual(kept)
  running.killAll("SIGKILL")
  await running.finished
  expect(await temporary()).toEqual(kept)
  await mkdir(join(scene.folder, "pgstow-notes"))
  await scene.json(["list"])
  expect(await temporary()).toEqual(["pgstow-notes"])
})
