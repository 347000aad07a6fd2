import { mkdir, readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { gzipSync } from "node:zlib"
import { expect, test } from "vitest"
import { failureOfRun } from "../support/failure-line.ts"
import type { Running } from "../support/pgstow.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { type Scene, setScene } from "../support/scene.ts"

/** A scene with a backup of a database whose restore waits in the middle of a table's rows. */
async function sceneWithBackup(): Promise<Scene> {
  const scene = await setScene()
  await fillSampleDatabase(scene.server, scene.database, { megabytes: 2 })
  await scene.server.psql(
    `CREATE FUNCTION slow(i int) RETURNS bool LANGUAGE plpgsql AS $$
       BEGIN IF current_database() <> '${scene.database}' THEN PERFORM pg_sleep(60); END IF; RETURN true; END $$;
     CREATE TABLE held (i int CHECK (slow(i)));
     INSERT INTO held VALUES (1), (2)`,
    scene.database,
  )
  await scene.json(["backup", "--no-verify"])
  return scene
}

/** Waits until pg_restore copies the rows of that table into the database. */
async function copying({ server }: Scene, database: string, running: Running): Promise<void> {
  const query = `SELECT count(*) FROM pg_stat_activity WHERE datname = '${database}' AND query LIKE 'COPY%held%' AND wait_event = 'PgSleep'`
  const ended = running.finished.then(({ stderr }) => {
    throw new Error(`it ended before it copied any rows: ${stderr}`)
  })
  ended.catch(() => {})
  while ((await Promise.race([server.psql(query), ended])) === "0") await sleep(10)
}

/** Sends a signal, and gives what became of the program, which must not take long. */
async function interrupted(running: Running, signal: "SIGINT" | "SIGTERM") {
  // It would sleep for a minute.
  const start = performance.now()
  running.kill(signal)
  const finished = await running.finished
  expect(performance.now() - start).toBeLessThan(20_000)
  return finished
}

/** The databases that a restore may have left, and not the original. */
async function leftOf({ server, database }: Scene): Promise<string> {
  return server.psql(
    `SELECT datname FROM pg_database WHERE datname LIKE '%${database}%' AND datname <> '${database}'`,
  )
}

/** Does what the hint says, whatever the server is still at. */
async function dropAsTold(scene: Scene, hint: string): Promise<void> {
  const [, statement = ""] = /\((DROP DATABASE ".*" WITH \(FORCE\);)\)\.$/.exec(hint) ?? []
  expect(statement, hint).not.toBe("")
  await scene.server.psql(statement)
  expect(await leftOf(scene)).toBe("")
}

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)(
  "%s in the middle of a restore says what is left, and how to drop it",
  async (signal, exitCode) => {
    const scene = await sceneWithBackup()
    const running = scene.start(["restore", "latest"])
    let incomplete = ""
    while (incomplete === "") incomplete = await leftOf(scene)
    expect(incomplete).toMatch(/^incomplete_.*_restored_/)
    await copying(scene, incomplete, running)
    const failure = failureOfRun(await interrupted(running, signal))
    expect(failure).toMatchObject({ exitCode, message: `stopped by ${signal}` })
    expect(failure.hint).toContain(`${incomplete} holds what was restored so far: do not use it`)
    expect(await leftOf(scene)).toBe(incomplete)
    await dropAsTold(scene, failure.hint)
  },
)

test("so it does where the backup was imported, though that is one transaction", async () => {
  const scene = await setScene()
  const head = "--\n-- PostgreSQL database dump\n--\n\n"
  const end = "--\n-- PostgreSQL database dump complete\n--\n\n"
  const file = join(scene.folder, "sentinel_backup_20251215_163138.sql.gz")
  await writeFile(file, gzipSync(`${head}CREATE TABLE t (a int);\nSELECT pg_sleep(60);\n${end}`))
  const env = { PGSTOW_NAME: scene.database }
  await scene.json(["import", file, "--no-verify"], env)
  const running = scene.start(["restore", "latest", "--into", `${scene.database}_r`], env)
  const sleeping = "SELECT datname FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%'"
  let busy = ""
  while (busy === "") busy = await scene.server.psql(`${sleeping} AND datname LIKE '%${scene.database}%'`)
  const failure = failureOfRun(await interrupted(running, "SIGTERM"))
  expect(failure).toMatchObject({ exitCode: 143, message: "stopped by SIGTERM" })
  await dropAsTold(scene, failure.hint)
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
