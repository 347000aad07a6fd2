import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { backup } from "../../task/backup/back-up.ts"
import { listBackups } from "../../task/catalog/catalog.ts"
import type { Expectation } from "../../task/core/expectation.ts"
import { compareDatabase } from "../../task/drill/compare-database.ts"
import { referenceName } from "../../task/drill/reference-database.ts"
import { archiveOf } from "../../task/drill/restored-archive.ts"
import { generateIdentity } from "../../task/keys/identity.ts"
import { openTarget } from "../../task/postgres/target.ts"
import { type Copy, restoreChosen } from "../../task/restore/restore.ts"
import { openStorage } from "../../task/storage/open-storage.ts"
import { testContext } from "../support/context.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { clientsOf, connectionTo } from "../support/session.ts"
import { newestMajor, sharedPostgres } from "../support/shared-postgres.ts"

const { identity, recipient } = await generateIdentity()
const reading = { identities: [identity], signedBy: [], skipExtensions: [], isThrowAway: true }

/** What each damage is done to, beside the sample database. */
const more = `
  CREATE FUNCTION bucket(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n % 10';
  CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
  CREATE TABLE readings (id serial PRIMARY KEY, n int NOT NULL, CONSTRAINT few CHECK (n < 1000000));
  INSERT INTO readings (n) SELECT i FROM generate_series(1, 100) i;
  CREATE INDEX readings_bucket ON readings (bucket(n));
  CREATE TRIGGER watch BEFORE INSERT ON readings FOR EACH ROW EXECUTE FUNCTION nothing();
  CREATE VIEW large_readings AS SELECT id, n FROM readings WHERE n > 50;
  CREATE TABLE calibrations (reading int REFERENCES readings);
  INSERT INTO calibrations VALUES (1);
  CREATE EXTENSION hstore;`

describe.for(newestMajor)("what was restored into PostgreSQL %i", (major) => {
  let folder: string
  let server: PostgresServer
  let copy: Copy
  let restored: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pgstow-compare-"))
    server = await sharedPostgres(major)
    const source = await server.createDatabase()
    await fillSampleDatabase(server, source, { megabytes: 2 })
    await server.psql(more, source)
    const storage = openStorage(`file://${folder}`, { env: {} })
    await backup(
      {
        connection: connectionTo(server, source),
        clientFolders: [server.binDir],
        storages: [storage],
        name: undefined,
        jobs: 1,
        recipients: [recipient],
        compressLevel: 1,
        lockWaitSeconds: 10,
        verify: false,
        shrinkWarning: 50,
      },
      testContext(),
    )
    const [entry] = await listBackups(storage)
    if (entry?.manifest === undefined) throw new Error("there is no backup")
    copy = entry
    restored = `${source}_restored`
    const result = await restoreChosen(
      copy,
      {
        connection: connectionTo(server),
        clientFolders: [server.binDir],
        into: restored,
        jobs: 2,
        createRoles: false,
        identities: [identity],
        selection: undefined,
        owners: "keep",
        grants: "keep",
        tablespaces: "keep",
        clean: false,
        locale: "original",
        analyze: true,
        anyway: false,
        yes: false,
        ask: undefined,
      },
      testContext(),
    )
    expect(result.state).toBe("restored")
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  let copies = 0
  /** What is found of a copy of the restored database in which this was run. */
  async function foundAfter(damage: string, expectations: readonly Expectation[] = []) {
    const name = `${restored}_${++copies}`
    await server.psql(`CREATE DATABASE "${name}" TEMPLATE "${restored}"`)
    await server.psql(damage, name)
    const context = testContext()
    const archive = await archiveOf(copy, reading, context)
    const clients = [clientsOf(server)]
    const target = await openTarget(clientsOf(server), connectionTo(server), name, { env: {} })
    try {
      return await compareDatabase(copy, name, { archive, clients, target, expectations, jobs: 2 }, context)
    } finally {
      await target.close()
      for (const one of [name, referenceName(name)])
        await server.psql(`DROP DATABASE IF EXISTS "${one}" WITH (FORCE)`)
    }
  }
  const problemsAfter = async (damage: string) => (await foundAfter(damage)).problems

  test("is right as it is", async () => {
    const { problems, notes, rows, objects } = await foundAfter("")
    expect(problems).toEqual([])
    expect(notes).toEqual([])
    expect(rows).toBeGreaterThan(10_000)
    expect(objects).toMatchObject({ EXTENSION: 2, "FK CONSTRAINT": 9, TRIGGER: 4 })
  })

  test("lacks a row", async () => {
    expect(await problemsAfter("DELETE FROM readings WHERE id = 7")).toEqual([
      { object: "table public.readings", expected: "100 rows", found: "99 rows" },
    ])
  })

  test("has an index that lacks a row of its table", async () => {
    const ready = (value: boolean) =>
      `UPDATE pg_index SET indisready = ${value} WHERE indexrelid = 'readings_bucket'::regclass;`
    const [problem, ...others] = await problemsAfter(
      `${ready(false)} UPDATE readings SET n = n + 1 WHERE id = 7; ${ready(true)}`,
    )
    expect(others).toEqual([])
    expect(problem).toMatchObject({ object: "index public.readings_bucket" })
    expect(problem?.found).toMatch(/^heap tuple .* lacks matching index tuple/)
  })

  test("has an index that is not valid", async () => {
    const problems = await problemsAfter(
      "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'readings_bucket'::regclass",
    )
    expect(problems).toContainEqual({
      object: "index public.readings_bucket",
      expected: "a valid index",
      found: "an invalid one, which the server does not use",
    })
    expect(new Set(problems.map(({ object }) => object))).toEqual(new Set(["index public.readings_bucket"]))
  })

  test("has a trigger that is disabled", async () => {
    expect(await problemsAfter("ALTER TABLE readings DISABLE TRIGGER watch")).toEqual([
      {
        object: "trigger public.readings watch",
        expected: "nothing there",
        found: "ALTER TABLE public.readings DISABLE TRIGGER watch;",
      },
    ])
  })

  test("has a foreign key that nothing looks to", async () => {
    expect(await problemsAfter("ALTER TABLE calibrations DISABLE TRIGGER ALL")).toEqual([
      {
        object: "constraint calibrations_reading_fkey of public.calibrations",
        expected: "looked to with each change",
        found: "its triggers are disabled",
      },
    ])
  })

  test("has a constraint that rows may violate", async () => {
    const problems = await problemsAfter(
      "UPDATE pg_constraint SET convalidated = false WHERE conname = 'calibrations_reading_fkey'",
    )
    expect(problems).toContainEqual({
      object: "constraint calibrations_reading_fkey of public.calibrations",
      expected: "valid for all rows",
      found: "for new rows alone (NOT VALID)",
    })
  })

  test("has a sequence that is behind", async () => {
    expect(await problemsAfter("SELECT setval('readings_id_seq', 50)")).toEqual([
      { object: "sequence public.readings_id_seq", expected: "at 100", found: "at 50" },
      {
        object: "sequence public.readings_id_seq",
        expected: "at least 100, the largest value in public.readings.id",
        found: "at 50",
      },
    ])
  })

  test("lacks an extension, and what needed it", async () => {
    expect(await problemsAfter("DROP EXTENSION hstore")).toEqual([
      { object: "extension hstore", expected: "as in the backup", found: "no such object" },
    ])
  })

  test("has a view that means something else", async () => {
    const [problem, ...others] = await problemsAfter(
      "CREATE OR REPLACE VIEW large_readings AS SELECT id, n FROM readings WHERE n > 60",
    )
    expect(others).toEqual([])
    expect(problem).toMatchObject({ object: "view public.large_readings" })
    expect(problem?.expected).toMatch(/n > 50/)
    expect(problem?.found).toMatch(/n > 60/)
  })

  test("has a view that can't be read", async () => {
    const problems = await problemsAfter(
      `CREATE OR REPLACE FUNCTION bucket(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RAISE EXCEPTION ''no''; END';
       CREATE OR REPLACE VIEW large_readings AS SELECT id, bucket(n) AS n FROM readings`,
    )
    expect(problems).toContainEqual({
      object: "view public.large_readings",
      expected: "that it can be read",
      found: "no",
    })
  })

  test("lacks a table, and has one too many", async () => {
    expect(await problemsAfter("DROP TABLE calibrations; CREATE TABLE strange (id int)")).toEqual([
      { object: "table public.calibrations", expected: "as in the backup", found: "no such object" },
      {
        object: "fk constraint public.calibrations calibrations_reading_fkey",
        expected: "as in the backup",
        found: "no such object",
      },
      { object: "table public.strange", expected: "no such object", found: /CREATE TABLE public.strange/ },
    ])
  })

  test("lacks a large object, and belongs to somebody else", async () => {
    const problems = await problemsAfter(
      `SELECT lo_unlink(oid) FROM (SELECT oid FROM pg_largeobject_metadata LIMIT 1) one;
       ALTER TABLE calibrations OWNER TO sample_owner`,
    )
    expect(problems.map(({ object }) => object).sort()).toEqual([
      "fk constraint public.calibrations calibrations_reading_fkey",
      "large objects",
      "table public.calibrations",
    ])
    expect(problems).toContainEqual({
      object: "table public.calibrations",
      expected: "belongs to postgres",
      found: "belongs to sample_owner",
    })
  })

  test("has another large object in the place of one", async () => {
    const problems = await problemsAfter(
      `SELECT lo_unlink(min(oid)) FROM pg_largeobject_metadata; SELECT lo_create(4294967290)`,
    )
    expect(problems).toMatchObject([{ object: "large objects", found: /^(\d+), without \d+$/ }])
    const [{ expected, found } = { expected: "", found: "" }] = problems
    expect(found).toMatch(new RegExp(`^${expected}, `))
  })

  test("does not give what its user expects", async () => {
    const { problems } = await foundAfter("", [
      { sql: "SELECT count(*) = 100 FROM readings;", expect: true },
      { name: "the last reading", sql: "SELECT max(n) FROM readings", expect: 99 },
      {
        sql: "SELECT id, n FROM readings ORDER BY id LIMIT 2",
        expect: [
          { id: 1, n: 1 },
          { id: 2, n: 2 },
        ],
      },
      { sql: "SELECT id FROM readings LIMIT 2", expect: 1 },
      { sql: "SELECT 'odd", expect: true },
      { sql: "SELECT setval('readings_id_seq', 1)", expect: 1 },
    ])
    expect(problems).toMatchObject([
      { object: "expectation the last reading", expected: "99", found: "100" },
      { object: "expectation SELECT id FROM readings LIMIT 2", expected: "1", found: '[{"id":1},{"id":2}]' },
      { object: "expectation SELECT 'odd", found: /unterminated/ },
      { object: /setval/, found: /read-only transaction/ },
    ])
  })
})
