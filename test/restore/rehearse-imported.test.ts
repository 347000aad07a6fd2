import { expect, test } from "vitest"
import { sample } from "../legacy/samples.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { limitedUser } from "../support/limited-user.ts"
import { setScene } from "../support/scene.ts"

test("a dry run of an imported backup says what is known of it, and makes nothing", async () => {
  const scene = await setScene()
  const { server, database } = scene
  await scene.json(["import", sample("sentinel_backup_20251215_163138.sql.gz"), "--name", "older"])
  const restore = ["restore", "latest", "--database", "older", "--into", `${database}_copy`]
  const databases = `SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database WHERE datname LIKE '%${database}%'`
  const before = await server.psql(databases)
  const prospect = await scene.json([...restore, "--dry-run"])
  expect(prospect).toMatchObject({
    into: `${database}_copy`,
    exists: false,
    serverVersion: "15.18",
    objects: null,
    tables: 1,
    rows: null,
    rawBytes: expect.any(Number) as unknown,
    expected: null,
    foreseen: [],
    notes: [expect.stringContaining("SQL, which is not looked into")],
    refusal: null,
  })
  const { exitCode, stdout } = await scene.run([...restore, "--dry-run"])
  expect(exitCode).toBe(0)
  expect(stdout).toMatch(/1 table, .*to download/)
  expect(stdout).not.toContain("nothing is foreseen to fail")
  expect(await server.psql(databases)).toBe(before)

  await server.psql("CREATE TABLE t (i int)", database)
  const there = await scene.run(["restore", "latest", "--database", "older", "--into", database, "--dry-run"])
  expect(there.stdout).toContain("it holds 1 table already")

  const { user, env } = await limitedUser(scene, "")
  const dry = failureOfRun(await scene.run([...restore, "--dry-run"], env))
  expect(dry.message).toBe(`the user ${user} may not create databases`)
  const selected = failureOfRun(await scene.run([...restore, "--dry-run", "--table", "t"]))
  expect(selected.message).toContain("a plain dump is restored as it is")
})
