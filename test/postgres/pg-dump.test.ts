import { execFile } from "node:child_process"
import { createWriteStream } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buffer } from "node:stream/consumers"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { parseToc } from "../../task/archive/toc.ts"
import type { Connection } from "../../task/postgres/connection.ts"
import { LockWaitError } from "../../task/postgres/dump-failure.ts"
import { type DumpOptions, startDump } from "../../task/postgres/pg-dump.ts"
import { ChildError } from "../../task/processes/child-error.ts"
import { rejectionOf } from "../support/failure.ts"
import { type PostgresServer, startPostgres } from "../support/postgres.ts"
import { clientsOf, connectionTo, exportSnapshot, openTestSession } from "../support/session.ts"
import { majors, needsOlder, sharedPostgres } from "../support/shared-postgres.ts"

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pgstow-dump-"))
})
afterAll(() => rm(folder, { recursive: true }))

/** Dumps in a snapshot of its own. */
async function dump(server: PostgresServer, connection: Connection, options: Partial<DumpOptions> = {}) {
  const session = await openTestSession(server, connection)
  try {
    const id = await exportSnapshot(session)
    const wanted = { snapshot: id, encoding: "UTF8", lockWaitSeconds: 10, env: {}, ...options }
    const child = startDump(clientsOf(server), connection, wanted, "pipe")
    const output = await buffer(child.stdout)
    await child.ended
    return output
  } finally {
    await session.close()
  }
}

describe.for(majors)("a dump of PostgreSQL %i", (major) => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await sharedPostgres(major)
  })

  test("holds what the snapshot shows, in the custom format, uncompressed", async () => {
    const database = await server.createDatabase(`dump "of"\n☂ ${major}`)
    await server.psql("CREATE TABLE t AS SELECT 'first row' AS text", database)
    const connection = connectionTo(server, database)
    const session = await openTestSession(server, connection)
    const id = await exportSnapshot(session)
    await server.psql("INSERT INTO t VALUES ('second row')", database)
    const output = await dump(server, connection, { snapshot: id })
    await session.close()
    expect(output.subarray(0, 5).toString()).toBe("PGDMP")
    expect(output.includes("first row")).toBe(true)
    expect(output.includes("second row")).toBe(false)
  })

  test("goes to a file without passing through Node", async () => {
    const database = await server.createDatabase()
    await server.psql("CREATE TABLE t AS SELECT 1 AS n", database)
    const file = join(folder, `${major}.dump`)
    const stdout = createWriteStream(file)
    await new Promise((resolve) => stdout.once("open", resolve))
    const session = await openTestSession(server, connectionTo(server, database))
    const id = await exportSnapshot(session)
    const options = { snapshot: id, encoding: "UTF8", lockWaitSeconds: 1, env: {} }
    await startDump(clientsOf(server), connectionTo(server, database), options, stdout).ended
    await session.close()
    const list = await promisify(execFile)(clientsOf(server).pgRestore.file, ["--list", file])
    expect(list.stdout).toContain("TABLE DATA public t postgres")
  })

  test("is in the encoding that it is to be, whatever the role and the connection say", async () => {
    const database = `latin_${major}`
    await server.psql(`CREATE DATABASE ${database} TEMPLATE template0 ENCODING 'LATIN1'`)
    await server.psql("CREATE TABLE t AS SELECT U&'\\00E9'::text AS text", database)
    await server.psql(`ALTER DATABASE ${database} SET client_encoding = 'UTF8'`)
    const options = { encoding: "LATIN1", env: { PGCLIENTENCODING: "UTF8" } }
    const output = await dump(server, connectionTo(server, database), options)
    expect(output.includes("SET client_encoding = 'LATIN1'")).toBe(true)
    expect(output.includes(Buffer.from([0xe9]))).toBe(true)
  })

  test("leaves out the rows of the tables that it is told to, whatever their names are, and no others", async () => {
    const database = await server.createDatabase()
    const odd = ["T", "t*", "t.t", 'a "quoted" $t', "a|b(c)\\\\d", "Straße\n🚲", "'; DROP"]
    const schema = 'S "?"'
    const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`
    const tables = ["t", ...odd].map(
      (name) => `CREATE TABLE ${quoted(schema)}.${quoted(name)} AS SELECT 1 AS n`,
    )
    await server.psql(
      `CREATE SCHEMA ${quoted(schema)}; CREATE TABLE "T" AS SELECT 1 AS n; ${tables.join(";")}`,
      database,
    )
    const output = await dump(server, connectionTo(server, database), {
      withoutRowsOf: odd.map((name) => ({ schema, name })),
    })
    const withRows = (parseToc(output)?.entries ?? [])
      .filter(({ kind }) => kind === "TABLE DATA")
      .map(({ schema, name }) => [schema, name])
    expect(withRows).toHaveLength(2)
    expect(withRows).toEqual(
      expect.arrayContaining([
        [schema, "t"],
        ["public", "T"],
      ]),
    )
  })

  test("by a role without rights fails with what to grant", async () => {
    const database = await server.createDatabase()
    const role = `poor_${major}`
    await server.psql(
      `CREATE ROLE ${role} LOGIN PASSWORD 'pw'; CREATE TABLE "my secret" (); CREATE TABLE mine (); GRANT SELECT ON mine TO ${role};
       ALTER TABLE mine ENABLE ROW LEVEL SECURITY`,
      database,
    )
    const connection = { ...connectionTo(server, database, { user: role }), password: "pw" }
    const denied = await rejectionOf(dump(server, connection))
    expect(denied).toBeInstanceOf(ChildError)
    expect(denied.message).toMatch(
      /^pg_dump of test_\w+ on .* failed: permission denied for table my secret$/,
    )
    expect(denied.hint).toContain("GRANT pg_read_all_data TO")

    await server.psql('DROP TABLE "my secret"', database)
    const filtered = await rejectionOf(dump(server, connection))
    expect(filtered.message).toContain('row-level security policy for table "mine"')
    expect(filtered.hint).toContain("BYPASSRLS")
  })

  test("does not wait for a lock longer than it is told to", async () => {
    const database = await server.createDatabase()
    await server.psql("CREATE TABLE t ()", database)
    const connection = connectionTo(server, database)
    const holder = await openTestSession(server, connection)
    await holder.execute("BEGIN")
    await holder.execute("LOCK TABLE t")
    const error = await rejectionOf(dump(server, connection, { lockWaitSeconds: 0.2 }))
    expect(error).toBeInstanceOf(LockWaitError)
    expect(error.hint).toContain("holds a lock")
    await holder.close()
  })

  test("in a snapshot that is gone fails", async () => {
    const session = await openTestSession(server)
    const id = await exportSnapshot(session)
    await session.close()
    const error = await rejectionOf(dump(server, connectionTo(server), { snapshot: id }))
    expect(error.message).toContain(id)
    expect(error.hint).toContain("session that holds the snapshot was lost")
  })

  test("ends when its signal is aborted", async () => {
    const error = await rejectionOf(dump(server, connectionTo(server), { signal: AbortSignal.abort() }))
    expect(error.message).toMatch(/^pg_dump of postgres on .* failed: it was ended by SIGTERM$/)
  })
})

test.skipIf(needsOlder)(
  `a dump by an older pg_dump than the server names both versions${needsOlder}`,
  async () => {
    const [older, server] = [await sharedPostgres(majors.at(0)), await sharedPostgres()]
    const options = { snapshot: "none", encoding: "UTF8", lockWaitSeconds: 1, env: {} }
    const child = startDump(clientsOf(older), connectionTo(server), options, "pipe")
    child.stdout.resume()
    const error = await rejectionOf(child.ended)
    expect(error.message).toContain("server version mismatch")
    expect(error.message).toContain(server.version)
    expect(error.message).toContain(older.version)
  },
)

test("a dump whose server stops midway fails with a lost connection", async () => {
  const server = await startPostgres()
  await server.psql("CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
  const connection = connectionTo(server)
  const session = await openTestSession(server, connection)
  const id = await exportSnapshot(session)
  const options = { snapshot: id, encoding: "UTF8", lockWaitSeconds: 1, env: {} }
  const child = startDump(clientsOf(server), connection, options, "pipe")
  const failure = rejectionOf(child.ended)
  await new Promise((resolve) => child.stdout.once("readable", resolve))
  await server.crash()
  child.stdout.resume()
  const error = await failure
  expect(error.message).toContain("server closed the connection unexpectedly")
  expect(error.hint).toContain("server's log")
  await session.close()
  await server.stop()
})

test("a warning is told, and is no failure", async () => {
  const server = await sharedPostgres()
  const database = await server.createDatabase()
  await server.psql(
    `INSERT INTO pg_db_role_setting SELECT oid, 0, '{unknown_setting=1}' FROM pg_database WHERE datname = '${database}'`,
  )
  const warnings: string[] = []
  await dump(server, connectionTo(server, database), { onWarning: (message) => warnings.push(message) })
  expect(warnings).toEqual(['unrecognized configuration parameter "unknown_setting"'])
})
