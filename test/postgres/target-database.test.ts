import { describe, expect, test } from "vitest"
import {
  databaseExists,
  describeContents,
  dropDatabase,
  renameDatabase,
} from "../../task/postgres/target-database.ts"
import { rejectionOf } from "../support/failure.ts"
import { connectionTo, openTestSession } from "../support/session.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

describe.for(majors)("a target on PostgreSQL %i", (major) => {
  test("is renamed and dropped, whatever its name", async () => {
    const server = await sharedPostgres(major)
    const session = await openTestSession(server)
    const [before, after] = [`it's "before"\n☂ ${major}`, `\\after :x ${major}`]
    await server.createDatabase(before)
    expect(await databaseExists(session, before)).toBe(true)
    await renameDatabase(session, before, after)
    expect(await databaseExists(session, before)).toBe(false)
    expect(await databaseExists(session, after)).toBe(true)
    await dropDatabase(session, after)
    await dropDatabase(session, after)
    expect(await databaseExists(session, after)).toBe(false)
    await session.close()
  })

  test("is described by what is in it", async () => {
    const server = await sharedPostgres(major)
    const database = await server.createDatabase()
    const session = await openTestSession(server, connectionTo(server, database))
    const empty = await describeContents(session)
    expect(empty).toMatchObject({ tables: 0, largeObjects: 0, biggest: [] })
    await server.psql(
      `CREATE SCHEMA "My App";
       CREATE TABLE "My App".big AS SELECT repeat('x', 1000) FROM generate_series(1, 2000);
       CREATE TABLE small AS SELECT 1 AS n;
       CREATE TABLE split (n int) PARTITION BY LIST (n);
       SELECT lo_from_bytea(0, 'x')`,
      database,
    )
    const contents = await describeContents(session)
    expect(contents).toMatchObject({ tables: 3, largeObjects: 1 })
    expect(contents.biggest.map(({ name }) => name)).toEqual(['"My App".big', "public.small"])
    expect(contents.biggest[0]?.sizeBytes).toBeGreaterThan(2_000_000)
    expect(contents.sizeBytes).toBeGreaterThan(empty.sizeBytes)
    await session.close()
  })
})

test("a target that somebody else uses is not renamed, and the hint says so", async () => {
  const server = await sharedPostgres()
  const database = await server.createDatabase()
  const [session, other] = [
    await openTestSession(server),
    await openTestSession(server, connectionTo(server, database)),
  ]
  const error = await rejectionOf(renameDatabase(session, database, `${database}_new`))
  expect(error.message).toContain("is being accessed by other users")
  expect(error.hint).toContain("sessions")
  await Promise.all([session.close(), other.close()])
})
