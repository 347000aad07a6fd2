import { execFile } from "node:child_process"
import { buffer } from "node:stream/consumers"
import { setTimeout as sleep } from "node:timers/promises"
import { promisify } from "node:util"
import { beforeAll, describe, expect, onTestFinished, test } from "vitest"
import type { Connection } from "../../task/postgres/connection.ts"
import { type CopyOutOptions, startCopyOut } from "../../task/postgres/copy-out.ts"
import { LockWaitError } from "../../task/postgres/dump-failure.ts"
import { readTables } from "../../task/postgres/tables.ts"
import { ChildError } from "../../task/processes/child-error.ts"
import { rejectionOf } from "../support/failure.ts"
import { type PostgresServer, startPostgres } from "../support/postgres.ts"
import { clientsOf, connectionTo, exportSnapshot, openTestSession } from "../support/session.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

type Range = { readonly first: number; readonly end: number | null } | null
type Copied = { readonly bytes: Buffer; readonly rows: number | undefined }

/** A function that copies ranges of the database's first table, as a snapshot of now shows it. */
async function prepareCopy(server: PostgresServer, connection: Connection) {
  const session = await openTestSession(server, connection)
  onTestFinished(() => session.close())
  const [table] = await readTables(session, 0)
  if (!table) throw new Error("the database has no table")
  const snapshot = await exportSnapshot(session)
  const copyRange = async (pages: Range, options: Partial<CopyOutOptions> = {}): Promise<Copied> => {
    let rows: number | undefined
    const onRows = (count: number) => {
      rows = count
    }
    const wanted = { snapshot, serverMajor: server.major, lockWaitSeconds: 10, encoding: "UTF8", env: {} }
    const child = startCopyOut(
      clientsOf(server),
      connection,
      { table, pages },
      { ...wanted, onRows, ...options },
      "pipe",
    )
    const bytes = await buffer(child.stdout)
    await child.ended
    return { bytes, rows }
  }
  return { table, snapshot, copyRange }
}

async function copy(
  server: PostgresServer,
  connection: Connection,
  ranges: readonly Range[] = [null],
  options: Partial<CopyOutOptions> = {},
): Promise<Copied[]> {
  const { copyRange } = await prepareCopy(server, connection)
  const copied: Copied[] = []
  for (const range of ranges) copied.push(await copyRange(range, options))
  return copied
}

/** The rows of the database's only table as pg_dump writes them. */
async function dumpRows(server: PostgresServer, database: string): Promise<string> {
  const env = { ...server.env, PGDATABASE: database }
  const args = ["--data-only", "--format=plain"]
  const { stdout } = await promisify(execFile)(clientsOf(server).pgDump.file, args, {
    env,
    maxBuffer: 2 ** 28,
  })
  return /^COPY .*?;\n(.*?)^\\\.$/ms.exec(stdout)?.[1] ?? ""
}

describe.for(majors)("a copy of rows of PostgreSQL %i", (major) => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await sharedPostgres(major)
  })

  async function databaseWith(sql: string) {
    const database = await server.createDatabase()
    await server.psql(sql, database)
    return database
  }

  test("is to the byte what pg_dump writes, whatever the database's settings are", async () => {
    const database = await databaseWith(`
      CREATE TABLE t AS SELECT n / 7.0::float8 AS a, n / 3.0::float4 AS b, now() + n * interval '1 day' AS c, date '2026-02-03' + n AS d,
        make_interval(months => -n, secs => n) AS e, int4send(n) AS f, ARRAY['a b', NULL, '"' || n] AS g, jsonb_build_object('n', n) AS h,
        CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE E'tab\\there, newline\\nthere, return\\r \\\\N and \\\\.' END AS i, int4range(1, n + 2) AS j
        FROM generate_series(1, 2000) AS n`)
    const settings = [
      "datestyle = 'German, DMY'",
      "intervalstyle = 'sql_standard'",
      "extra_float_digits = -5",
    ]
    for (const setting of [...settings, "client_encoding = 'LATIN1'", "search_path = 'nowhere'"])
      await server.psql(`ALTER DATABASE ${database} SET ${setting}`)
    const [copied] = await copy(server, connectionTo(server, database))
    expect(copied?.bytes.toString()).toBe(await dumpRows(server, database))
    expect(copied?.rows).toBe(2000)
  })

  test("in ranges of pages has every row of the snapshot once", async () => {
    const database = await databaseWith(`
      CREATE TABLE t AS SELECT n, repeat('x', n % 300) AS text FROM generate_series(1, 20000) AS n;
      DELETE FROM t WHERE n % 7 = 0;
      UPDATE t SET text = 'changed' WHERE n % 11 = 0;
      CREATE TABLE child (m int) INHERITS (t);
      INSERT INTO child VALUES (1, 'of the child', 1)`)
    const ends = [0, 1, 57, 58, 300, null]
    const ranges = ends.slice(1).map((end, index) => ({ first: ends[index] ?? 0, end }))
    const segments = await copy(server, connectionTo(server, database), ranges)
    const lines = segments.flatMap(({ bytes }) => bytes.toString().split("\n").slice(0, -1))
    const dumped = await promisify(execFile)(
      clientsOf(server).psql.file,
      ["-XAtc", "COPY (SELECT * FROM ONLY t) TO STDOUT"],
      {
        env: { ...server.env, PGDATABASE: database },
        maxBuffer: 2 ** 28,
      },
    )
    expect(lines.toSorted()).toEqual(dumped.stdout.split("\n").slice(0, -1).toSorted())
    expect(segments.map(({ rows }) => rows)).toEqual(
      segments.map(({ bytes }) => bytes.toString().split("\n").length - 1),
    )
    expect(segments[0]?.rows).toBeGreaterThan(0)
  })

  test("reads a range of pages by itself", async () => {
    const database = await databaseWith(
      "CREATE TABLE t AS SELECT n FROM generate_series(1, 100000) AS n; ANALYZE t",
    )
    const plan =
      "SET enable_seqscan = off; EXPLAIN SELECT n FROM ONLY t WHERE ctid >= '(3,0)' AND ctid < '(400,0)'"
    expect(await server.psql(plan, database)).toContain("Tid Range Scan")
  })

  test("takes names that are hard to write", async () => {
    const database = await databaseWith(`
      CREATE SCHEMA "S ""1""";
      CREATE TABLE "S ""1"""."T :x\\ $y'z 🚲" ("a "";"" \\b" int, ":c" text, "tab	in" text, "select" text);
      INSERT INTO "S ""1"""."T :x\\ $y'z 🚲" VALUES (1, ':c', 'x', '\\.')`)
    for (const range of [null, { first: 0, end: null }]) {
      const [copied] = await copy(server, connectionTo(server, database), [range])
      expect(copied?.bytes.toString()).toBe("1\t:c\tx\t\\\\.\n")
      expect(copied?.rows).toBe(1)
    }
  })

  test("takes 1,600 columns, and none that is generated", async () => {
    const columns = Array.from({ length: 1_599 }, (_, n) => `column_${n} bool DEFAULT true`)
    const database = await databaseWith(
      `CREATE TABLE t (${columns.join(", ")}, g int GENERATED ALWAYS AS (1) STORED); INSERT INTO t DEFAULT VALUES`,
    )
    const [copied] = await copy(server, connectionTo(server, database))
    expect(copied?.bytes.toString()).toBe(`${Array(1_599).fill("t").join("\t")}\n`)
  })

  test("is in the database's encoding, and finds names in it", async () => {
    const database = `latin_copy_${major}`
    await server.psql(`CREATE DATABASE ${database} TEMPLATE template0 ENCODING 'LATIN1'`)
    await server.psql(`CREATE TABLE t AS SELECT U&'\\00E9'::text AS "é"`, database)
    const [copied] = await copy(server, connectionTo(server, database), [null], { encoding: "LATIN1" })
    expect(copied?.bytes).toEqual(Buffer.from([0xe9, 0x0a]))
  })

  test("of an empty table is empty", async () => {
    const database = await databaseWith("CREATE TABLE t (n int)")
    expect(await copy(server, connectionTo(server, database))).toEqual([{ bytes: Buffer.alloc(0), rows: 0 }])
  })

  test("fails where row-level security would hide rows", async () => {
    const role = `hidden_${major}`
    const database = await databaseWith(
      `CREATE ROLE ${role} LOGIN PASSWORD 'pw'; CREATE TABLE t AS SELECT 1 AS n; GRANT SELECT ON t TO ${role};
       ALTER TABLE t ENABLE ROW LEVEL SECURITY`,
    )
    const connection = { ...connectionTo(server, database, { user: role }), password: "pw" }
    for (const range of [null, { first: 0, end: null }]) {
      const error = await rejectionOf(copy(server, connection, [range]))
      expect(error).toBeInstanceOf(ChildError)
      expect(error.message).toMatch(
        /^copying "public"."t" of .* failed: query would be affected by row-level security policy for table "t"$/,
      )
      expect(error.hint).toContain("BYPASSRLS")
    }
  })

  test("in a snapshot that is gone fails", async () => {
    const session = await openTestSession(server)
    const snapshot = await exportSnapshot(session)
    await session.close()
    const database = await databaseWith("CREATE TABLE t AS SELECT 1 AS n")
    const error = await rejectionOf(copy(server, connectionTo(server, database), [null], { snapshot }))
    expect(error.message).toContain(snapshot)
    expect(error.hint).toContain("session that holds the snapshot was lost")
  })

  test("behind somebody who waits to change the table fails, and lets him go on", async () => {
    const database = await databaseWith("CREATE TABLE t AS SELECT 1 AS n")
    const { copyRange } = await prepareCopy(server, connectionTo(server, database))
    const holder = await openTestSession(server, connectionTo(server, database))
    await holder.execute("BEGIN")
    await holder.execute("LOCK TABLE public.t IN ACCESS SHARE MODE")
    const change = server.psql("ALTER TABLE t ADD COLUMN m int", database)
    await untilSomebodyWaits(database)
    const error = await rejectionOf(copyRange(null, { lockWaitSeconds: 0.2 }))
    expect(error).toBeInstanceOf(LockWaitError)
    expect(error.message).toMatch(
      /^copying "public"."t" of .* failed: canceling statement due to lock timeout$/,
    )
    expect(error.hint).toContain("holds a lock")
    await holder.close()
    await change
  })

  test("waits for a lock, whatever other limits there are", async () => {
    const database = await databaseWith("CREATE TABLE t AS SELECT 1 AS n")
    await server.psql(`ALTER DATABASE ${database} SET statement_timeout = '400ms'`)
    const { copyRange } = await prepareCopy(server, connectionTo(server, database))
    const holder = await openTestSession(server, connectionTo(server, database))
    await holder.execute("BEGIN")
    await holder.execute("LOCK TABLE public.t")
    const copying = copyRange(null)
    await untilSomebodyWaits(database)
    await sleep(600)
    await holder.execute("COMMIT")
    expect(await copying).toEqual({ bytes: Buffer.from("1\n"), rows: 1 })
    await holder.close()
  })

  async function untilSomebodyWaits(database: string) {
    const waiting = `SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE NOT granted AND datname = '${database}'`
    while ((await server.psql(waiting)) === "0") await sleep(20)
  }
})

test("a copy whose server stops midway fails, and does not say how many rows there were", async () => {
  const server = await startPostgres()
  await server.psql("CREATE TABLE t AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 100000)")
  const { table, snapshot } = await prepareCopy(server, connectionTo(server))
  const counts: number[] = []
  const options = { env: {}, snapshot, serverMajor: server.major, lockWaitSeconds: 1, encoding: "UTF8" }
  const child = startCopyOut(
    clientsOf(server),
    connectionTo(server),
    { table, pages: null },
    { ...options, onRows: (rows) => counts.push(rows) },
    "pipe",
  )
  const failure = rejectionOf(child.ended)
  await new Promise((resolve) => child.stdout.once("readable", resolve))
  await server.crash()
  child.stdout.resume()
  const error = await failure
  expect(error.message).toMatch(/^copying "public"."t" of .* failed: .*connection/)
  expect(error.hint).toContain("server's log")
  expect(counts).toEqual([])
  await server.stop()
})
