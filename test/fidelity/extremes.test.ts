import { expect, test } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import { startPostgres } from "../support/postgres.ts"
import { type Scene, setScene } from "../support/scene.ts"

/** Backs the scene's database up by two streams, restores it so, and fails the test unless both are equal. */
async function expectRoundTrip(scene: Scene) {
  await scene.json(["backup", "--jobs", "2"])
  await scene.json(["restore", "latest", "--into", "restored", "--jobs", "2"])
  const { server, database } = scene
  expect(await compareDatabases({ server, name: database }, { server, name: "restored" })).toEqual([])
}

async function sceneOfItsOwn(): Promise<{ scene: Scene } & AsyncDisposable> {
  const server = await startPostgres({ settings: { max_locks_per_transaction: "1000", max_wal_size: "2GB" } })
  return { scene: await setScene(server), [Symbol.asyncDispose]: () => server.stop() }
}

/** CI has no time for more tables: PGSTOW_TEST_TABLES=20000 is to be run by hand. */
const tables = Number(process.env.PGSTOW_TEST_TABLES ?? 2_000)
const largeObjects = Number(process.env.PGSTOW_TEST_LARGE_OBJECTS ?? 50_000)

test(`${tables} tables with keys, indexes and sequences come back as they were`, async () => {
  await using own = await sceneOfItsOwn()
  const { server, database } = own.scene
  await server.psql(
    `SELECT format('CREATE TABLE t%s (id serial PRIMARY KEY, parent int, note text); INSERT INTO t%1$s (parent, note) VALUES (%1$s, ''%1$s''); CREATE INDEX ON t%1$s (note)', i)
       FROM generate_series(1, ${tables}) AS i \\gexec`,
    database,
  )
  await expectRoundTrip(own.scene)
})

test("a table of 1,600 columns, some dropped, comes back as it was", async () => {
  await using own = await sceneOfItsOwn()
  const { server, database } = own.scene
  await server.psql(
    `SELECT format('CREATE TABLE wide (%s)', string_agg(format('"column %s" %s', i, (ARRAY['int', 'text', 'bool', 'bytea'])[1 + i % 4]), ', '))
       FROM generate_series(1, 1600) AS i \\gexec
     INSERT INTO wide ("column 4", "column 1597") SELECT n, 'text ' || n FROM generate_series(1, 500) AS n;
     INSERT INTO wide SELECT FROM generate_series(1, 3);
     ALTER TABLE wide DROP COLUMN "column 2", DROP COLUMN "column 800"`,
    database,
  )
  await expectRoundTrip(own.scene)
})

test(`${largeObjects} large objects with owners, grants and comments come back as they were`, async () => {
  await using own = await sceneOfItsOwn()
  const { server, database } = own.scene
  await server.psql(
    `CREATE ROLE reader;
     SELECT count(lo_from_bytea(0, convert_to(repeat(n::text, n % 50), 'UTF8'))) FROM generate_series(1, ${largeObjects}) AS n;
     SELECT format('GRANT SELECT ON LARGE OBJECT %s TO reader', oid) FROM pg_largeobject_metadata ORDER BY oid LIMIT 100 \\gexec
     SELECT format('COMMENT ON LARGE OBJECT %s IS %L', oid, 'object ' || oid) FROM pg_largeobject_metadata ORDER BY oid LIMIT 100 \\gexec`,
    database,
  )
  await expectRoundTrip(own.scene)
})
