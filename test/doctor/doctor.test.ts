import { expect, test } from "vitest"
import type { DoctorResult } from "../../task/doctor/doctor.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { type PostgresServer, startPostgres } from "../support/postgres.ts"
import { type Scene, setScene } from "../support/scene.ts"
import { openTestSession } from "../support/session.ts"

/** The program as a user runs it, by a role that may read everything. */
async function healthy(from?: PostgresServer): Promise<Scene & { readonly role: string }> {
  const scene = await setScene(from)
  const { server, database } = scene
  const role = `reader_${database}`
  await server.psql(
    `CREATE ROLE ${role} LOGIN PASSWORD 'pw'; GRANT pg_read_all_data TO ${role};
     CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 100)`,
    database,
  )
  const url = `postgresql://${role}:pw@127.0.0.1:${server.port}/${database}`
  const env = { ...scene.env, DATABASE_URL: url, PGSTOW_IDENTITY: "" }
  return {
    ...scene,
    role,
    env,
    run: (args, more) => scene.run(args, { ...env, ...more }),
  }
}

test("of a healthy set-up there is nothing to say, and the exit code is 0", async () => {
  const { run } = await healthy()
  const { exitCode, stdout, stderr } = await run(["doctor"])
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" })
  expect(stdout).toMatch(
    /^nothing found in \d+\.\d s\ntest_\w+: PostgreSQL \d+\.\S+, [\d.]+ MiB, 1 table\nlargest tables: public\.t [\d.]+ KiB\n$/,
  )
})

test("after a backup it says what the next one comes to", async () => {
  const { run } = await healthy()
  expect((await run(["backup"])).exitCode).toBe(0)
  const { exitCode, stdout } = await run(["doctor"])
  expect({ exitCode, stdout }).toEqual({
    exitCode: 0,
    stdout: expect.stringMatching(/^nothing found/) as unknown,
  })
  expect(stdout).toMatch(
    /\nlast backup: \d{8}T\d{6}Z-\w+, [\d.]+ KiB stored in [\d.]+ s, in file:\/\/\S+\nestimate for the next backup: [\d.]+ s and [\d.]+ KiB; in S3 Standard \(us-east-1\) under \$0\.001 a month, under \$0\.001 for 30 of them\n$/,
  )
})

test("a storage, a key and a server that are wrong are all said, and the exit code is the first error's", async () => {
  const { run, identity } = await healthy()
  const wrong = { DATABASE_URL: "postgresql://nobody@127.0.0.1:1/none", PGSTOW_IDENTITY: identity }
  const { exitCode, stdout } = await run(["doctor", "--storage", "file:///proc/nowhere", "--json"], wrong)
  expect(exitCode).toBe(3)
  // What the program says with --json is the command's result.
  const { findings, databases } = JSON.parse(stdout) as DoctorResult
  expect(findings.map(({ check, severity }) => `${severity} ${check}`)).toEqual([
    "error source.connection",
    "error storage.write",
    "warning keys.identity",
  ])
  expect(databases).toMatchObject([{ size: null, lastBackup: null, expected: null }])
  const onlyKey = await run(["doctor"], { PGSTOW_IDENTITY: identity })
  expect(onlyKey.exitCode).toBe(14)
  expect(onlyKey.stdout).not.toContain(identity)
  expect((await run(["doctor"], { PGSTOW_RECIPIENTS: "age1none" })).exitCode).toBe(7)
  expect((await run(["doctor", "--storage", "file:///proc/nowhere"])).exitCode).toBe(4)
})

test("findings are shown with their fix, the worst first, and the exit code is the worst one's", async () => {
  const { run, server, database, role } = await healthy()
  await server.psql(`ALTER ROLE ${role} SET statement_timeout = '1min'`)
  const mild = await run(["doctor"])
  expect(mild.exitCode).toBe(0)
  expect(mild.stdout).toMatch(/^notice: .*: statement_timeout is 60000 ms/)

  await server.psql("ALTER TABLE t ENABLE ROW LEVEL SECURITY", database)
  const bad = await run(["doctor"])
  expect(bad.exitCode).toBe(3)
  expect(bad.stdout).toMatch(
    new RegExp(
      `^error: ${role}: row-level security hides rows of 1 table from the role: public\\.t\n.*\n {2}fix: ALTER ROLE ${role} BYPASSRLS;\nnotice: .*\n.*\n {2}fix: .*\n1 error, 1 notice in `,
    ),
  )
  expect(failureOfRun(bad)).toMatchObject({ kind: "postgres" })
  expect(bad.stderr).toContain("the doctor found 1 error, 1 notice")

  const { exitCode, stdout } = await run(["doctor", "--json"])
  expect(exitCode).toBe(3)
  // What the program says with --json is the command's result.
  const { findings } = JSON.parse(stdout) as DoctorResult
  expect(findings.map(({ check, severity, fix }) => ({ check, severity, fix }))).toEqual([
    { check: "rights.row-security", severity: "error", fix: `ALTER ROLE ${role} BYPASSRLS;` },
    {
      check: "source.time-limits",
      severity: "notice",
      fix: `ALTER ROLE ${role} RESET statement_timeout;`,
    },
  ])
})

test("with --all each database is looked into, and what is so of the server is said once", async () => {
  const { run, server, database, role } = await healthy()
  const other = await server.createDatabase(`other_${database}`)
  await server.psql(`ALTER ROLE ${role} SET statement_timeout = '1min'`)
  await server.psql("CREATE TABLE closed (); ALTER TABLE closed ENABLE ROW LEVEL SECURITY", other)
  const { exitCode, stdout } = await run(["doctor", "--all", "--include", `*${database}`, "--json"])
  expect(exitCode).toBe(3)
  // What the program says with --json is the command's result.
  const { findings, databases } = JSON.parse(stdout) as DoctorResult
  expect(databases.map((one) => one.database)).toEqual([other, database].toSorted())
  expect(findings.map(({ check }) => check)).toEqual(["rights.row-security", "source.time-limits"])
  const none = await run(["doctor", "--all", "--exclude", "*", "--json"])
  expect(none.exitCode).toBe(3)
  expect(none.stdout).toContain("there is no database to back up")
  for (const refused of [["--all", "--name", "orders"], ["--cleanup"]]) {
    const [doctor, backup] = [await run(["doctor", ...refused]), await run(["backup", ...refused])]
    expect(failureOfRun(doctor)).toEqual({ ...failureOfRun(backup), kind: "usage" })
  }
})

test("it looks through what programs are run by, as a backup does", async () => {
  const { run } = await healthy()
  const { exitCode, stdout } = await run(["doctor", "--exec", "env"])
  expect({ exitCode, stdout }).toEqual({
    exitCode: 0,
    stdout: expect.stringMatching(/^nothing found/) as unknown,
  })
})

test("it takes every flag of backup", async () => {
  const { run } = await healthy()
  const flags = async (command: string) =>
    [...(await run([command, "--help"])).stdout.matchAll(/^ {2}(--[\w-]+)/gm)].map(([, flag]) => flag)
  expect(await flags("doctor")).toEqual(expect.arrayContaining(await flags("backup")))
})

test("nothing is changed on the server, and no lock is wanted beyond ACCESS SHARE", async () => {
  const server = await startPostgres({ settings: { autovacuum: "off" } })
  try {
    const { run, database } = await healthy(server)
    const session = await openTestSession(server)
    const locker = await openTestSession(server, {
      params: {
        ...session.connection.params,
        dbname: database,
      },
      password: server.password,
    })
    try {
      // EXCLUSIVE keeps out every lock but ACCESS SHARE.
      await locker.execute("BEGIN")
      await locker.execute(`
        DO $$ BEGIN EXECUTE (
          SELECT string_agg(format('LOCK TABLE %s IN EXCLUSIVE MODE', oid::regclass), '; ') FROM pg_class
           WHERE relkind = 'r' AND relnamespace <> 'information_schema'::regnamespace); END $$`)
      // The server numbers every transaction that writes.
      const transactions = () => session.query("SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS next")
      const before = await transactions()
      const { exitCode, stdout, stderr } = await run(["doctor"])
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" })
      expect(stdout).toMatch(/^nothing found/)
      expect(await transactions()).toEqual(before)
    } finally {
      await locker.close()
      await session.close()
    }
  } finally {
    await server.stop()
  }
})
