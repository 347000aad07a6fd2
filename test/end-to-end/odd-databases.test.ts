import { describe, expect, onTestFinished, test } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { needsPgbouncer, startPgbouncer } from "../support/pgbouncer.ts"
import { startPostgres } from "../support/postgres.ts"
import { type Scene, setScene } from "../support/scene.ts"
import { connectionTo, openTestSession } from "../support/session.ts"

/** Backs the scene's database up, restores it under another name, and fails the test unless both are equal. */
async function expectRoundTrip(
  scene: Scene,
  more: Readonly<Record<string, string>> = {},
  database = scene.database,
) {
  const backup = await scene.json(["backup"], more)
  expect(backup).toMatchObject({ storages: [{ state: "verified" }] })
  const copy = `${database} back`
  await scene.json(["restore", "latest", "--into", copy], more)
  const { server } = scene
  expect(await compareDatabases({ server, name: database }, { server, name: copy })).toEqual([])
  return backup
}

describe("comes back as it was", () => {
  test("an empty database", async () => {
    await expectRoundTrip(await setScene())
  })

  test("a database of large objects alone", async () => {
    const scene = await setScene()
    await scene.server.psql(
      `SELECT lo_from_bytea(0, convert_to(repeat(i::text, 100000), 'UTF8')) FROM generate_series(1, 20) AS i;
       SELECT lo_create(0)`,
      scene.database,
    )
    await expectRoundTrip(scene)
  })

  test("a database whose names hold quotes, spaces, newlines and emoji", async () => {
    const scene = await setScene()
    const { server } = scene
    const odd = `it's "odd"\n\t\\ é 🐘 %41/../=`
    const database = await server.createDatabase(`${odd} ${scene.database}`)
    const role = `${odd} ${scene.database}`
    const [name, owner] = [odd, role].map((each) => `"${each.replaceAll('"', '""')}"`)
    await server.psql(`CREATE ROLE ${owner}`)
    onTestFinished(async () => {
      for (const each of [database, `${database} back`])
        await server.psql(`DROP DATABASE IF EXISTS "${each.replaceAll('"', '""')}"`)
      await server.psql(`DROP ROLE ${owner}`)
    })
    await server.psql(
      `CREATE SCHEMA ${name} AUTHORIZATION ${owner};
       CREATE TABLE ${name}.${name} (${name} text PRIMARY KEY);
       INSERT INTO ${name}.${name} VALUES (E'\\n🐘');
       GRANT SELECT ON ${name}.${name} TO ${owner}`,
      database,
    )
    const backup = await expectRoundTrip(scene, { DATABASE_URL: server.url(database) }, database)
    expect(backup).toMatchObject({ database })
    expect(await scene.json(["list", database])).toMatchObject({ backups: [{ database }] })
  })
})

test("a backup is kept under the name that it is given, whatever is in it", async () => {
  const scene = await setScene()
  const name = `../shop/eu "1"\n🐘`
  await scene.json(["backup", "--name", name])
  expect(await scene.json(["list", name])).toMatchObject({ backups: [{ database: name }] })
  expect(await scene.json(["show", "latest"])).toMatchObject({
    manifest: { database: name, source: { database: scene.database } },
  })
  const { stdout } = await scene.run(["list"])
  expect(stdout.trimEnd().split("\n")).toHaveLength(2)
})

test("5,000 tables are backed up on a server with the settings that it comes with", async () => {
  const server = await startPostgres()
  onTestFinished(() => server.stop())
  const scene = await setScene(server)
  await server.psql(
    `SELECT format('CREATE TABLE t%s AS SELECT %1$s AS id', i) FROM generate_series(1, 5000) AS i \\gexec`,
    scene.database,
  )
  await scene.json(["backup"])
  expect(await scene.json(["show"])).toMatchObject({ manifest: { source: { tables: 5000 } } })
  expect(await scene.json(["verify", "--deep"])).toMatchObject([{ kind: "deep-verified" }])
})

test("a database with more tables than the server has locks is refused with what to raise", async () => {
  const server = await startPostgres({ settings: { max_locks_per_transaction: "10", max_connections: "10" } })
  onTestFinished(() => server.stop())
  const scene = await setScene(server)
  const tables = "SELECT format('CREATE TABLE t%s ()', i) FROM generate_series(1, 2000) AS i"
  await server.psql(`${tables} \\gexec`, scene.database)
  const failure = failureOfRun(await scene.run(["backup"]))
  expect(failure.kind).toBe("postgres")
  expect(failure.hint).toContain("max_locks_per_transaction")
})

describe("is refused, with what to do", () => {
  test("a table that somebody has locked for longer than --lock-wait", async () => {
    const scene = await setScene()
    await scene.server.psql("CREATE TABLE invoices ()", scene.database)
    const session = await openTestSession(scene.server, connectionTo(scene.server, scene.database))
    onTestFinished(() => session.close())
    await session.execute("BEGIN")
    await session.execute("LOCK TABLE invoices")
    const from = performance.now()
    const failure = failureOfRun(await scene.run(["backup", "--lock-wait", "1"]))
    // Without --lock-wait it would be a minute.
    expect(performance.now() - from).toBeLessThan(30_000)
    expect(failure.kind).toBe("postgres")
    expect(failure.message).toMatch(/: another session keeps public.invoices locked$/)
    expect(failure.hint).toContain("Another session holds a lock")
    await scene.expectNoBackup()
  })

  test.each([
    [
      "a table that its role may not read",
      "",
      /permission denied for table secrets/,
      /GRANT pg_read_all_data/,
    ],
    [
      "a table whose rows its role would not all see",
      "GRANT SELECT ON secrets TO CURRENT_ROLE_UNDER_TEST; ALTER TABLE secrets ENABLE ROW LEVEL SECURITY",
      /row-level security/,
      /BYPASSRLS/,
    ],
  ])("%s", async (_, sql, message, hint) => {
    const scene = await setScene()
    const { server, database } = scene
    const role = `reader_${database}`
    await server.psql(
      `CREATE ROLE ${role} LOGIN PASSWORD 'hunter2'; CREATE TABLE secrets AS SELECT 1 AS id;
       ${sql.replace("CURRENT_ROLE_UNDER_TEST", role)}`,
      database,
    )
    onTestFinished(async () => {
      await server.psql(`DROP OWNED BY ${role}; DROP ROLE ${role}`, database)
    })
    const url = new URL(server.url(database))
    url.username = role
    url.password = "hunter2"
    const finished = await scene.run(["backup"], { DATABASE_URL: url.href })
    const failure = failureOfRun(finished)
    expect(failure.kind).toBe("postgres")
    expect(failure.message).toMatch(message)
    expect(failure.hint).toMatch(hint)
    expect(finished.stderr).not.toContain("hunter2")
    await scene.expectNoBackup()
  })

  test.skipIf(needsPgbouncer)(
    `a pooler that lends connections by the transaction${needsPgbouncer}`,
    async () => {
      const scene = await setScene()
      const pooler = await startPgbouncer(scene.server, "transaction")
      onTestFinished(() => pooler.stop())
      const failure = failureOfRun(await scene.run(["backup"], { DATABASE_URL: pooler.url(scene.database) }))
      expect(failure.kind).toBe("postgres")
      expect(failure.message).toContain("a pooler in transaction mode")
      expect(failure.hint).toContain("session mode")
    },
  )

  test.skipIf(needsPgbouncer)(`but not one that lends them by the session${needsPgbouncer}`, async () => {
    const scene = await setScene()
    const pooler = await startPgbouncer(scene.server, "session")
    onTestFinished(() => pooler.stop())
    const backup = await scene.json(["backup"], { DATABASE_URL: pooler.url(scene.database) })
    expect(backup).toMatchObject({ storages: [{ state: "verified" }] })
  })
})
