import { afterAll, beforeAll, expect, test } from "vitest"
import { openStorage } from "../../task/storage/open-storage.ts"
import { type PostgresCluster, startPostgres } from "../support/postgres.ts"
import { setScene } from "../support/scene.ts"
import { connectionTo } from "../support/session.ts"
import { sharedPostgres } from "../support/shared-postgres.ts"
import { makePatient, type Patient } from "./patient.ts"

let server: PostgresCluster
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.stop())

async function makeSource(sql: string): Promise<Patient> {
  const patient = await makePatient(await sharedPostgres())
  await patient.sql(`GRANT pg_read_all_data TO ${patient.role}; CREATE TABLE t (id int PRIMARY KEY); ${sql}`)
  return patient
}

/** With a storage that must not be touched. */
const into = (connection = connectionTo(server)) => ({
  target: { connection, storage: openStorage("/nonexistent/storage", { env: {} }) },
})

test("a server that takes everything is silent", async () => {
  const { examine } = await makeSource("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
  expect(await examine(into())).toEqual([])
})

test("roles that the server lacks", async () => {
  const { examine, sql, role } = await makeSource("")
  const owner = `owner_${role}`
  await sql(`CREATE ROLE ${owner}; ALTER TABLE t OWNER TO ${owner}`)
  expect(await examine()).toEqual([])
  const [finding, ...others] = await examine(into())
  expect(others).toEqual([])
  expect(finding).toMatchObject({ check: "target.foreseen", severity: "error" })
  expect(finding?.what).toContain(`the target lacks a role that the backup names: ${owner}`)
  expect(finding?.fix).toContain("--create-roles")
  await server.psql(`CREATE ROLE ${owner}`)
  expect(await examine(into())).toEqual([])
})

test("a user that may not make databases", async () => {
  const { examine } = await makeSource("")
  await server.psql("CREATE ROLE modest LOGIN PASSWORD 'pw'")
  const connection = { ...connectionTo(server, "postgres", { user: "modest" }), password: "pw" }
  const findings = await examine(into(connection))
  const [finding] = findings.filter(({ fix }) => fix.startsWith("ALTER ROLE"))
  expect(finding?.what).toContain("the user modest may not create databases")
  const [statement = ""] = finding?.fix.split(" or ") ?? []
  await server.psql(statement)
  expect((await examine(into(connection))).map(({ what }) => what).join()).not.toContain("create databases")
})

test("an extension that the server lacks", async () => {
  const { examine, sql } = await makeSource("")
  // Whatever its files, it is none that another server has.
  await sql("CREATE EXTENSION citext; UPDATE pg_extension SET extname = 'at_home' WHERE extname = 'citext'")
  const findings = await examine(into())
  expect(findings.map(({ fix }) => fix)).toContain("install it on the server or --skip-extension at_home")
  await sql("UPDATE pg_extension SET extname = 'citext' WHERE extname = 'at_home'")
  expect(await examine(into())).toEqual([])
})

test("a server that is not reached", async () => {
  const { examine } = await makeSource("")
  const findings = await examine(into(connectionTo(server, "postgres", { port: "1" })))
  expect(findings).toMatchObject([{ check: "target.connection", severity: "error" }])
})

test("a password is taken from PGSTOW_TARGET alone, and never shown", async () => {
  const { run } = await setScene()
  const url = `postgresql://nobody:sesame@127.0.0.1:1/none`
  const typed = await run(["doctor", "--target", url])
  expect(typed.exitCode).toBe(2)
  expect(typed.stderr).toContain("--target holds a password")
  const { exitCode, stdout, stderr } = await run(["doctor", "--json"], { PGSTOW_TARGET: url })
  expect(exitCode).toBe(3)
  expect(stdout).toContain("target.connection")
  for (const said of [typed.stdout, typed.stderr, stdout, stderr]) expect(said).not.toContain("sesame")
})

test("a target that takes all of it is named, and one that does not is not", async () => {
  const scene = await setScene()
  const target = `postgresql://postgres@127.0.0.1:${server.port}/postgres`
  const more = { PGSTOW_TARGET: target.replace("postgres@", `postgres:${server.password}@`) }
  const { stdout } = await scene.run(["doctor"], more)
  expect(stdout).toMatch(
    new RegExp(
      `^target: a restore of ${scene.database} would be taken on 127\\.0\\.0\\.1:${server.port}$`,
      "m",
    ),
  )
  const owner = `lost_${scene.database}`
  await scene.server.psql(
    `CREATE ROLE ${owner}; CREATE TABLE lost (); ALTER TABLE lost OWNER TO ${owner}`,
    scene.database,
  )
  expect((await scene.run(["doctor"], more)).stdout).not.toContain("would be taken")
  const without = await scene.run(["doctor", "--exclude-table", "lost"], more)
  expect(without.stdout).toContain("would be taken")
  expect((await scene.run(["doctor"])).stdout).not.toContain("target:")
})
