import { expect, onTestFinished, test } from "vitest"
import { setScene } from "../support/scene.ts"

test("--all backs up every chosen database; one that fails keeps none of the others", async () => {
  const scene = await setScene()
  const { server, database } = scene
  const names = ["a", "b", "broken", "left_out"].map((name) => `${database}_${name}`)
  for (const name of names) await server.createDatabase(name)
  const role = `${database}_role`
  await server.psql(`CREATE ROLE ${role} LOGIN PASSWORD 'pw'`)
  onTestFinished(async () => {
    for (const name of names) await server.psql(`DROP DATABASE ${name}`)
    await server.psql(`DROP ROLE ${role}`)
  })
  await server.psql("CREATE TABLE secret_table (a int)", names[2])
  const env = {
    DATABASE_URL: `postgres://${role}:pw@127.0.0.1:${server.port}/postgres`,
    PGSTOW_INCLUDE: `${database}_*`,
    PGSTOW_EXCLUDE: "*_left_out",
  }
  const { exitCode, stdout, stderr } = await scene.run(["backup", "--all", "--json"], env)
  expect(exitCode).toBe(3)
  expect(stderr).toContain(`1 of 3 databases could not be backed up: ${names[2]}`)
  expect(JSON.parse(stdout)).toMatchObject({
    databases: [
      { database: names[0], backup: { database: names[0], storages: [{ state: "verified" }] }, error: null },
      { database: names[1], error: null },
      { database: names[2], backup: null, error: { kind: "postgres" } },
    ],
  })
  expect(stdout).toContain("permission denied for table secret_table")
  expect((await scene.run(["backup", "--all", "--name", "x"], env)).exitCode).toBe(2)
  expect((await scene.run(["backup", "--all", "--include", "nothing"], env)).stderr).toContain(
    "no database to back up",
  )
})

test("--all names a database that the user may not connect to, and fails", async () => {
  const scene = await setScene()
  const { server, database } = scene
  const names = ["closed", "open", "refused"].map((name) => `${database}_${name}`)
  const [closed = "", open = "", refused = ""] = names
  for (const name of names) await server.createDatabase(name)
  const role = `${database}_role`
  await server.psql(`CREATE ROLE ${role} LOGIN PASSWORD 'pw'`)
  onTestFinished(async () => {
    for (const name of names) await server.psql(`DROP DATABASE ${name}`)
    await server.psql(`DROP ROLE ${role}`)
  })
  await server.psql(`ALTER DATABASE ${closed} ALLOW_CONNECTIONS false`)
  await server.psql(`REVOKE CONNECT ON DATABASE ${refused} FROM PUBLIC`)
  const env = {
    DATABASE_URL: `postgres://${role}:pw@127.0.0.1:${server.port}/postgres`,
    PGSTOW_INCLUDE: `${database}_*`,
  }
  const { exitCode, stdout, stderr } = await scene.run(["backup", "--all", "--json"], env)
  expect(exitCode).toBe(3)
  expect(stderr).toContain(`2 of 3 databases could not be backed up: ${closed}, ${refused}`)
  expect(JSON.parse(stdout)).toMatchObject({
    databases: [
      { database: closed, backup: null, error: { kind: "postgres" } },
      { database: open, error: null },
      { database: refused, backup: null, error: { kind: "postgres" } },
    ],
  })
  expect(stdout).toContain("not currently accepting connections")
  expect(stdout).toContain("GRANT CONNECT")
  const excluded = await scene.run(["backup", "--all", "--exclude", "*_closed", "--exclude", refused], env)
  expect(excluded.exitCode).toBe(0)
})
