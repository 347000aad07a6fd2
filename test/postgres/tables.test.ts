import { beforeAll, describe, expect, test } from "vitest"
import { lockTables, readTableNames, readTables, refuseChangedTables } from "../../task/postgres/tables.ts"
import { rejectionOf } from "../support/failure.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { connectionTo, exportSnapshot, openTestSession } from "../support/session.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

describe.for(majors)("the tables of PostgreSQL %i", (major) => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await sharedPostgres(major)
  })

  async function databaseWith(sql: string) {
    const database = await server.createDatabase()
    await server.psql(sql, database)
    return { database, session: await openTestSession(server, connectionTo(server, database)) }
  }

  test("are those with rows of their own, each as it can be copied", async () => {
    const { session } = await databaseWith(`
      CREATE TABLE "Odd "" name" (a int, gone int, "b ""c" text, twice int GENERATED ALWAYS AS (a * 2) STORED);
      ALTER TABLE "Odd "" name" DROP COLUMN gone;
      INSERT INTO "Odd "" name" SELECT n, repeat('x', 100) FROM generate_series(1, 1000) AS n;
      CREATE UNLOGGED TABLE quick (n int GENERATED ALWAYS AS IDENTITY);
      CREATE TABLE whole (n int) PARTITION BY RANGE (n);
      CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (9);
      CREATE TABLE child () INHERITS (quick);
      CREATE TABLE no_columns ();
      CREATE VIEW v AS SELECT 1;
      CREATE MATERIALIZED VIEW m AS SELECT 1;
      CREATE TEMP TABLE gone (n int);
      CREATE TYPE mood AS ENUM ('glad');
      CREATE TABLE moods (m mood) PARTITION BY HASH (m);
      CREATE TABLE part_of_moods PARTITION OF moods FOR VALUES WITH (MODULUS 1, REMAINDER 0) PARTITION BY LIST (m);
      CREATE TABLE part_of_part PARTITION OF part_of_moods DEFAULT;
      CREATE TABLE of_extension (n int);
      ALTER EXTENSION plpgsql ADD TABLE of_extension`)
    const tables = (await readTables(session, 0)).toSorted((a, b) => a.name.localeCompare(b.name))
    const plain = {
      schema: "public",
      isHeap: true,
      isUnlogged: false,
      ofExtension: false,
      isHashedByEnum: false,
    }
    expect(tables).toMatchObject([
      { ...plain, name: "child", columns: ["n"] },
      { ...plain, name: "no_columns", columns: [] },
      { ...plain, name: 'Odd " name', columns: ["a", 'b "c'], pages: 18 },
      { ...plain, name: "of_extension", ofExtension: true },
      { ...plain, name: "part", columns: ["n"], bytes: 0, pages: 0 },
      { ...plain, name: "part_of_part", isHashedByEnum: true },
      { ...plain, name: "quick", isUnlogged: true },
    ])
    expect((await readTables(session, 100_000)).map(({ name }) => name)).toEqual(['Odd " name'])
    expect(await readTableNames(session)).toEqual([
      'public."Odd "" name"',
      "public.quick",
      "public.part",
      "public.child",
      "public.no_columns",
      "public.part_of_part",
    ])
    await session.close()
  })

  test("are measured with what is stored out of line, and that alone", async () => {
    const { session } = await databaseWith(`
      CREATE TABLE files (content bytea DEFAULT decode(repeat('ab', 1000000), 'hex'));
      ALTER TABLE files ALTER content SET STORAGE EXTERNAL;
      INSERT INTO files DEFAULT VALUES`)
    const [files] = await readTables(session, 0)
    expect(files?.pages).toBe(1)
    expect(files?.outOfLineBytes).toBe((files?.bytes ?? 0) - 8192)
    expect(files?.outOfLineBytes).toBeGreaterThan(1_000_000)
    await session.close()
  })

  test("are measured though another one is locked, which nobody asks for", async () => {
    const { database, session } = await databaseWith("CREATE TABLE t AS SELECT 1 AS n")
    const holder = await openTestSession(server, connectionTo(server, database))
    await holder.execute("BEGIN")
    await holder.execute("LOCK TABLE pg_catalog.pg_largeobject")
    await session.execute("SET lock_timeout = '1s'")
    expect(await readTables(session, 0)).toHaveLength(1)
    await Promise.all([holder.close(), session.close()])
  })

  test("that are locked can be written, and neither be changed nor emptied", async () => {
    const { database, session } = await databaseWith("CREATE TABLE t (n int); CREATE TABLE u (n int)")
    await session.execute("BEGIN")
    await lockTables(session, await readTableNames(session))
    await server.psql("INSERT INTO t VALUES (1); DELETE FROM u", database)
    for (const change of ["TRUNCATE t", "DROP TABLE u", "ALTER TABLE t ADD COLUMN m int"])
      await expect(server.psql(`SET lock_timeout = '100ms'; ${change}`, database)).rejects.toThrow(
        "lock timeout",
      )
    await session.close()
  })

  test("that are no more when they are locked are named, with what to do", async () => {
    const { session } = await databaseWith("CREATE TABLE t ()")
    await session.execute("BEGIN")
    const error = await rejectionOf(lockTables(session, ["public.gone"]))
    expect(error.message).toContain('relation "public.gone" does not exist')
    expect(error.hint).toContain("try again")
    await session.close()
  })

  test("that may not be read are named, with what to grant", async () => {
    const { database, session } = await databaseWith('CREATE TABLE "my secret" ()')
    const role = `locked_out_${major}`
    await server.psql(`CREATE ROLE ${role} LOGIN PASSWORD 'pw'`)
    const poor = await openTestSession(server, {
      ...connectionTo(server, database, { user: role }),
      password: "pw",
    })
    await poor.execute("BEGIN")
    const error = await rejectionOf(lockTables(poor, await readTableNames(session)))
    expect(error.message).toContain("permission denied for table my secret")
    expect(error.hint).toContain("GRANT pg_read_all_data TO")
    await Promise.all([poor.close(), session.close()])
  })

  test.for([
    ["emptied", "TRUNCATE t"],
    ["written anew", "ALTER TABLE t ALTER n TYPE bigint"],
    ["dropped", "DROP TABLE t"],
    ["renamed", "ALTER TABLE t RENAME TO s"],
    ["exchanged for another one", "ALTER TABLE t RENAME TO s; ALTER TABLE u RENAME TO t"],
  ])("of a snapshot older than the moment one was %s are refused", async ([, change]) => {
    const { database, session } = await databaseWith(
      "CREATE TABLE t AS SELECT 1 AS n; CREATE TABLE u (n int)",
    )
    await exportSnapshot(session)
    await refuseChangedTables(session)
    await server.psql("INSERT INTO t VALUES (2); ALTER TABLE u ADD COLUMN m int DEFAULT 1", database)
    await refuseChangedTables(session)
    await server.psql(String(change), database)
    const error = await rejectionOf(refuseChangedTables(session))
    expect(error.message).toMatch(/^the table public\.[tu] was changed as the backup began$/)
    expect(error.hint).toContain("try again")
    await session.close()
  })
})
