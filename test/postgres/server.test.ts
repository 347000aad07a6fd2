import { beforeAll, describe, expect, test } from "vitest"
import { inspectServer } from "../../task/postgres/server.ts"
import { notRun } from "../support/not-run.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { connectionTo, openTestSession } from "../support/session.ts"
import { majors, needsIcu, sharedPostgres } from "../support/shared-postgres.ts"

describe.for(majors)("inspecting PostgreSQL %i", async (major) => {
  const noIcu = await needsIcu(await sharedPostgres(major))
  const noBuiltin = notRun(major >= 17, "PostgreSQL has builtin locales since 17")
  let server: PostgresServer
  beforeAll(async () => {
    server = await sharedPostgres(major)
  })

  async function inspect(database: string) {
    const session = await openTestSession(server, connectionTo(server, database))
    try {
      return await inspectServer(session)
    } finally {
      await session.close()
    }
  }

  test("an empty database is described by its server and its locale alone", async () => {
    const database = await server.createDatabase(`empty "${major}"\n☂`)
    const { sizeBytes, dataBytes, freeConnections, ...found } = await inspect(database)
    expect(freeConnections).toBeLessThan(250)
    expect(sizeBytes).toBeGreaterThan(5_000_000)
    expect(dataBytes).toBeLessThan(sizeBytes)
    expect(found).toEqual({
      database,
      serverVersion: server.version,
      encoding: "UTF8",
      localeProvider: "libc",
      collate: "C",
      ctype: "C",
      locale: null,
      icuRules: null,
      isInRecovery: false,
      settings: [],
      // As initdb, which found the locale C, and PostgreSQL have it.
      defaults: {
        DateStyle: "ISO, MDY",
        TimeZone: "GMT",
        default_text_search_config: "pg_catalog.simple",
      },
      roles: ["postgres"],
      extensions: [{ name: "plpgsql", version: "1.0" }],
      tables: 0,
    })
  })

  test("settings, roles and tables of a database are found, and none of its neighbours", async () => {
    const [database, neighbour] = [await server.createDatabase(), await server.createDatabase()]
    const role = (name: string) => `${name}_${major}`
    await server.psql(`
      CREATE ROLE ${role("owner")}; CREATE ROLE ${role("reader")}; CREATE ROLE ${role("guest")};
      CREATE ROLE ${role("stranger")};
      ALTER DATABASE ${database} OWNER TO ${role("owner")};
      ALTER DATABASE ${database} SET search_path = "$user", app, public;
      ALTER DATABASE ${database} SET work_mem = '7MB';
      ALTER ROLE ${role("reader")} IN DATABASE ${database} SET work_mem = '9MB';
      GRANT CONNECT ON DATABASE ${database} TO ${role("guest")};
      ALTER DATABASE ${neighbour} SET work_mem = '8MB';
      ALTER DATABASE ${neighbour} OWNER TO ${role("stranger")}`)
    await server.psql(
      `CREATE SCHEMA app; CREATE TABLE app.a (); CREATE TABLE b (i int) PARTITION BY LIST (i); CREATE VIEW v AS SELECT 1;
       GRANT SELECT ON app.a TO ${role("reader")}`,
      database,
    )
    const found = await inspect(database)
    expect(found.settings).toEqual(['search_path="$user", app, public', "work_mem=7MB"])
    expect(found.roles).toEqual([role("guest"), role("owner"), "postgres", role("reader")])
    expect(found.tables).toBe(2)
  })

  test("the connections left are those that server, database and role allow", async () => {
    const database = await server.createDatabase()
    const unlimited = (await inspect(database)).freeConnections
    expect(unlimited).toBeGreaterThan(10)
    await server.psql(`ALTER DATABASE ${database} CONNECTION LIMIT 7`)
    // The server notices a moment after psql that a session is over.
    await expect.poll(async () => (await inspect(database)).freeConnections).toBe(6)
    const role = `busy_${major}`
    await server.psql(`CREATE ROLE ${role} LOGIN PASSWORD 'pw' CONNECTION LIMIT 4`)
    const connection = { ...connectionTo(server, database, { user: role }), password: "pw" }
    const session = await openTestSession(server, connection)
    expect((await inspectServer(session)).freeConnections).toBe(3)
    await session.close()
  })

  test("functions of a user in the way of PostgreSQL's own are not run", async () => {
    const database = await server.createDatabase()
    await server.psql(
      `CREATE FUNCTION public.current_database() RETURNS name LANGUAGE sql AS $$ SELECT 'trapped'::name $$;
       ALTER DATABASE ${database} SET search_path = public, pg_catalog`,
      database,
    )
    expect((await inspect(database)).database).toBe(database)
  })

  test.skipIf(noIcu)(`a database with a locale of ICU is described with it${noIcu}`, async () => {
    const database = `icu_${major}`
    const rules = major >= 16 ? "ICU_RULES '&a < b'" : ""
    await server.psql(
      `CREATE DATABASE ${database} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-AT' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8' ${rules}`,
    )
    expect(await inspect(database)).toMatchObject({
      localeProvider: "icu",
      locale: "de-AT",
      collate: "C",
      ctype: "C.UTF-8",
      icuRules: major >= 16 ? "&a < b" : null,
    })
  })

  test.skipIf(noBuiltin)(`a database with a builtin locale is described with it${noBuiltin}`, async () => {
    const database = `builtin_${major}`
    await server.psql(
      `CREATE DATABASE ${database} TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'`,
    )
    expect(await inspect(database)).toMatchObject({ localeProvider: "builtin", locale: "C.UTF-8" })
  })
})
