import { setTimeout as sleep } from "node:timers/promises"
import { beforeAll, describe, expect, onTestFinished, test, vi } from "vitest"
import { inspectServer } from "../../task/postgres/server.ts"
import { openSnapshot } from "../../task/postgres/snapshot.ts"
import { rejectionOf } from "../support/failure.ts"
import { type PostgresServer, startPostgres } from "../support/postgres.ts"
import { connectionTo, openTestSession } from "../support/session.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

describe.for(majors)("a snapshot of PostgreSQL %i", (major) => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await sharedPostgres(major)
  })

  test("shows other sessions the database as it was", async () => {
    const database = await server.createDatabase()
    await server.psql("CREATE TABLE t AS SELECT 1 AS n", database)
    const before = Date.now()
    const session = await openTestSession(server, connectionTo(server, database))
    const snapshot = await openSnapshot(session, { lockWaitSeconds: 10 })
    await server.psql("INSERT INTO t VALUES (2)", database)
    const seen = `BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '${snapshot.id}'; SELECT n FROM t`
    expect(await server.psql(seen, database)).toBe("1")
    expect(await session.query("SELECT n FROM public.t")).toEqual([{ n: 1 }])
    expect(snapshot.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    expect(Math.abs(Date.parse(snapshot.time) - before)).toBeLessThan(60_000)
    expect(snapshot.lsn).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/)
    await session.close()
    // The server notices a moment after psql has gone.
    await vi.waitFor(() => expect(server.psql(seen, database)).rejects.toThrow("snapshot"), 30_000)
  })

  test("outlives the time limits of its role and database", async () => {
    const database = await server.createDatabase()
    const limits = ["statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"]
    if (major >= 17) limits.push("transaction_timeout")
    for (const limit of limits) await server.psql(`ALTER DATABASE ${database} SET ${limit} = '600ms'`)
    const session = await openTestSession(server, connectionTo(server, database))
    await openSnapshot(session, { lockWaitSeconds: 10 })
    await sleep(900)
    expect(await session.query("SELECT 1 AS n FROM pg_sleep(0.9)")).toEqual([{ n: 1 }])
    await session.close()
  })

  test("waits for a lock no longer than it is told to", async () => {
    const database = await server.createDatabase()
    await server.psql("CREATE TABLE t ()", database)
    const holder = await openTestSession(server, connectionTo(server, database))
    await holder.execute("BEGIN")
    await holder.execute("LOCK TABLE t")
    const session = await openTestSession(server, connectionTo(server, database))
    const error = await rejectionOf(openSnapshot(session, { lockWaitSeconds: 0.1 }))
    expect(error.message).toMatch(/another session keeps public\.t locked$/)
    expect(error.hint).toContain("lock")
    await Promise.all([holder.close(), session.close()])
  })

  test("holds the tables as they are until its session ends", async () => {
    const database = await server.createDatabase()
    await server.psql("CREATE TABLE t (); CREATE TABLE u ()", database)
    const session = await openTestSession(server, connectionTo(server, database))
    await openSnapshot(session, { lockWaitSeconds: 10 })
    const change = "SET lock_timeout = '100ms'; TRUNCATE u"
    await expect(server.psql(change, database)).rejects.toThrow("lock timeout")
    await session.close()
    // The server notices a moment after psql has gone.
    await server.psql("TRUNCATE u", database)
  })

  test("shows what was done by whom it waited for", async () => {
    const database = await server.createDatabase()
    await server.psql("CREATE TABLE t AS SELECT 1 AS n", database)
    const holder = await openTestSession(server, connectionTo(server, database))
    await holder.execute("BEGIN")
    await holder.execute("TRUNCATE t")
    await holder.execute("INSERT INTO t VALUES (2)")
    const session = await openTestSession(server, connectionTo(server, database))
    const opening = openSnapshot(session, { lockWaitSeconds: 10 })
    const waiting = `SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE NOT granted AND datname = '${database}'`
    while ((await server.psql(waiting)) === "0") await sleep(20)
    await holder.execute("COMMIT")
    await opening
    expect(await session.query("SELECT n FROM public.t")).toEqual([{ n: 2 }])
    await Promise.all([holder.close(), session.close()])
  })

  describe("where tables come and go", () => {
    /** A session before whose n-th LOCK something else is done, counted from 1. */
    async function disturbed(database: string, before: (count: number) => string | undefined) {
      await server.psql("CREATE TABLE stays (); CREATE TABLE goes (); CREATE TABLE stays_too ()", database)
      const session = await openTestSession(server, connectionTo(server, database))
      let count = 0
      const execute = async (sql: string) => {
        const change = sql.startsWith("LOCK TABLE") ? before(++count) : undefined
        if (change !== undefined) await server.psql(change, database)
        await session.execute(sql)
      }
      return { ...session, execute }
    }

    test("leaves out a table that is dropped before it is locked, names it, and holds the others", async () => {
      const database = await server.createDatabase()
      const session = await disturbed(database, (count) => (count === 1 ? "DROP TABLE goes" : undefined))
      const vanished: string[] = []
      const onVanished = (name: string) => vanished.push(name)
      await openSnapshot(session, { lockWaitSeconds: 10, onVanished })
      expect(vanished).toEqual(["public.goes"])
      for (const table of ["stays", "stays_too"])
        await expect(server.psql(`SET lock_timeout = '100ms'; TRUNCATE ${table}`, database)).rejects.toThrow(
          "lock timeout",
        )
      await session.close()
    })

    test("is taken again where it shows a table that is gone", async () => {
      const database = await server.createDatabase()
      const changes = [undefined, "CREATE TABLE late ()", "DROP TABLE late"]
      const session = await disturbed(database, (count) => changes[count])
      const { id } = await openSnapshot(session, { lockWaitSeconds: 10 })
      const seen = `BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '${id}';
        SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace`
      expect(await server.psql(seen, database)).toBe("goes stays stays_too")
      await session.close()
    })

    test("is given up where that never ends", async () => {
      const database = await server.createDatabase()
      const session = await disturbed(database, (count) =>
        count % 2 === 1 ? `CREATE TABLE late_${count} ()` : `DROP TABLE late_${count - 1}`,
      )
      const error = await rejectionOf(openSnapshot(session, { lockWaitSeconds: 10 }))
      expect(error.message).toMatch(/relation "public\.late_\d+" does not exist/)
      expect(error.hint).toContain("try again")
      await session.close()
    })
  })

  test("is opened without an LSN where the role may not see it", async () => {
    const database = await server.createDatabase()
    await server.psql("REVOKE EXECUTE ON FUNCTION pg_current_wal_lsn() FROM PUBLIC", database)
    const role = `blind_${major}`
    await server.psql(`CREATE ROLE ${role} LOGIN PASSWORD 'pw'`)
    const connection = { ...connectionTo(server, database, { user: role }), password: "pw" }
    const session = await openTestSession(server, connection)
    const snapshot = await openSnapshot(session, { lockWaitSeconds: 10 })
    expect(snapshot.lsn).toBe(null)
    expect(snapshot.id).not.toBe("")
    await session.close()
  })
})

test("a replica is known as one, and gives a snapshot with its LSN", async () => {
  const server = await startPostgres({ standby: true })
  const session = await openTestSession(server)
  expect(await inspectServer(session)).toMatchObject({ isInRecovery: true })
  expect((await openSnapshot(session, { lockWaitSeconds: 10 })).lsn).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/)
  await session.close()
  await server.stop()
})

test("a prepared transaction that locks a table is named, with what ends it", async () => {
  const server = await startPostgres({ settings: { max_prepared_transactions: "2" } })
  onTestFinished(() => server.stop())
  const database = await server.createDatabase()
  await server.psql("CREATE TABLE t ()", database)
  await server.psql("BEGIN; ALTER TABLE t ADD n int; PREPARE TRANSACTION 'it''s'", database)
  const session = await openTestSession(server, connectionTo(server, database))
  const error = await rejectionOf(openSnapshot(session, { lockWaitSeconds: 0.1 }))
  await session.close()
  expect(error.message).toMatch(/the prepared transaction it's keeps public\.t locked$/)
  const [statement = ""] = /ROLLBACK PREPARED .*'(?=\.)/.exec(error.hint ?? "") ?? []
  await server.psql(statement, database)
  const again = await openTestSession(server, connectionTo(server, database))
  await openSnapshot(again, { lockWaitSeconds: 0.1 })
  await again.close()
})
