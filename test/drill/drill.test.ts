import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, onTestFinished, test } from "vitest"
import { checksOf, drillOf, editManifest, expectNothingLeft, setDrillScene } from "../support/drill-scene.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { newestMajor } from "../support/shared-postgres.ts"
import { startWebhook } from "../support/webhook.ts"

describe.for(newestMajor)("with PostgreSQL %i", (major) => {
  test("the sample database is restored into a throw-away server, is right, and leaves the finding alone", async () => {
    const scene = await setDrillScene(major)
    await fillSampleDatabase(scene.server, scene.database, { megabytes: 2 })
    await scene.json(["backup", "--no-verify"])
    const result = await drillOf(scene)
    expect(result).toMatchObject({ kind: "drilled", problems: [], drill: { notes: [] } })
    expect(result.drill?.server).toBe(scene.server.version)
    expect(result.drill?.rows).toBeGreaterThan(10_000)
    const { restoreSeconds = 0, rowsSeconds = 0, indexesSeconds = 0, restSeconds = 0 } = result.drill ?? {}
    expect(rowsSeconds + indexesSeconds + restSeconds).toBeCloseTo(restoreSeconds, 1)
    expect(restoreSeconds).toBeLessThan(result.seconds)
    expectNothingLeft(scene)
    expect(await checksOf(scene)).toMatchObject([{ kind: "drilled", problems: [], drill: result.drill }])
    const { stdout } = await scene.run(["list"])
    expect(stdout).toMatch(/ drilled\n$/)
    expect((await scene.run(["status"])).exitCode).toBe(0)
  })
})

test("what its user expects is asked, and a failure says so, with its exit code, in the finding and in words", async () => {
  const scene = await setDrillScene()
  await scene.server.psql("CREATE TABLE t AS SELECT i FROM generate_series(1, 10) i", scene.database)
  await scene.json(["backup"])
  const file = join(scene.folder, "expect.json")
  await writeFile(file, JSON.stringify([{ sql: "SELECT count(*) > 5 FROM t" }]))
  expect(await drillOf(scene, ["--expect", file])).toMatchObject({ kind: "drilled" })
  await writeFile(file, JSON.stringify([{ name: "enough", sql: "SELECT count(*) > 50 FROM t" }]))
  const webhook = await startWebhook()
  onTestFinished(() => webhook.stop())
  const failed = await scene.run(["drill", "--expect", file], { PGSTOW_NOTIFY: `${webhook.origin}/` })
  expect(webhook.seen.map(({ body }) => body)).toEqual([/"title":"Drill of \w+ failed".*expectation enough/])
  expect(failed.exitCode).toBe(6)
  expect(failureOfRun(failed).message).toMatch(/failed: expectation enough: expected true, found false$/)
  expect(failed.stdout).toMatch(/^drill-failed: /)
  expect(failed.stdout).toContain("a restore takes about")
  const kinds = (await checksOf(scene)).map(({ kind }) => kind)
  expect(kinds).toEqual(["verified", "drilled", "drill-failed"])
  expect((await scene.run(["list"])).stdout).toMatch(/ verified, drill-failed\n$/)
  const shown = (await scene.run(["show", "latest"])).stdout
  expect(shown).toContain("expectation enough: expected true, found false")
  expect((await scene.run(["status"])).stdout).toContain("drill-failed")
  const missing = failureOfRun(await scene.run(["drill", "--expect", join(scene.folder, "none.json")]))
  expect(missing).toMatchObject({ exitCode: 2 })
  expect(await checksOf(scene)).toHaveLength(3)
  const byVariable = (text: string) => scene.run(["drill"], { PGSTOW_EXPECTATIONS: text })
  const few = await byVariable('[{ "name": "few", "sql": "SELECT count(*) < 5 FROM t" }]')
  expect(failureOfRun(few).message).toMatch(/expectation few: expected true, found false$/)
  expect(failureOfRun(await byVariable("{")).message).toMatch(/^PGSTOW_EXPECTATIONS is not JSON/)
})

test("an extension that the server lacks is the finding, which --skip-extension goes without", async () => {
  const scene = await setDrillScene()
  await scene.server.psql("CREATE EXTENSION hstore; CREATE TABLE t (i int)", scene.database)
  await scene.server.psql(
    "UPDATE pg_extension SET extname = 'far_away' WHERE extname = 'hstore'",
    scene.database,
  )
  await scene.json(["backup", "--no-verify"])
  const result = await drillOf(scene, [], 6)
  expect(result.problems).toEqual([
    {
      object: "the extension far_away, and what needs it",
      expected: "that it can be restored",
      found: /far_away/,
    },
  ])
  expect(await drillOf(scene, ["--skip-extension", "far_away"])).toMatchObject({ kind: "drilled" })
  expect(await scene.run(["drill"], { PGSTOW_SKIP_EXTENSION: "far_away" })).toMatchObject({ exitCode: 0 })
  expectNothingLeft(scene)
})

test("a sequence that was behind in the original is a note, and invalid constraints stay as they were", async () => {
  const scene = await setDrillScene()
  await scene.server.psql(
    `CREATE TABLE t (id serial PRIMARY KEY, n int); INSERT INTO t VALUES (7, -1);
     ALTER TABLE t ADD CONSTRAINT positive CHECK (n > 0) NOT VALID`,
    scene.database,
  )
  await scene.json(["backup", "--no-verify"])
  const { kind, drill } = await drillOf(scene)
  expect(kind).toBe("drilled")
  expect(drill?.notes).toEqual([
    "the sequence public.t_id_seq is at 1 as in the original, and public.t.id goes up to 7: what is inserted there may collide",
  ])
})

test("a given server gets a database that is dropped, and no role; a password is not taken as a flag", async () => {
  const scene = await setDrillScene()
  await scene.server.psql("CREATE TABLE t AS SELECT 1 AS i; CREATE VIEW v AS SELECT i FROM t", scene.database)
  await scene.json(["backup", "--no-verify"])
  const state =
    "SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database WHERE datname ~ 'pgstow_drill'"
  const env = { PGSTOW_TARGET: scene.server.url("postgres") }
  expect(await drillOf(scene, [], 0, env)).toMatchObject({ kind: "drilled", startSeconds: null })
  expect(await scene.server.psql(state)).toBe("")
  const failure = failureOfRun(await scene.run(["drill", "--target", scene.server.url("postgres")]))
  expect(failure).toMatchObject({ exitCode: 2, message: /^--target holds a password/ })
})

describe("what is in the way is said before anything is made:", () => {
  test("no such backup, no key, no server, no room", async () => {
    const scene = await setDrillScene()
    expect(failureOfRun(await scene.run(["drill"])).exitCode).toBe(8)
    await scene.server.psql("CREATE TABLE t (i int)", scene.database)
    await scene.json(["backup", "--no-verify"])
    expect(failureOfRun(await scene.run(["drill", "20200102T030000Z-aaaaaaaa"])).exitCode).toBe(8)
    const other = failureOfRun(await scene.run(["drill"], { PGSTOW_IDENTITY: "" }))
    expect(other.exitCode).toBe(7)

    await editManifest(scene, (manifest) => ({
      ...manifest,
      source: { ...manifest.source, sizeBytes: 8e15 },
    }))
    const noRoom = failureOfRun(await scene.run(["drill"]))
    expect(noRoom.exitCode).toBe(2)
    expect(noRoom.message).toMatch(
      /wants 8000000536870912 bytes \(.*\) in \S+, and \d+ \(.*\) are free there$/,
    )
    expect(noRoom.hint).toMatch(/TMPDIR/)

    await editManifest(scene, (manifest) => ({
      ...manifest,
      source: { ...manifest.source, sizeBytes: 8e6, serverVersion: "99.1" },
    }))
    const noServer = failureOfRun(await scene.run(["drill"]))
    expect(noServer.exitCode).toBe(3)
    expect(noServer.message).toMatch(
      /PostgreSQL 99, and a drill needs server programs .*: the newest here is \d+/,
    )
    expect(noServer.hint).toMatch(/apt-get install postgresql-99.*--target/)
    expect(await checksOf(scene)).toEqual([])
    expectNothingLeft(scene)
  })
})
