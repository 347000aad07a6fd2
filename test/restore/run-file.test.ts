import { chmod, mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { beforeEach, expect, onTestFinished, test } from "vitest"
import { failureOfRun } from "../support/failure-line.ts"
import { keepConnected } from "../support/keep-connected.ts"
import { limitedUser } from "../support/limited-user.ts"
import { type Scene, setScene } from "../support/scene.ts"

let scene: Scene
let into: string
beforeEach(async () => {
  scene = await setScene()
  const { server, database } = scene
  into = `${database}_staging`
  await server.psql(
    `CREATE SCHEMA app; ALTER DATABASE ${database} SET search_path = app;
     CREATE TABLE app.people (id int PRIMARY KEY, email text NOT NULL);
     INSERT INTO app.people SELECT n, 'person' || n || '@example.com' FROM generate_series(1, 100) AS n`,
    database,
  )
  await scene.json(["backup"])
  onTestFinished(async () => {
    for (const name of [into, `incomplete_${into}`, `replaced_${into}`])
      await server.psql(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
  })
})

async function runFile(
  sql: string,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
) {
  await writeFile(join(scene.folder, "mask.sql"), sql)
  return scene.run(["restore", "latest", "--into", into, "--run", "mask.sql", "--yes", ...args], env)
}

async function databases(): Promise<string> {
  const { server } = scene
  return server.psql(
    `SELECT coalesce(string_agg(datname, ','), '') FROM pg_database WHERE datname IN ('${into}', 'incomplete_${into}', 'replaced_${into}')`,
  )
}

const mask = "UPDATE people SET email = 'masked' || id\n  WHERE id > 0"
const maskedIn = (name: string) =>
  scene.server.psql("SELECT count(*) FROM app.people WHERE email LIKE 'masked%'", name)

test("the file has run in the restored database, with its own settings, when that has its name", async () => {
  // It may end without a semicolon, copy rows in, and write psql's commands.
  const sql = `\\set word masked\nCOPY people FROM STDIN;\n101\tkäse@example.com\n\\.\n${mask}`
  const { exitCode, stderr } = await runFile(sql)
  expect([exitCode, stderr]).toMatchObject([0, /running mask\.sql in incomplete_/])
  expect(await databases()).toBe(into)
  expect(await maskedIn(into)).toBe("101")
})

test("a dry run names the file, and neither runs it nor makes anything", async () => {
  const { exitCode, stdout } = await runFile("SELECT 1 / 0;", ["--dry-run"])
  expect([exitCode, stdout]).toMatchObject([0, /mask\.sql runs in it \(13 B\)/])
  expect(await databases()).toBe("")
})

test.each([
  [
    "a statement that fails",
    `${mask};\n\nUPDATE people SET emial = '';\n${mask};\n`,
    /^mask\.sql, line 4, failed: column "emial" of relation "people" does not exist$/,
  ],
  ["an unknown command of psql", `${mask};\n\\maks\n`, /^mask\.sql, line 3, failed: invalid command \\maks$/],
  ["a transaction without an end", `BEGIN;\n${mask};\n`, /^mask\.sql ends within a transaction/],
  ["the same without BEGIN", `\\set AUTOCOMMIT off\n${mask};\n`, /^mask\.sql ends within a transaction/],
  [
    "text without an end",
    `${mask};\nSELECT 'a;\n`,
    /^mask\.sql, line \d, failed: unterminated quoted string/,
  ],
])("%s leaves an incomplete database, and says where", async (_, sql, message) => {
  const failure = failureOfRun(await runFile(sql))
  expect(failure.kind).toBe("restoreErrors")
  expect(failure.message).toMatch(message)
  expect(failure.hint).toContain(`incomplete_${into}`)
  expect(await databases()).toBe(`incomplete_${into}`)
})

test("what can't be run is refused before anything is made", async () => {
  await mkdir(join(scene.folder, "folder"))
  const restore = ["restore", "latest", "--into", into, "--run"]
  const refused: [string, RegExp][] = [
    ["missing.sql", /^the file to run, missing\.sql, can't be read: no such file/],
    ["folder", /^the file to run, folder, can't be read: folder is a folder/],
    ["", /^the file to run, , has no name/],
  ]
  for (const [file, message] of refused) {
    const failure = failureOfRun(await scene.run([...restore, file]))
    expect(failure.kind).toBe("usage")
    expect(failure.message).toMatch(message)
  }
  expect(failureOfRun(await runFile(" \n")).message).toContain("mask.sql, is empty")
  await writeFile(join(scene.folder, "mask.sql"), mask)
  const there = failureOfRun(
    await scene.run(["restore", "latest", "--into", scene.database, "--run", "mask.sql", "--yes"]),
  )
  expect(there.message).toContain("--run is for a new database")
  expect(await maskedIn(scene.database)).toBe("0")
  expect(await databases()).toBe("")
})

test("behind a prefix the file comes from this side, and its errors have its lines", async () => {
  const { server, folder } = scene
  const prefix = join(folder, "over-there")
  await writeFile(prefix, `#!/bin/sh\ncd /\nexec env -i PATH="${server.binDir}:/usr/bin:/bin" "$@"\n`)
  await chmod(prefix, 0o755)
  const env = { PGSTOW_EXEC: prefix, PGSTOW_PG_BIN: "" }
  const failure = failureOfRun(await runFile(`${mask};\nSELECT 1 / 0;\n`, [], env))
  expect(failure.message).toBe("mask.sql, line 3, failed: division by zero")
  expect((await runFile(`${mask};\n`, [], env)).exitCode).toBe(0)
  expect(await maskedIn(into)).toBe("100")
})

const commentOf = (name: string) =>
  scene.server.psql(`SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '${name}'`)

test("--replace puts a new database in the place of the one that it made before, whoever is connected to it", async () => {
  const { server } = scene
  expect((await runFile(mask, ["--replace"])).exitCode).toBe(0)
  await server.psql("CREATE TABLE app.left_over ()", into)
  const sleeping = server.psql("SELECT pg_sleep(60)", into).catch((error: unknown) => String(error))
  await expect
    .poll(() => server.psql(`SELECT count(*) FROM pg_stat_activity WHERE datname = '${into}'`))
    .toBe("1")
  const again = await runFile(mask, ["--replace"])
  expect(again, again.stderr).toMatchObject({ exitCode: 0 })
  expect(await sleeping).toContain("terminat")
  expect(await databases()).toBe(into)
  expect(await server.psql("SELECT to_regclass('app.left_over')", into)).toBe("")
  expect(await maskedIn(into)).toBe("100")
})

test("--replace takes the name although its clients connect again at once, whichever of both databases they are in", async () => {
  const { server } = scene
  expect((await runFile(mask, ["--replace"])).exitCode).toBe(0)
  const oid = () => server.psql(`SELECT oid FROM pg_database WHERE datname = '${into}'`)
  const before = await oid()
  await keepConnected(server, into, 40)
  const watching = keepConnected(server, `incomplete_${into}`, 2)
  const again = await runFile(mask, ["--replace"])
  expect(again, again.stderr).toMatchObject({ exitCode: 0 })
  await watching
  expect(await databases()).toBe(into)
  expect(await oid()).not.toBe(before)
})

test("a name that can't be taken comes with statements that take it later", async () => {
  const { server } = scene
  const { user, env } = await limitedUser(scene, "CREATEDB")
  await runFile(mask, ["--replace"])
  await server.psql(`ALTER DATABASE ${into} OWNER TO "${user}"`)
  // Of a superuser, whom no other may send away.
  const sleeping = server.psql("SELECT pg_sleep(60)", into).catch(() => {})
  const pid = `SELECT pid FROM pg_stat_activity WHERE datname = '${into}' AND query LIKE '%pg_sleep%'`
  await expect.poll(() => server.psql(pid)).not.toBe("")
  const failure = failureOfRun(await runFile(mask, ["--replace", "--no-owner", "--anyway"], env))
  expect(failure).toMatchObject({
    exitCode: 3,
    message: /could not be renamed: permission denied to terminate/,
  })
  await server.psql(`SELECT pg_terminate_backend(pid, 10000) FROM (${pid}) AS sleeping`)
  await sleeping
  const [, statements = ""] = /in psql with another database \((.*?;)\),/.exec(failure.hint ?? "") ?? []
  const [, replaced = ""] = /RENAME TO "(\w+_replaced_\d+)";/.exec(statements) ?? []
  onTestFinished(async () => {
    await server.psql(`DROP DATABASE IF EXISTS ${replaced} WITH (FORCE)`)
  })
  await server.psql(statements)
  expect((await databases()).split(",")).toEqual([into])
  expect(await server.psql(`SELECT count(*) FROM pg_database WHERE datname = '${replaced}'`)).toBe("1")
})

test.each([[["--replace"]], [[]]])(
  "a database made meanwhile under the same name is not given out as the restored one: %j",
  async (args) => {
    const { server } = scene
    const meanwhile = `\\c postgres\nDROP DATABASE incomplete_${into};\nCREATE DATABASE incomplete_${into};\n`
    const failure = failureOfRun(await runFile(meanwhile, args))
    expect(failure).toMatchObject({
      exitCode: 3,
      message: `the database "incomplete_${into}" is another one by now: somebody has dropped or renamed it`,
    })
    // It is not this restore's to drop.
    expect(failure.hint).not.toContain("drop it")
    expect(await databases()).toBe(`incomplete_${into}`)
    expect(
      await server.psql(`SELECT count(*) FROM pg_shdescription WHERE description LIKE '%${into} (oid%'`),
    ).toBe("0")
  },
)

test("a database that its user does not own is refused before anything is restored", async () => {
  const { server } = scene
  const { user, env } = await limitedUser(scene, "CREATEDB")
  await runFile(mask, ["--replace"])
  const failure = failureOfRun(await runFile(mask, ["--replace", "--no-owner", "--anyway"], env))
  expect(failure).toMatchObject({
    exitCode: 2,
    message: `the database ${into} belongs to postgres, and only its owner may replace it`,
  })
  expect(await databases()).toBe(into)
  await server.psql(`ALTER DATABASE ${into} OWNER TO "${user}"`)
  const again = await runFile("SELECT 1", ["--replace", "--no-owner", "--anyway"], env)
  expect(again, again.stderr).toMatchObject({ exitCode: 0 })
})

test("at no moment is there no database of the name that is replaced", async () => {
  const { server } = scene
  await runFile(mask, ["--replace"])
  const watching = server.psql(
    `DO $$
     DECLARE
       before oid := (SELECT oid FROM pg_database WHERE datname = '${into}');
       current oid;
     BEGIN
       LOOP
         current := (SELECT oid FROM pg_database WHERE datname = '${into}');
         IF current IS NULL THEN RAISE 'there is none'; END IF;
         EXIT WHEN current <> before;
         PERFORM pg_sleep(0.0002);
       END LOOP;
     END $$`,
  )
  expect((await runFile(mask, ["--replace"])).exitCode).toBe(0)
  await watching
})

test("what an interrupted --replace has left of the database before is dropped by the next, and nobody else's", async () => {
  const { server } = scene
  await runFile(mask, ["--replace"])
  await server.psql(`ALTER DATABASE ${into} RENAME TO replaced_${into}`)
  expect((await runFile(mask, ["--replace"])).exitCode).toBe(0)
  expect(await databases()).toBe(into)
  await server.psql(`CREATE DATABASE replaced_${into}`)
  const refused = failureOfRun(await runFile(mask, ["--replace"]))
  expect(refused).toMatchObject({ exitCode: 2, message: /another database has that name$/ })
  expect((await databases()).split(",").sort()).toEqual([into, `replaced_${into}`].sort())
  await server.psql(`DROP DATABASE ${into}`)
  expect(failureOfRun(await runFile(mask, ["--replace"])).message).toBe(refused.message)
  expect(await databases()).toBe(`replaced_${into}`)
})

test("a replaced database that can't be dropped is named, and the new one has its name", async () => {
  const { server } = scene
  await runFile(mask, ["--replace"])
  await server.psql(`ALTER DATABASE ${into} IS_TEMPLATE true`)
  const { exitCode, stderr } = await runFile(mask, ["--replace"])
  expect([exitCode, stderr]).toMatchObject([0, new RegExp(`is left as replaced_${into}: `)])
  const failure = failureOfRun(await runFile(mask, ["--replace"]))
  expect(failure).toMatchObject({
    exitCode: 3,
    message:
      /^the database replaced_\w+ of an earlier restore can't be dropped: cannot drop a template database/,
  })
  expect((await databases()).split(",").sort()).toEqual([`replaced_${into}`, into].sort())
  await server.psql(`ALTER DATABASE replaced_${into} IS_TEMPLATE false`)
  expect(await maskedIn(into)).toBe("100")
  expect((await runFile(mask, ["--replace"])).exitCode).toBe(0)
  expect(await databases()).toBe(into)
})

test("--replace drops no database but one that it made, or whose comment allows it by its name", async () => {
  const { server } = scene
  await server.psql(`CREATE DATABASE ${into}`)
  await server.psql(`COMMENT ON DATABASE ${into} IS 'pgstow restore --replace may replace another'`)
  const refused = await runFile(mask, ["--replace"])
  expect(failureOfRun(refused)).toMatchObject({ exitCode: 2, message: /is not dropped/ })
  expect(await databases()).toBe(into)
  const [, statement = ""] = /`(COMMENT ON DATABASE .*)`/.exec(failureOfRun(refused).hint ?? "") ?? []
  await server.psql(statement)
  expect((await runFile(mask, ["--replace"])).exitCode).toBe(0)
  expect(await maskedIn(into)).toBe("100")
  const oid = await server.psql(`SELECT oid FROM pg_database WHERE datname = '${into}'`)
  expect(await commentOf(into)).toBe(`pgstow restore --replace may replace ${into} (oid ${oid})`)
})

test("a restored copy does not bring along that its original may be replaced, and the words alone allow nothing", async () => {
  const { server, database } = scene
  const oid = await server.psql(`SELECT oid FROM pg_database WHERE datname = '${database}'`)
  await server.psql(
    `COMMENT ON DATABASE ${database} IS 'pgstow restore --replace may replace ${into} (oid ${oid})'`,
  )
  await scene.json(["backup"])
  await scene.json(["restore", "latest", "--into", into])
  expect(await commentOf(into)).toBe("")
  // As pg_dump --create and psql carry it into another server, or as a copy is renamed.
  await server.psql(
    `COMMENT ON DATABASE ${into} IS 'pgstow restore --replace may replace ${into} (oid ${oid})'`,
  )
  const refused = await runFile(mask, ["--replace"])
  expect(failureOfRun(refused)).toMatchObject({ exitCode: 2, message: /is not dropped/ })
  expect(await maskedIn(into)).toBe("0")
})

test("a database's own comment comes along as it is", async () => {
  const { server, database } = scene
  await server.psql(
    `COMMENT ON DATABASE ${database} IS 'what pgstow restore --replace may replace is staging'`,
  )
  await scene.json(["backup"])
  await scene.json(["restore", "latest", "--into", into])
  expect(await commentOf(into)).toBe("what pgstow restore --replace may replace is staging")
})

test.each(["", " \n"])("with --replace, a PGSTOW_RUN_SQL without SQL is refused: %j", async (sql) => {
  const refused = await scene.run(["restore", "latest", "--into", into, "--replace", "--yes"], {
    PGSTOW_RUN_SQL: sql,
  })
  expect(failureOfRun(refused)).toMatchObject({ exitCode: 2, message: "PGSTOW_RUN_SQL is empty" })
  expect(await databases()).toBe("")
})

test("where the file fails, --replace leaves what was there, and the new one incomplete", async () => {
  const { server } = scene
  await runFile(mask, ["--replace"])
  await server.psql("CREATE TABLE app.still_there ()", into)
  const failed = await runFile("SELECT 1 / 0;", ["--replace"])
  expect(failed.exitCode).toBe(9)
  expect((await databases()).split(",").sort()).toEqual([`incomplete_${into}`, into].sort())
  expect(await server.psql("SELECT to_regclass('app.still_there')", into)).toBe("still_there")
})

test("the text of PGSTOW_RUN_SQL runs where no file is named, and is called so where it fails", async () => {
  const restore = (sql: string) =>
    scene.run(["restore", "latest", "--into", into, "--replace", "--yes"], { PGSTOW_RUN_SQL: sql })
  expect((await restore(mask)).exitCode).toBe(0)
  expect(await maskedIn(into)).toBe("100")
  const failed = await restore("SELECT 1;\nSELECT 1 / 0;")
  expect(failureOfRun(failed).message).toMatch(/PGSTOW_RUN_SQL, line 2, failed: division by zero/)
})

test("--replace wants a name, no --clean, and a backup of pgstow's own", async () => {
  const message = async (args: readonly string[]) =>
    failureOfRun(await scene.run(["restore", "latest", ...args])).message
  expect(await message(["--replace"])).toMatch(/--into/)
  expect(await message(["--into", into, "--replace", "--clean"])).toMatch(/contradict/)
})
