import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { createDatabase, type OriginalDatabase } from "../../task/postgres/create-database.ts"
import { inspectServer } from "../../task/postgres/server.ts"
import type { Session } from "../../task/postgres/session.ts"
import { rejectionOf } from "../support/failure.ts"
import { notRun } from "../support/not-run.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { connectionTo, openTestSession } from "../support/session.ts"
import { majors, needsIcu, sharedPostgres } from "../support/shared-postgres.ts"

const plain: OriginalDatabase = {
  encoding: "UTF8",
  localeProvider: "libc",
  collate: "C",
  ctype: "C",
  locale: null,
  icuRules: null,
  settings: [],
}

describe.for(majors)("a database made on PostgreSQL %i", async (major) => {
  const noIcu = await needsIcu(await sharedPostgres(major))
  const noBuiltin = notRun(major >= 17, "PostgreSQL has builtin locales since 17")
  let server: PostgresServer
  let session: Session
  beforeEach(async () => {
    server = await sharedPostgres(major)
    session = await openTestSession(server)
  })
  afterEach(() => session.close())

  async function inspect(database: string) {
    const other = await openTestSession(server, connectionTo(server, database))
    const found = await inspectServer(other)
    await other.close()
    return found
  }

  test("has the encoding and the locale of its original", async () => {
    const originals = [
      { ...plain, encoding: "LATIN1" },
      { ...plain, ctype: "C.UTF-8" },
    ]
    for (const [index, original] of originals.entries()) {
      const name = `it's "like" \\ the ${index}th\n ${major}`
      expect(await createDatabase(session, name, original)).toEqual([])
      expect(await inspect(name)).toMatchObject({ ...original, database: name })
    }
  })

  test.skipIf(noBuiltin)(`has the builtin locale of its original${noBuiltin}`, async () => {
    await expectLike({ ...plain, localeProvider: "builtin", locale: "C.UTF-8" })
  })

  test.skipIf(noIcu)(`has the ICU locale of its original${noIcu}`, async () => {
    const icuRules = major >= 16 ? "&a < b" : null
    await expectLike({ ...plain, localeProvider: "icu", locale: "de-AT", icuRules })
  })

  async function expectLike(original: OriginalDatabase) {
    const name = `${original.localeProvider}_made_${major}`
    await createDatabase(session, name, original)
    expect(await inspect(name)).toMatchObject(original)
  }

  test("has the settings of its original, value by value", async () => {
    const source = await server.createDatabase()
    const values = `search_path = "$user", 'a "b', public; temp_tablespaces = ''; work_mem = '7MB'; "app.tenant" = E'it''s\\n\\\\'; DateStyle = 'ISO, DMY'`
    for (const value of values.split(";")) await server.psql(`ALTER DATABASE ${source} SET ${value}`)
    const original = await inspect(source)
    expect(original.settings).toHaveLength(5)
    const name = `set_${major}`
    expect(await createDatabase(session, name, original)).toEqual([])
    expect((await inspect(name)).settings).toEqual(original.settings)
  })

  test("goes without the settings that the target refuses, and says so", async () => {
    const settings = ["work_mem=7MB", "no_such_setting=1", "work_mem_too=x"]
    const name = `refused_${major}`
    const refused = await createDatabase(session, name, { ...plain, settings })
    expect(refused.map(({ setting }) => setting)).toEqual(settings.slice(1))
    expect(refused[0]?.reason).toContain('unrecognized configuration parameter "no_such_setting"')
    expect((await inspect(name)).settings).toEqual(["work_mem=7MB"])
  })

  test("is not made where its locale is missing, but by default is with another", async () => {
    const name = `nowhere_${major}`
    for (const missing of [
      { ...plain, collate: "xx_XX.UTF-8", ctype: "xx_XX.UTF-8" },
      { ...plain, localeProvider: "builtin", locale: "C.NOWHERE" },
      { ...plain, localeProvider: "unheard-of", locale: "x" },
    ]) {
      const error = await rejectionOf(createDatabase(session, name, missing))
      expect(error.message).toContain(missing.locale ?? missing.collate)
      expect(error.hint).toContain("--locale default")
      await createDatabase(session, name, missing, { choice: "default" })
      expect(await inspect(name)).toMatchObject({ collate: "C", encoding: "UTF8" })
      await server.psql(`DROP DATABASE ${name}`)
    }
  })

  test("is not made in time where the server is busy, which is not said to be the locale's fault", async () => {
    const busy = await openTestSession(server)
    await busy.execute("BEGIN")
    await busy.execute("LOCK TABLE pg_catalog.pg_database IN SHARE MODE")
    await session.execute("SET statement_timeout = '200ms'")
    const error = await rejectionOf(createDatabase(session, `late_${major}`, plain))
    await busy.close()
    expect(error.message).toContain("canceling statement due to statement timeout")
    expect(error.message).not.toContain("locale")
    expect(error.hint).toContain("statement_timeout")
  })

  test("is not made under a name that is taken, too long or empty", async () => {
    const taken = await server.createDatabase()
    const error = await rejectionOf(createDatabase(session, taken, plain))
    expect(error.message).toBe(`could not create the database "${taken}"`)
    expect(error.hint).toContain("another name")
    for (const name of ["", "x".repeat(64), "ü".repeat(32), "a\0b"])
      expect(await rejectionOf(createDatabase(session, name, plain))).toMatchObject({ kind: "usage" })
  })

  test("is not made by a role that may not", async () => {
    const role = `no_creator_${major}`
    await server.psql(`CREATE ROLE ${role} LOGIN PASSWORD 'pw'`)
    const connection = { ...connectionTo(server, "postgres", { user: role }), password: "pw" }
    const other = await openTestSession(server, connection)
    const error = await rejectionOf(createDatabase(other, "never", plain))
    expect(error.hint).toContain("CREATEDB")
    await other.close()
  })
})
