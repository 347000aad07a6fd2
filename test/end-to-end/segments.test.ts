import { globSync } from "node:fs"
import { stat, truncate } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import * as z from "zod"
import { exitCodes } from "../../task/errors.ts"
import { startChild } from "../../task/processes/child.ts"
import { compareDatabases } from "../support/compare-databases.ts"
import { failureOfRun } from "../support/failure-line.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { setScene } from "../support/scene.ts"
import { majors } from "../support/shared-postgres.ts"

/**
 * Big tables of every kind, in rows that take up a page each but take no time to make. Few columns have a default:
 * an old pg_dump takes seconds for 1,600.
 */
const bigTables = String.raw`
  CREATE FUNCTION page(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT rpad(n::text || E'\t\\N\n', 7000, 'x') $$;
  CREATE SCHEMA "S ""x""";
  CREATE TABLE huge (n int PRIMARY KEY, text text);
  CREATE TABLE gone (a int, dropped text, b text, g text GENERATED ALWAYS AS ('g' || a) STORED, id bigint GENERATED ALWAYS AS IDENTITY);
  CREATE TABLE parent (n int, text text);
  CREATE TABLE child (extra int) INHERITS (parent);
  CREATE TABLE whole (n int, text text) PARTITION BY RANGE (n);
  CREATE TABLE part_1 PARTITION OF whole FOR VALUES FROM (0) TO (2300);
  CREATE TABLE part_2 (text text, n int);
  ALTER TABLE whole ATTACH PARTITION part_2 FOR VALUES FROM (2300) TO (9000);
  CREATE TABLE secret (n int, text text);
  CREATE TABLE "S ""x"""."Straße :t\ 🚲" ("a "";"" \b" int, "select" text);
  CREATE TABLE "line
break" (n int, text text);
  CREATE UNLOGGED TABLE quick (n int, text text);
  CREATE TABLE toasted (n int, text text);
  ALTER TABLE toasted ALTER text SET STORAGE EXTERNAL;
  CREATE TABLE empty (n int);
  CREATE TABLE small AS SELECT 1 AS n;
  DO $$ BEGIN EXECUTE (SELECT format('CREATE TABLE wide (text text, %s)', string_agg(format('c%s bool %s', n, CASE WHEN n % 40 = 0 THEN 'DEFAULT true' END), ', ')) FROM generate_series(1, 1599) AS n); END $$;
  DO $$
  DECLARE name regclass;
  BEGIN
    FOR name IN SELECT attrelid FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relkind = 'r' AND attname IN ('text', 'b', 'select') AND c.oid >= 16384 AND relname NOT IN ('toasted', 'wide') LOOP
      EXECUTE format('ALTER TABLE %s ALTER %I SET STORAGE PLAIN', name, (SELECT attname FROM pg_attribute WHERE attrelid = name AND attname IN ('text', 'b', 'select')));
    END LOOP;
  END $$;
  INSERT INTO huge SELECT n, page(n) FROM generate_series(1, 17000) AS n;
  INSERT INTO gone (a, b) SELECT n, page(n) FROM generate_series(1, 2200) AS n;
  ALTER TABLE gone DROP COLUMN dropped;
  INSERT INTO parent SELECT n, page(n) FROM generate_series(1, 2200) AS n;
  INSERT INTO child SELECT n, page(-n), n FROM generate_series(1, 2200) AS n;
  INSERT INTO whole SELECT n, page(n) FROM generate_series(1, 4600) AS n;
  INSERT INTO secret SELECT n, page(n) FROM generate_series(1, 2200) AS n;
  INSERT INTO "S ""x"""."Straße :t\ 🚲" SELECT n, page(n) FROM generate_series(1, 2200) AS n;
  INSERT INTO "line
break" SELECT n, page(n) FROM generate_series(1, 2200) AS n;
  INSERT INTO quick SELECT n, page(n) FROM generate_series(1, 2200) AS n;
  INSERT INTO toasted SELECT n, repeat(page(n), 30) FROM generate_series(1, 100) AS n;
  ALTER TABLE wide ALTER text SET STORAGE EXTERNAL;
  INSERT INTO wide SELECT repeat(page(n), 30) FROM generate_series(1, 100) AS n;
  DELETE FROM huge WHERE n % 10 = 0;
  UPDATE huge SET text = 'changed' WHERE n % 100 = 1;
  ALTER TABLE secret ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
  CREATE POLICY nothing ON secret USING (false);
  CREATE INDEX ON huge (md5(text));
  ALTER TABLE gone ADD PRIMARY KEY (id), ADD FOREIGN KEY (a) REFERENCES huge NOT VALID;
  CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM huge;
`

/** Rows for a table of 17 MiB. */
const pages = "SELECT n, rpad(n::text, 7000, 'x') AS text FROM generate_series(1, 2200) AS n"

/** Big tables of further kinds. The tablespace is the server's, hence its name. */
const seldomSeen = (tablespace: string, major: number) => `
  CREATE EXTENSION file_fdw;
  SET allow_in_place_tablespaces = on;
  CREATE TABLESPACE ${tablespace} LOCATION '';
  CREATE TABLE elsewhere (n int, text text) TABLESPACE ${tablespace};
  CREATE TYPE shape AS (n int, text text);
  CREATE TABLE typed OF shape (n PRIMARY KEY);
  CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler;
  CREATE TABLE otherwise_stored (n int, text text) USING other;
  CREATE TABLE ruled (n int, text text);
  CREATE TABLE seen (n int);
  CREATE TABLE triggered (n int, text text);
  CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
  CREATE TABLE deep (n int, text text) PARTITION BY RANGE (n);
  CREATE TABLE deeper PARTITION OF deep FOR VALUES FROM (1) TO (3000) PARTITION BY HASH (n);
  CREATE TABLE deepest (text text, gone int, n int);
  ALTER TABLE deepest DROP COLUMN gone;
  ALTER TABLE deeper ATTACH PARTITION deepest FOR VALUES WITH (MODULUS 1, REMAINDER 0);
  CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
  CREATE FOREIGN TABLE far PARTITION OF deep FOR VALUES FROM (3000) TO (4000) SERVER files OPTIONS (filename '/dev/null');
  CREATE FOREIGN TABLE far_off (n int, text text) SERVER files OPTIONS (filename '/dev/null');
  CREATE TABLE doubled (n int, text text, twice int GENERATED ALWAYS AS (n * 2) ${major >= 18 ? "VIRTUAL" : "STORED"});
  CREATE TABLE whole_doubled (n int, text text, twice int GENERATED ALWAYS AS (n * 2) STORED) PARTITION BY LIST (n);
  CREATE TABLE part_doubled PARTITION OF whole_doubled DEFAULT;
  CREATE MATERIALIZED VIEW large AS ${pages} WITH NO DATA;
  DO $do$
  DECLARE name regclass;
  BEGIN
    FOR name IN SELECT oid FROM pg_class WHERE relkind = 'r' AND oid >= 16384 AND relname <> 'seen' LOOP
      EXECUTE format('ALTER TABLE %s ALTER text SET STORAGE PLAIN', name);
      CONTINUE WHEN name::text = 'deepest';
      EXECUTE format('INSERT INTO %s (n, text) ${pages.replaceAll("'", "''")}', name);
    END LOOP;
  END $do$;
  INSERT INTO deep ${pages};
  ALTER MATERIALIZED VIEW large ALTER text SET STORAGE PLAIN;
  REFRESH MATERIALIZED VIEW large;
  CREATE TRIGGER refuse BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION refuse();
  ALTER TABLE triggered ENABLE ALWAYS TRIGGER refuse;
  CREATE RULE also AS ON INSERT TO ruled DO ALSO INSERT INTO seen VALUES (NEW.n);
`

/** Those of them that pg_dump need not treat. */
const seldomSegmented = [
  "elsewhere",
  "typed",
  "otherwise_stored",
  "ruled",
  "triggered",
  "deepest",
  "doubled",
  "part_doubled",
]

/** All that are big, but for those that pg_dump knows better how to treat. */
const segmented = [
  "huge",
  "gone",
  "parent",
  "child",
  "part_1",
  "part_2",
  "secret",
  "Straße :t\\ 🚲",
  "toasted",
  "wide",
]

/** What comes of a database by PostgreSQL's own programs. */
async function dumpAndRestore({ binDir, env }: PostgresServer, from: string, into: string): Promise<void> {
  const restore = startChild(
    { file: join(binDir, "pg_restore"), args: ["--exit-on-error", "--dbname", into], env },
    { stdin: "pipe" },
  )
  const dump = startChild(
    { file: join(binDir, "pg_dump"), args: ["-Fc", "-Z0", "--dbname", from], env },
    { stdout: restore.stdin },
  )
  await Promise.all([dump.ended, restore.ended])
}

const manifestSchema = z.object({
  manifest: z.object({
    objects: z.array(
      z.object({
        kind: z.string(),
        table: z.string().optional(),
        rows: z.int().optional(),
        rawBytes: z.int(),
      }),
    ),
  }),
})

const restoreSchema = z.object({
  into: z.string(),
  state: z.string(),
  warnings: z.array(z.string()),
  errors: z.array(
    z.object({
      class: z.string(),
      count: z.int(),
      examples: z.array(z.object({ message: z.string() })),
    }),
  ),
})

describe.for(majors)("a backup of big tables of PostgreSQL %i", (major) => {
  test("comes back equal, in however many streams it was taken, and wherever it is restored into", async () => {
    const scene = await setScene(major)
    const { server, database, json } = scene
    await server.psql(bigTables, database)
    const original = { server, name: database }

    for (const jobs of ["2", "4"]) {
      await json(["backup", "--name", `by ${jobs}`, "--jobs", jobs, "--no-verify"])
      const { objects } = manifestSchema.parse(await json(["show", "--database", `by ${jobs}`])).manifest
      const segments = objects.filter(({ kind }) => kind === "segment")
      const cut = Map.groupBy(segments, ({ table }) => table)
      expect(new Set(cut.keys())).toEqual(new Set(segmented))
      expect(cut.get("huge")?.length).toBeGreaterThan(1)
      expect(cut.get("huge")?.reduce((sum, { rows = 0 }) => sum + rows, 0)).toBe(15_300)
      expect(objects.find(({ kind }) => kind === "main")?.rawBytes).toBeLessThan(60e6)
    }

    for (const jobs of ["1", "3"]) {
      const name = `in ${jobs} on ${major}`
      await json(["restore", "--database", "by 2", "--jobs", jobs, "--into", name])
      expect(await compareDatabases(original, { server, name })).toEqual([])
    }
    expect(await json(["verify", "--database", "by 2", "--deep"])).toMatchObject([{ problems: [] }])
    const existing = await server.createDatabase()
    for (const more of [[], ["--clean"]]) {
      await json(["restore", "--database", "by 4", "--into", existing, "--yes", ...more])
      expect(await compareDatabases(original, { server, name: existing })).toEqual([])
    }
  }, 300_000)

  test("of kinds that are seldom seen comes back as pg_dump and pg_restore bring it back", async () => {
    const scene = await setScene(major)
    const { server, database, json } = scene
    await server.psql(seldomSeen(database, major), database)
    await json(["backup", "--jobs", "2", "--no-verify"])
    const { objects } = manifestSchema.parse(await json(["show"])).manifest
    const leaving = new Set(objects.flatMap(({ table }) => table ?? []))
    expect(leaving).toEqual(new Set(seldomSegmented))

    const plain = await server.createDatabase()
    await dumpAndRestore(server, database, plain)
    const { into } = z.object({ into: z.string() }).parse(await json(["restore"]))
    expect(await compareDatabases({ server, name: plain }, { server, name: into })).toEqual([])
    for (const name of [database, plain, into]) await server.psql(`DROP DATABASE "${name}" (FORCE)`)
    await server.psql(`DROP TABLESPACE ${database}`)
  }, 120_000)

  test("leaves it to the new server which partition a row is in, where that depends on what it makes of an enum", async () => {
    const { server, database, json } = await setScene(major)
    await server.psql(
      `CREATE TYPE mood AS ENUM (${Array.from({ length: 16 }, (_, n) => `'m${n}'`).join(", ")});
       CREATE TABLE moods (n int, text text, mood mood) PARTITION BY HASH (mood);
       CREATE TABLE part_0 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 0);
       CREATE TABLE part_1 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 1);
       ALTER TABLE part_0 ALTER text SET STORAGE PLAIN; ALTER TABLE part_1 ALTER text SET STORAGE PLAIN;
       INSERT INTO moods SELECT *, (enum_range(NULL::mood))[1 + n % 16] FROM (${pages.replace("2200", "4400")}) AS pages`,
      database,
    )
    await json(["backup", "--jobs", "2"])
    const { into } = z.object({ into: z.string() }).parse(await json(["restore"]))
    const placed =
      "SELECT tableoid::regclass, count(*), sum(hashtext(moods::text)) FROM moods GROUP BY 1 ORDER BY 1"
    const all = "SELECT count(*), sum(hashtext(moods::text)) FROM moods"
    expect(await server.psql(all, into)).toBe(await server.psql(all, database))
    expect(await server.psql(placed, into)).not.toBe(await server.psql(placed, database))
  })

  test("leaves the tables of an extension to pg_dump, which knows the rows that are its own", async () => {
    const { server, database, json } = await setScene(major)
    // The extension's own script would make them; here they are there before.
    const members = `
      CREATE EXTENSION citext;
      CREATE TABLE member (n int, text text); ALTER EXTENSION citext ADD TABLE member;
      CREATE TABLE configuration (LIKE member); ALTER EXTENSION citext ADD TABLE configuration;
      UPDATE pg_extension SET extconfig = ARRAY['configuration'::regclass::oid], extcondition = ARRAY['WHERE n > 2000']
       WHERE extname = 'citext';`
    const [plain, into] = [await server.createDatabase(), await server.createDatabase()]
    for (const name of [database, plain, into]) await server.psql(members, name)
    await server.psql(
      `${["member", "configuration"].map((name) => `ALTER TABLE ${name} ALTER text SET STORAGE PLAIN; INSERT INTO ${name} ${pages};`).join("\n")}
       CREATE TABLE own (LIKE member INCLUDING STORAGE); INSERT INTO own ${pages}`,
      database,
    )
    await json(["backup", "--jobs", "2"])
    const { objects } = manifestSchema.parse(await json(["show"])).manifest
    expect(objects.flatMap(({ table }) => table ?? [])).toEqual(["own"])
    await dumpAndRestore(server, database, plain)
    await json(["restore", "--into", into, "--yes"])
    expect(await server.psql("SELECT count(*) FROM configuration", into)).toBe("200")
    expect(await compareDatabases({ server, name: plain }, { server, name: into })).toEqual([])
  })

  test("gives single tables with their rows", async () => {
    const { server, database, json } = await setScene(major)
    await server.psql(twoTables, database)
    await json(["backup", "--jobs", "2"])
    const { objects } = manifestSchema.parse(await json(["show"])).manifest
    expect(objects.flatMap(({ table }) => table ?? []).toSorted()).toEqual(["a", "b"])
    const into = await server.createDatabase()
    await json(["restore", "--table", "b", "--table", "c", "--into", into, "--yes"])
    expect(await server.psql("SELECT count(*), sum(n) FROM b", into)).toBe("3000|4501500")
    expect(await server.psql("SELECT n FROM c", into)).toBe("1")
    expect(await server.psql("SELECT to_regclass('a')", into)).toBe("")
  })

  test("tells of all that is refused, and keeps what is there under another name", async () => {
    const { server, database, json, run } = await setScene(major)
    await server.psql(
      `${twoTables};
       CREATE FUNCTION ok(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
         $$ BEGIN IF current_setting('test.ok', true) = 'yes' THEN RETURN n; ELSE RAISE 'not ok'; END IF; END $$;
       SET test.ok = 'yes';
       ALTER TABLE a ADD CHECK (ok(n) = n);
       CREATE INDEX ON b (ok(n));
       CREATE INDEX ON c (ok(n))`,
      database,
    )
    await json(["backup", "--jobs", "2", "--no-verify"])
    const { exitCode, stdout } = await run(["restore", "--into", `${database}_r`, "--jobs", "2", "--json"])
    expect(exitCode).toBe(exitCodes.restoreErrors)
    const { into, state, errors, warnings } = restoreSchema.parse(JSON.parse(stdout))
    expect({ into, state, warnings }).toEqual({
      into: `incomplete_${database}_r`,
      state: "incomplete",
      warnings: [],
    })
    expect(errors).toMatchObject([{ class: "other", count: 3 }])
    expect(errors[0]?.examples.map(({ message }) => message)).toEqual(["not ok", "not ok", "not ok"])
    expect(await server.psql("SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)", into)).toBe(
      "0|3000",
    )
  })

  test("of which a segment is not what it was is not restored", async () => {
    const { server, database, folder, json, run } = await setScene(major)
    await server.psql(twoTables, database)
    await json(["backup", "--jobs", "2", "--no-verify"])
    const [segment = ""] = globSync(`${folder}/backups/*/*/data/0001*`)
    await truncate(segment, (await stat(segment)).size - 1)
    const { kind, message, hint } = failureOfRun(
      await run(["restore", "--into", `${database}_r`, "--jobs", "2"]),
    )
    expect(kind).toBe("damaged")
    expect(message).toMatch(/data\/0001\S* in \S+ is not what its manifest says: it has \d+ of \d+ bytes/)
    expect(hint).toContain(`"incomplete_${database}_r"`)
    expect(await server.psql(`SELECT count(*) FROM pg_database WHERE datname = '${database}_r'`)).toBe("0")
  })
})

/** Two of them big, in few rows. */
const twoTables = `
  CREATE TABLE a (n int, text text);
  ALTER TABLE a ALTER text SET STORAGE PLAIN;
  INSERT INTO a SELECT n, repeat('x', 7000) FROM generate_series(1, 3000) AS n;
  CREATE TABLE b (LIKE a INCLUDING STORAGE);
  INSERT INTO b SELECT * FROM a;
  CREATE TABLE c AS SELECT 1 AS n`
