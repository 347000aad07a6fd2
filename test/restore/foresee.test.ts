import { describe, expect, onTestFinished, test } from "vitest"
import { failureOfRun } from "../support/failure-line.ts"
import { limitedUser } from "../support/limited-user.ts"
import { notRun } from "../support/not-run.ts"
import { startPostgres } from "../support/postgres.ts"
import { setScene } from "../support/scene.ts"
import { majors, needsIcu, sharedPostgres } from "../support/shared-postgres.ts"

describe.for(majors)("what is foreseen to fail, with PostgreSQL %i", async (major) => {
  const withIcu = await sharedPostgres(majors[0])
  const tooOld = notRun((majors[0] ?? 0) >= 15, "databases by ICU came with PostgreSQL 15")
  const noIcu = tooOld === "" ? await needsIcu(withIcu) : tooOld
  test("is one list with its ways out, before anything is made; each way out leads out", async () => {
    const scene = await setScene(major)
    const { server, database } = scene
    const [owner, space] = [`Owner of ${database}`, `space_${database}`]
    await server.psql(`CREATE ROLE "${owner}"`)
    await server.psql(`SET allow_in_place_tablespaces = on; CREATE TABLESPACE ${space} LOCATION ''`)
    onTestFinished(async () => {
      await server.psql(`DROP DATABASE ${database}`)
      await server.psql(`DROP TABLESPACE ${space}`)
    })
    await server.psql(
      `CREATE EXTENSION file_fdw; CREATE EXTENSION citext;
       CREATE FOREIGN DATA WRAPPER "our wrapper";
       CREATE SCHEMA s AUTHORIZATION "${owner}";
       CREATE TABLE s.t (i int) TABLESPACE ${space}; ALTER TABLE s.t OWNER TO "${owner}"; INSERT INTO s.t VALUES (1);
       CREATE PUBLICATION "all of it" FOR ALL TABLES; SET client_min_messages = error; CREATE PUBLICATION one FOR TABLE s.t;
       CREATE FUNCTION plain() RETURNS int LANGUAGE sql AS 'SELECT 1';
       CREATE FUNCTION inner_one(int) RETURNS int LANGUAGE internal AS 'int4abs';
       CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
       CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION e()`,
      database,
    )
    await scene.json(["backup"])
    const { user, env } = await limitedUser(scene, "")
    const databases = `SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database WHERE datname LIKE '%${database}%'`
    const before = await server.psql(databases)
    const into = ["--into", `${database}_copy`]

    const failure = failureOfRun(await scene.run(["restore", "latest", ...into], env))
    expect(failure.exitCode).toBe(3)
    const whys = [
      `the user ${user} may not create databases`,
      `the user ${user} may not act as the owners ${owner}, postgres`,
      "only a superuser may create the extension file_fdw",
      `the user ${user} may create nothing in the tablespace ${space}`,
      "only a superuser may create the function in internal inner_one(integer)",
      "only a superuser may create the foreign-data wrapper our wrapper",
      "only a superuser may create the publication for all tables all of it",
      "only a superuser may create the event trigger e",
    ]
    for (const why of whys) expect(failure.message).toContain(why)
    expect(failure.message).toContain(`${whys.length} things would fail`)
    const grant = major < 16 ? `TO "${user}";` : `TO "${user}" WITH INHERIT TRUE, SET TRUE;`
    for (const way of [
      `ALTER ROLE "${user}" CREATEDB`,
      `GRANT "${owner}" ${grant}`.slice(0, -1),
      "--skip-extension file_fdw",
      `GRANT CREATE ON TABLESPACE "${space}" TO "${user}"`,
      "--no-publications",
      "--no-event-triggers",
      "--no-foreign-servers",
      "--anyway",
    ])
      expect(failure.hint).toContain(way)

    const dry = await scene.run(["restore", "latest", ...into, "--dry-run", "--json"], env)
    expect(dry.exitCode).toBe(3)
    expect(JSON.parse(dry.stdout)).toMatchObject({
      foreseen: whys.map((why) => ({ why: expect.stringContaining(why) as unknown })),
      refusal: { kind: "postgres" },
    })
    expect(await server.psql(databases)).toBe(before)

    await server.psql(
      `ALTER ROLE "${user}" CREATEDB; GRANT "${owner}" ${grant} GRANT CREATE ON TABLESPACE "${space}" TO "${user}"`,
    )
    const without =
      "--no-owner --skip-extension file_fdw --no-publications --no-event-triggers --no-foreign-servers"
    const left = failureOfRun(await scene.run(["restore", "latest", ...into, ...without.split(" ")], env))
    expect(left.message).toBe("only a superuser may create the function in internal inner_one(integer)")
    const tables = ["--table", "s.t", ...without.split(" ")]
    const clean = await scene.run(["restore", "latest", ...into, ...tables, "--dry-run"], env)
    expect(clean).toMatchObject({ exitCode: 0 })
    expect(clean.stdout).toContain("nothing is foreseen to fail")
    await scene.json(["restore", "latest", ...into, ...tables], env)
    await server.psql(`DROP DATABASE ${database}_copy`)

    // What was foreseen does fail, and is all that does.
    const anyway = await scene.run(["restore", "latest", ...into, "--no-owner", "--json", "--anyway"], env)
    expect(anyway.exitCode).toBe(9)
    const { errors } = JSON.parse(anyway.stdout) as {
      errors: { count: number; examples: { entry: string }[] }[]
    } // as a RestoreResult is
    const entries = errors.flatMap(({ examples }) => examples.map(({ entry }) => entry))
    expect(new Set(entries.map((entry) => /^[A-Z ]+(?= \S)/.exec(entry)?.[0]))).toEqual(
      new Set(["EVENT TRIGGER", "EXTENSION", "FOREIGN DATA WRAPPER", "FUNCTION", "PUBLICATION"]),
    )
    await server.psql(`DROP DATABASE "incomplete_${database}_copy"`)
  })

  test("counts default privileges of a role that the user may not act as, with --no-owner too", async () => {
    const scene = await setScene(major)
    const { server, database } = scene
    const reader = `Reader of ${database}`
    await server.psql(`CREATE ROLE "${reader}"`)
    await server.psql(`ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO "${reader}"`, database)
    await scene.json(["backup"])
    const { user, env } = await limitedUser(scene, "CREATEDB")
    const restore = ["restore", "latest", "--into", `${database}_copy`, "--no-owner"]

    const failure = failureOfRun(await scene.run(restore, env))
    expect(failure).toMatchObject({
      exitCode: 3,
      message: `the user ${user} may not set default privileges of postgres`,
      hint: "Options: --no-acl, or go on regardless with --anyway.",
    })
    expect((await scene.run([...restore, "--no-acl"], env)).exitCode).toBe(0)
  })

  test("counts default privileges that the role given by --role may not set", async () => {
    const scene = await setScene(major)
    const { server, database } = scene
    const [giver, owner] = [`giver_${database}`, `owner_${database}`]
    await server.psql(
      `CREATE ROLE ${giver}; CREATE ROLE ${owner}; GRANT CREATE ON DATABASE ${database} TO ${owner}`,
    )
    await server.psql(
      `ALTER DEFAULT PRIVILEGES FOR ROLE ${giver} GRANT SELECT ON TABLES TO ${owner}; CREATE TABLE t (i int)`,
      database,
    )
    await scene.json(["backup"])
    const restore = ["restore", "latest", "--into", `${database}_copy`, "--role", owner]
    // A superuser, too, does it as that role.
    const failure = failureOfRun(await scene.run(restore))
    expect(failure.message).toBe(`the role ${owner} may not set default privileges of ${giver}`)
    const [grant = ""] = /GRANT [^,]*/.exec(failure.hint) ?? []
    expect(grant).toContain(`GRANT "${giver}" TO "${owner}"`)
    await server.psql(grant)
    await scene.json(restore)
  })

  test("is nothing for a superuser, and a dry run says what would be done and makes nothing", async () => {
    const scene = await setScene(major)
    const { server, database } = scene
    await server.psql(
      `CREATE TABLE t (i int PRIMARY KEY, j int); INSERT INTO t SELECT n, n FROM generate_series(1, 1000) n;
       CREATE INDEX ON t (j); CREATE TABLE "T u" (i int); CREATE VIEW v AS SELECT 1 AS one`,
      database,
    )
    await server.psql("ANALYZE", database)
    await scene.json(["backup"])
    const databases = `SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database WHERE datname LIKE '%${database}%'`
    const before = await server.psql(databases)
    const prospect = await scene.json(["restore", "latest", "--dry-run"])
    expect(prospect).toMatchObject({
      exists: false,
      objects: { TABLE: 2, INDEX: 1, CONSTRAINT: 1, VIEW: 1 },
      tables: 2,
      rows: 1000,
      foreseen: [],
      refusal: null,
      expected: { seconds: expect.any(Number) as unknown },
    })
    expect(await scene.json(["restore", "latest", "--dry-run", "--table", '"T u"'])).toMatchObject({
      tables: 1,
      rows: 0,
    })
    const { stdout } = await scene.run(["restore", "latest", "--dry-run"])
    expect(stdout).toMatch(/2 tables, about 1000 rows, .* to download/)
    expect(stdout).toContain("by how long the backup took")
    const existing = await scene.run(["restore", "latest", "--dry-run", "--into", database])
    expect(existing).toMatchObject({ exitCode: 0 })
    expect(existing.stdout).toContain("it holds 2 tables already")
    expect(await server.psql(databases)).toBe(before)
  })

  test("says nothing of rows where the server knew nothing of them", async () => {
    const server = await sharedPostgres(major)
    const scene = await setScene(server)
    await server.psql("CREATE TABLE never_analyzed (id int)", scene.database)
    await scene.json(["backup"])
    expect(await scene.json(["restore", "latest", "--dry-run"])).toMatchObject({ tables: 1, rows: null })
    const { stdout } = await scene.run(["restore", "latest", "--dry-run"])
    expect(stdout).not.toContain("rows")
  })

  test("counts the roles that --create-roles makes, which a dry run does not", async () => {
    const [source, target] = await Promise.all([startPostgres({ major }), startPostgres({ major })])
    onTestFinished(() => Promise.all([source.stop(), target.stop()]).then(() => {}))
    const scene = await setScene(source)
    await source.psql("CREATE ROLE app LOGIN; CREATE ROLE boss SUPERUSER")
    await source.psql(
      "CREATE SCHEMA s AUTHORIZATION app; CREATE TABLE s.t (); ALTER TABLE s.t OWNER TO app",
      scene.database,
    )
    await scene.json(["backup"])
    const dryRun = async (user: string, ...args: string[]) => {
      const url = new URL(target.url("postgres"))
      ;[url.username, url.password] = [user, "pw"]
      return scene.run(["restore", "latest", "--dry-run", "--json", ...args], { DATABASE_URL: url.href })
    }
    await target.psql(
      "CREATE ROLE plain LOGIN CREATEDB PASSWORD 'pw'; CREATE ROLE adm LOGIN CREATEDB CREATEROLE PASSWORD 'pw'",
    )
    // The database itself belongs to the superuser.
    await source.psql(`ALTER DATABASE ${scene.database} OWNER TO app`)
    await scene.json(["backup"])
    const without = await dryRun("adm")
    expect(without.exitCode).toBe(3)
    expect(without.stdout).toContain("the target lacks a role that the backup names: app")
    const made = await dryRun("adm", "--create-roles")
    expect(made.exitCode).toBe(0)
    expect(JSON.parse(made.stdout)).toMatchObject({ rolesToMake: ["app", "boss"], foreseen: [] })
    const plain = await dryRun("plain", "--create-roles")
    expect(plain.exitCode).toBe(3)
    expect(plain.stdout).toContain("the user plain may not create roles")
    expect(await target.psql("SELECT count(*) FROM pg_roles WHERE rolname = 'app'")).toBe("0")
  })

  const why = notRun(major >= 16, "membership without rights came with PostgreSQL 16")
  test.skipIf(why !== "")(`a member that does not inherit the owner's rights is told${why}`, async () => {
    const scene = await setScene(major)
    const owner = `owner_${scene.database}`
    await scene.server.psql(`CREATE ROLE ${owner}`)
    await scene.server.psql(
      `CREATE SCHEMA s AUTHORIZATION ${owner}; CREATE TABLE s.t (i int PRIMARY KEY); ALTER TABLE s.t OWNER TO ${owner};
       ALTER DATABASE ${scene.database} OWNER TO ${owner}`,
      scene.database,
    )
    await scene.json(["backup"])
    const { user, env } = await limitedUser(scene, "CREATEDB")
    await scene.server.psql(`GRANT ${owner} TO "${user}" WITH INHERIT FALSE, SET TRUE`)
    const failure = failureOfRun(await scene.run(["restore", "latest"], env))
    expect(failure.message).toBe(`the user ${user} may act as ${owner}, but does not inherit the rights`)
    const [grant = ""] = /GRANT .*? SET TRUE/.exec(failure.hint) ?? []
    await scene.server.psql(grant)
    await scene.json(["restore", "latest", "--into", `${scene.database}_copy`], env)
  })

  test.skipIf(noIcu)(
    `ICU's collations and locales are told where the target is built without it${noIcu}`,
    async () => {
      const target = await startPostgres({ major })
      onTestFinished(() => target.stop())
      const scene = await setScene(withIcu)
      const { server, database } = scene
      await server.psql("CREATE COLLATION german (provider = icu, locale = 'de')", database)
      await scene.json(["backup"])
      // Where it is built with ICU, as if it were not: these are all that is there then.
      await target.psql("DELETE FROM pg_collation WHERE collprovider = 'i' AND collname <> 'unicode'")
      const env = { DATABASE_URL: target.url("postgres") }
      const restore = ["restore", "latest", "--no-owner", "--no-acl"]
      const failure = failureOfRun(await scene.run(restore, env))
      expect(failure.message).toBe("the target is built without ICU, which the collation public.german is of")
      expect(failure.hint).toContain("another server, which is built with ICU")

      await server.psql(`DROP DATABASE ${database}`)
      await server.psql(
        `CREATE DATABASE ${database} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'de' LC_COLLATE 'C' LC_CTYPE 'C'`,
      )
      await scene.json(["backup"])
      const ofDatabase = failureOfRun(await scene.run(restore, env))
      expect(ofDatabase.message).toBe("the target is built without ICU, which the locale de is of")
      expect(ofDatabase.hint).toContain("--locale default")
    },
  )

  test("a locale that the server lacks is told before the database is made", async () => {
    const scene = await setScene(major)
    await scene.json(["backup"])
    const { server, folder } = scene
    // As if the backup came from another machine.
    const { globSync, readFileSync, writeFileSync } = await import("node:fs")
    const [file = ""] = globSync(`${folder}/backups/*/*/manifest.json`)
    writeFileSync(file, readFileSync(file, "utf8").replace(/"collate": "[^"]*"/, '"collate": "xx_XX.UTF-8"'))
    const failure = failureOfRun(await scene.run(["restore", "latest"]))
    expect(failure.message).toBe("the target has no locale xx_XX.UTF-8")
    expect(failure.hint).toContain("--locale default")
    await scene.json(["restore", "latest", "--locale", "default", "--into", `${scene.database}_copy`])
    expect(await server.psql("SELECT 1", `${scene.database}_copy`)).toBe("1")
  })
})
