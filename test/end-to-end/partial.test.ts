import { readFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import * as z from "zod"
import { parseManifest } from "../../task/core/manifest.ts"
import { clientsWith } from "../support/client-folder.ts"
import { compareDatabases } from "../support/compare-databases.ts"
import { failureOfRun, logOf } from "../support/failure-line.ts"
import { limitedUser } from "../support/limited-user.ts"
import { run } from "../support/programs.ts"
import { type Scene, setScene } from "../support/scene.ts"
import { majors } from "../support/shared-postgres.ts"

/** Tables large enough for segments, in rows that take up a page each, beside small ones; and what `--table` leaves out. */
const tables = `
  CREATE SCHEMA audit; CREATE SCHEMA "S ""x"".y";
  CREATE FUNCTION public.double(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
  CREATE TABLE big_1 (n int PRIMARY KEY, text text);
  CREATE TABLE big_2 (n int, text text);
  CREATE TABLE "Big_3" (n int, text text);
  CREATE TABLE audit.big_4 (n int, text text);
  CREATE TABLE "S ""x"".y"."Straße.T 🚲" (n int, text text);
  CREATE TABLE audit.small AS SELECT n FROM generate_series(1, 10) AS n;
  CREATE TABLE "'; DROP TABLE big_1; --" AS SELECT 1 AS n;
  CREATE TABLE counted (n serial, at int);
  INSERT INTO counted (at) VALUES (1), (2);
  CREATE VIEW seen AS SELECT n FROM big_1;
  SELECT lo_from_bytea(0, 'large');
  DO $$
  DECLARE name regclass;
  BEGIN
    FOR name IN SELECT attrelid FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relkind = 'r' AND attname = 'text' AND c.oid >= 16384 LOOP
      EXECUTE format('ALTER TABLE %s ALTER text SET STORAGE PLAIN', name);
      EXECUTE format('INSERT INTO %s SELECT n, rpad(n::text, 7000, ''x'') FROM generate_series(1, 2200) AS n', name);
    END LOOP;
  END $$;
`

const choices: readonly {
  readonly flags: readonly string[]
  readonly segments: readonly string[]
  readonly jobs: readonly number[]
}[] = [
  {
    flags: [
      "--exclude-table-data=BIG_1",
      '--exclude-table-data="S ""x"".y".*',
      "--exclude-table-data=audit.s*",
    ],
    segments: ["big_2", "Big_3", "big_4"],
    jobs: [1, 4],
  },
  {
    flags: ["--exclude-schema=aud*", '--exclude-table="Big_3"', "--exclude-table=seen"],
    segments: ["big_1", "big_2", "Straße.T 🚲"],
    jobs: [4],
  },
  {
    flags: [
      "--table=big_?",
      '--table="S ""x"".y"."Straße.T 🚲"',
      `--table="'; DROP TABLE big_1; --"`,
      "--table=counted*",
      "--exclude-table=big_2",
    ],
    segments: ["big_1", "Straße.T 🚲"],
    jobs: [1, 4],
  },
  { flags: ["--schema=(audit|nothing)", "--exclude-table-data=audit.big_4"], segments: [], jobs: [4] },
]

const backedUp = z.object({ id: z.string(), partial: z.string().nullable(), warnings: z.array(z.string()) })

/** What stock pg_dump and pg_restore make of the same flags. */
async function restoredByStock(
  { server, database, folder }: Scene,
  flags: readonly string[],
): Promise<string> {
  const name = await server.createDatabase()
  const file = join(folder, `${name}.dump`)
  run(join(server.binDir, "pg_dump"), ["-Fc", "-f", file, ...flags, "-d", server.url(database)])
  // It makes no schema where tables are chosen.
  if (flags.some((flag) => flag.startsWith("--table="))) await server.psql('CREATE SCHEMA "S ""x"".y"', name)
  run(join(server.binDir, "pg_restore"), ["-d", server.url(name), file])
  return name
}

async function manifestOf({ folder, database }: Scene, id: string) {
  return parseManifest(await readFile(join(folder, "backups", database, id, "manifest.json"), "utf8"))
}

describe.for(majors)("a partial backup of PostgreSQL %i", (major) => {
  test("holds what stock pg_dump takes by the same flags", { timeout: 400_000 }, async () => {
    const scene = await setScene(major)
    const { server, database, json } = scene
    await server.psql(tables, database)
    for (const { flags, segments, jobs } of choices) {
      const stock = await restoredByStock(scene, flags)
      for (const count of jobs) {
        const { id } = backedUp.parse(await json(["backup", ...flags, "--jobs", String(count)]))
        const manifest = await manifestOf(scene, id)
        const inSegments = new Set(
          manifest.objects.flatMap((one) => (one.kind === "segment" ? one.table : [])),
        )
        expect([...inSegments].sort()).toEqual(count === 1 ? [] : segments.toSorted())
        expect(manifest.format).toBe(2)
        await json(["verify", id, "--deep"])
        const into = `${database}_${count}_${stock}`.slice(-60)
        await json(["restore", id, "--into", into])
        const differences = await compareDatabases({ server, name: stock }, { server, name: into })
        expect({
          flags,
          count,
          differences: differences.filter((line) => !line.startsWith("database: ")),
        }).toEqual({
          flags,
          count,
          differences: [],
        })
        await server.psql(`DROP DATABASE "${into}"`)
      }
    }
  })
})

test("a partial backup says so wherever it is named", { timeout: 200_000 }, async () => {
  const scene = await setScene()
  const { server, database, run: pgstow, json } = scene
  await server.psql("CREATE TABLE kept AS SELECT 1 AS n; CREATE TABLE log AS SELECT 1 AS n", database)
  const { id, partial } = backedUp.parse(await json(["backup"], { PGSTOW_EXCLUDE_TABLE_DATA: "log" }))
  expect(partial).toBe("without the rows of log")
  const listed = z.object({ backups: z.array(z.object({ partial: z.string().nullable() })) })
  expect(listed.parse(await json(["list"]))).toEqual({ backups: [{ partial }] })
  expect((await pgstow(["list"])).stdout).toMatch(/, partial$/m)
  const shown = (await pgstow(["show"])).stdout
  expect(shown).toMatch(/^partial +without the rows of log$/m)
  expect(shown).toMatch(/^no rows of +public\.log$/m)
  expect((await pgstow(["status"])).stdout).toMatch(/ ok, partial /)
  expect((await pgstow(["verify"])).stdout).toContain("(partial: without the rows of log)")
  const dry = (await pgstow(["restore", "--dry-run"])).stdout
  expect(dry).toContain("note: the backup is partial: without the rows of log")
  const into = `${database}_again`
  const restored = await pgstow(["restore", "--into", into, "--json"])
  const { warnings } = z.object({ warnings: z.array(z.string()) }).parse(JSON.parse(restored.stdout))
  expect(warnings).toEqual([`the backup is partial: ${partial}`, "it has no rows of public.log"])
  const told = logOf(restored.stderr).map(({ message }) => message)
  const [missing, begun] = [/^the backup is partial/, /^restoring /].map((what) =>
    told.findIndex((message) => what.test(message)),
  )
  expect(missing).toBeGreaterThanOrEqual(0)
  expect(begun).toBeGreaterThan(missing ?? 0)
  expect(await server.psql("SELECT count(*) FROM kept UNION ALL SELECT count(*) FROM log", into)).toBe("1\n0")
  expect((await manifestOf(scene, id)).partial?.withoutRows).toEqual([{ schema: "public", table: "log" }])
})

test("patterns that are wrong are refused, and nothing is stored", { timeout: 200_000 }, async () => {
  const { server, database, run: pgstow, expectNoBackup, json } = await setScene()
  await server.psql("CREATE TABLE orders AS SELECT 1 AS n", database)
  for (const [flags, message] of [
    [["--table", "nothing"], "no table matches --table nothing"],
    [["--table", "pg_class"], "no table matches --table pg_class"],
    [["--schema", "Nowhere"], "no schema matches --schema Nowhere"],
    [["--table", "a.b.c.d"], "the pattern a.b.c.d has too many dots"],
    [["--table", "other.public.orders"], `names the database other, and this one is ${database}`],
    [["--table", "or(ders"], "--table or(ders is no pattern: invalid regular expression"],
    [["--table", "orders", "--exclude-schema", "x"], "--exclude-schema has no effect beside --table"],
    [["--table", ""], "--table is empty"],
    [["--table", "'; DROP TABLE orders; --"], "no table matches"],
    [["--table", "x\\'; DROP TABLE orders; --"], "no table matches"],
    [["--table", ":'HOST'\n\\! touch pwned"], "no table matches"],
  ] as const) {
    const failure = failureOfRun(await pgstow(["backup", ...flags]))
    expect(failure.message).toContain(message)
    expect(failure.kind).toBe("usage")
  }
  await expectNoBackup()
  const { warnings } = backedUp.parse(await json(["backup", "--exclude-table", "nothing"]))
  expect(warnings).toContain("no table matches --exclude-table nothing")
})

test("a table that is left out need not be readable", { timeout: 200_000 }, async () => {
  const scene = await setScene()
  const { server, database, run: pgstow, json } = scene
  const { user, env } = await limitedUser(scene, "")
  const url = new URL(env.DATABASE_URL)
  url.pathname = `/${database}`
  await server.psql(
    `CREATE TABLE mine AS SELECT 1 AS n; CREATE TABLE theirs AS SELECT 1 AS n; GRANT SELECT ON mine TO "${user}"`,
    database,
  )
  const limited = { DATABASE_URL: url.href }
  expect(failureOfRun(await pgstow(["backup"], limited)).kind).toBe("postgres")
  const { partial } = backedUp.parse(await json(["backup", "--exclude-table", "theirs"], limited))
  expect(partial).toBe("without tables theirs")
})

test("a pg_dump that takes the patterns for something else leaves no backup", {
  timeout: 200_000,
}, async () => {
  const { server, database, run: pgstow, expectNoBackup } = await setScene()
  await server.psql("CREATE TABLE kept AS SELECT 1 AS n; CREATE TABLE secret AS SELECT 1 AS n", database)
  const script =
    'for arg; do shift; case $arg in --exclude*) ;; *) set -- "$@" "$arg";; esac; done; exec "$real" "$@"'
  const PGSTOW_PG_BIN = await clientsWith(server, "pg_dump", script)
  for (const [flag, said] of [
    ["--exclude-table-data", "pg_dump has stored the rows of public.secret, which the patterns leave out"],
    ["--exclude-table", "pg_dump has stored public.secret, which the patterns leave out"],
  ] as const) {
    const failure = failureOfRun(await pgstow(["backup", flag, "secret"], { PGSTOW_PG_BIN }))
    expect(failure.message).toContain(said)
    expect(failure.kind).toBe("postgres")
  }
  await expectNoBackup()
})

test("a drill of a partial backup passes, also of tables without their schema", {
  timeout: 200_000,
}, async () => {
  const { server, database, json } = await setScene()
  await server.psql(
    `CREATE SCHEMA audit; CREATE TABLE audit.log AS SELECT 1 AS n; CREATE TABLE audit.kept (n serial PRIMARY KEY);
     INSERT INTO audit.kept DEFAULT VALUES; CREATE TABLE other AS SELECT 1 AS n`,
    database,
  )
  await json(["backup", "--table", "audit.*", "--exclude-table-data", "audit.log"])
  expect(await json(["drill"], { TMPDIR: tmpdir() })).toMatchObject({ kind: "drilled" })
  await json(["backup", "--exclude-schema", "audit"])
  expect(await json(["drill"], { TMPDIR: tmpdir() })).toMatchObject({ kind: "drilled" })
})
