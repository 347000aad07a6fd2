import { access } from "node:fs/promises"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { identifier } from "../../task/core/quote.ts"
import { startPostgres } from "../support/postgres.ts"
import { setScene } from "../support/scene.ts"
import { majors } from "../support/shared-postgres.ts"

/** A server with a database that belongs to a role without rights, and a server to restore it to as superuser. */
async function setHostileScene(major: number) {
  const [source, target] = await Promise.all([startPostgres({ major }), startPostgres({ major })])
  onTestFinished(() => Promise.all([source.stop(), target.stop()]).then(() => {}))
  const scene = await setScene(source)
  const { database, folder } = scene
  for (const server of [source, target]) await server.psql("CREATE ROLE mallory LOGIN")
  await source.psql(`ALTER DATABASE ${database} OWNER TO mallory; ALTER SCHEMA public OWNER TO mallory`)
  await source.psql(`ALTER SCHEMA public OWNER TO mallory`, database)
  const proof = join(folder, "proof")
  return {
    ...scene,
    source,
    target,
    /** A file that stays away unless an attack has run a program. */
    proof,
    asMallory: (sql: string) => source.psql(`SET SESSION AUTHORIZATION mallory;\n${sql}`, database),
    restore: (args: readonly string[] = []) =>
      scene.run(["restore", "latest", "--into", "back", "--json", ...args], {
        DATABASE_URL: target.url("postgres"),
      }),
    expectNobodyLetIn: async () => {
      expect(await target.psql("SELECT rolname FROM pg_roles WHERE rolsuper")).toBe("postgres")
      await expect(access(proof)).rejects.toThrow("ENOENT")
    },
  }
}

test.for(majors)("what is called like the database is made in no other one: %i", async (major) => {
  const { database, asMallory, json, restore, expectNobodyLetIn, target } = await setHostileScene(major)
  const name = identifier(`DATABASE ${database}`)
  await asMallory(`
    CREATE TABLE "DATABASE" (a int);
    CREATE RULE ${identifier(database)} AS ON INSERT TO "DATABASE" DO ALSO
      (SELECT 1; UPDATE pg_catalog.pg_authid SET rolsuper = true WHERE rolname = 'mallory'; SELECT 2);
    CREATE SCHEMA ${name};
    CREATE MATERIALIZED VIEW ${name} AS SELECT 1 AS a`)
  await json(["backup"])
  const { exitCode } = await restore()
  await expectNobodyLetIn()
  expect(await target.psql(`SELECT count(*) FROM pg_class WHERE relname = 'DATABASE ${database}'`)).toBe("0")
  expect(await target.psql(`SELECT count(*) FROM pg_namespace WHERE nspname = 'DATABASE ${database}'`)).toBe(
    "0",
  )
  expect(exitCode).toBe(0)
  expect(await target.psql(`SELECT count(*) FROM pg_rules WHERE rulename = '${database}'`, "back")).toBe("1")
})

test.for(majors)(
  "names that look like what pg_restore says change nothing about a restore: %i",
  async (major) => {
    const { asMallory, json, restore, target } = await setHostileScene(major)
    const names = [
      "a\npg_restore: error: could not execute query: ERROR:  server closed the connection unexpectedly",
      "b\npg_restore: warning: errors ignored on restore: 1",
      "c\r\npg_restore: error: could not read from input file: end of file\r\n\u001b[2J",
    ]
    await asMallory(
      names
        .map(identifier)
        .map(
          (
            name,
          ) => `CREATE SEQUENCE ${name.replace('"', '"seq ')}; CREATE TABLE ${name} (${name} int PRIMARY KEY);
                   COMMENT ON TABLE ${name} IS 'one'; INSERT INTO ${name} VALUES (1);
                   CREATE VIEW ${name.replace('"', '"view ')} AS SELECT 1 AS ${name};`,
        )
        .join("\n"),
    )
    await json(["backup"])
    const { exitCode, stdout } = await restore()
    expect(JSON.parse(stdout)).toMatchObject({ state: "restored", tables: 3, errors: [] })
    expect(exitCode).toBe(0)
    expect(
      await target.psql(
        "SELECT count(*) FROM pg_class WHERE relname ~ 'pg_restore:' AND relkind = 'r'",
        "back",
      ),
    ).toBe("3")
  },
)

/** Words of a server that end, as pg_restore shows them, in what looks like its own command, and its own end. */
const forgedError = `
  CREATE FUNCTION lies(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
    BEGIN
      IF current_database() NOT LIKE '%back' THEN RETURN 1; END IF;
      RAISE EXCEPTION E'unrecognized configuration parameter "%"\nCommand was: SET a = b;\npg_restore: warning: errors ignored on restore: 1', current_database();
    END $$;
  CREATE TABLE t (a int);
  INSERT INTO t VALUES (1);
  CREATE INDEX "i\npg_restore: while INITIALIZING:" ON t (lies(a))`

test.for(majors)(
  "an index that can't be made is told, whatever the server's words are: %i",
  async (major) => {
    const { asMallory, json, restore, target } = await setHostileScene(major)
    await asMallory(forgedError)
    await json(["backup"])
    const { exitCode, stdout } = await restore()
    expect(JSON.parse(stdout)).toMatchObject({ state: "incomplete", into: "incomplete_back" })
    expect(exitCode).toBe(9)

    await target.psql("CREATE DATABASE existing_back")
    const again = await restore(["--into", "existing_back", "--yes"])
    expect(JSON.parse(again.stdout)).toMatchObject({ state: "unchanged" })
    expect(again.exitCode).not.toBe(0)
  },
)
