import { expect, onTestFinished, test } from "vitest"
import { setScene } from "../support/scene.ts"
import { newestMajor } from "../support/shared-postgres.ts"

const limits = {
  statement_timeout: 15,
  lock_timeout: 1,
  idle_in_transaction_session_timeout: 100,
  idle_session_timeout: 500,
  transaction_timeout: 100,
}

test.for(newestMajor)(
  "settings of role and database touch neither backup nor restore, PostgreSQL %i",
  { timeout: 120_000 },
  async (major) => {
    const scene = await setScene(major)
    const { server, database } = scene
    const [role, copy] = [`limited_${database}`, `${database}_copy`]
    onTestFinished(async () => {
      for (const name of [copy, `incomplete_${copy}`]) await server.psql(`DROP DATABASE IF EXISTS ${name}`)
      await server.psql(`DROP ROLE ${role}`)
    })
    await server.psql(
      `CREATE TABLE big AS SELECT i, xmlparse(content 'text <a/>') AS x, ARRAY[NULL, 'a'] AS list, repeat('x', 900) AS pad
         FROM generate_series(1, 25000) AS i;
       CREATE INDEX ON big (i, pad);
       CREATE MATERIALIZED VIEW slow AS SELECT pg_sleep(0.7)::text AS slept, xmlparse(content 'a') AS x;
       DO $$ BEGIN FOR n IN 1..30 LOOP EXECUTE format('CREATE TABLE t%s (i int PRIMARY KEY)', n); END LOOP; END $$`,
      database,
    )
    await server.psql(`CREATE ROLE ${role} SUPERUSER LOGIN PASSWORD 'pw'`)
    const others = ["default_transaction_read_only = on", "xmloption = document", "array_nulls = off"]
    const ofRole = Object.entries(limits)
      .filter(([name]) => name !== "transaction_timeout" || major >= 17)
      .map(([name, ms]) => `${name} = ${ms}`)
    for (const setting of [...ofRole, ...others]) await server.psql(`ALTER ROLE ${role} SET ${setting}`)
    for (const setting of [...others, "bytea_output = escape", "datestyle = 'German'"])
      await server.psql(`ALTER DATABASE ${database} SET ${setting}`)

    const env = { DATABASE_URL: server.url(database).replace(/postgres:[^/@]+@/, `${role}:pw@`) }
    await scene.json(["backup", "--jobs", "2"], env)
    const content = (name: string) =>
      server.psql("SELECT count(*), md5(string_agg(b::text, ' ' ORDER BY i)) FROM big AS b", name)
    for (const more of [[], ["--clean", "--yes"]]) {
      const restored = await scene.json(["restore", "latest", "--into", copy, "--jobs", "2", ...more], env)
      expect(restored).toMatchObject({ state: "restored", errors: [], warnings: [] })
      expect(await content(copy)).toBe(await content(database))
    }
    expect(await server.psql("SELECT array_length(list, 1), list[1] IS NULL FROM big LIMIT 1", copy)).toBe(
      "2|t",
    )
  },
)

test("a server that refuses the first statement is told of, and the program ends", async () => {
  const scene = await setScene()
  const { server, database } = scene
  const role = `refused_${database}`
  onTestFinished(async () => {
    await server.psql(`DROP ROLE ${role}`)
  })
  await server.psql(
    `CREATE ROLE ${role} LOGIN PASSWORD 'pw'; REVOKE EXECUTE ON FUNCTION pg_catalog.json_agg(anyelement) FROM PUBLIC`,
    database,
  )
  const env = { DATABASE_URL: server.url(database).replace(/postgres:[^/@]+@/, `${role}:pw@`) }
  const { exitCode, stderr } = await scene.run(["backup"], env)
  expect(stderr).toContain("permission denied for aggregate json_agg")
  expect(exitCode).toBe(3)
})

test("a restore whose waiting session is lost gives the database its name by another", async () => {
  const scene = await setScene()
  const { server, database } = scene
  const [role, copy] = [`restores_${database}`, `${database}_copy`]
  onTestFinished(async () => {
    for (const name of [copy, `incomplete_${copy}`]) await server.psql(`DROP DATABASE IF EXISTS ${name}`)
    await server.psql(`DROP ROLE ${role}`)
  })
  await server.psql(`CREATE ROLE ${role} SUPERUSER LOGIN PASSWORD 'pw'`)
  await server.psql("CREATE MATERIALIZED VIEW slow AS SELECT pg_sleep(3)::text AS slept", database)
  await scene.json(["backup"])
  const env = { DATABASE_URL: server.url(database).replace(/postgres:[^/@]+@/, `${role}:pw@`) }
  const running = scene.start(["restore", "latest", "--into", copy, "--json"], env)
  const ours = `SELECT pid FROM pg_stat_activity WHERE usename = '${role}'`
  await expect.poll(() => server.psql(`${ours} AND query LIKE 'REFRESH%'`), { timeout: 20_000 }).not.toBe("")
  await server.psql(`SELECT pg_terminate_backend(pid) FROM (${ours} AND datname = 'postgres') AS waiting`)
  expect((await running.finished).exitCode).toBe(0)
  expect(await server.psql(`SELECT count(*) FROM slow`, copy)).toBe("1")
})
