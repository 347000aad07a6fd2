import { describe, expect, test } from "vitest"
import * as z from "zod"
import { notRun } from "../support/not-run.ts"
import { runInShell } from "../support/run-in-shell.ts"
import { type Scene, setScene } from "../support/scene.ts"
import { majors, needsIcu, sharedPostgres } from "../support/shared-postgres.ts"

const answer = z.object({
  into: z.string(),
  byHand: z.array(z.object({ what: z.string(), in: z.enum(["sql", "shell"]), run: z.string() })),
})

/** By ICU "B" and "Z" come after "b", and by bytes before it. */
const names = "unnest('{a,A,b,B,z,Z}'::text[]) AS name"

/** Of them `big` has its rows in segments. */
const schema = `
  CREATE TABLE people (id int, name text, "a (b" text, PRIMARY KEY (id, name)) PARTITION BY RANGE (name);
  CREATE TABLE "people (low)" PARTITION OF people FOR VALUES FROM (MINVALUE) TO ('b');
  CREATE TABLE people_high PARTITION OF people FOR VALUES FROM ('b') TO (MAXVALUE) PARTITION BY HASH (id);
  CREATE TABLE people_high_0 PARTITION OF people_high FOR VALUES WITH (MODULUS 2, REMAINDER 0);
  CREATE TABLE people_high_1 PARTITION OF people_high FOR VALUES WITH (MODULUS 2, REMAINDER 1);
  INSERT INTO people SELECT id, name, 'x' FROM ${names}, generate_series(1, 5) AS id;
  CREATE TABLE pets (owner int, name text, FOREIGN KEY (owner, name) REFERENCES people);
  INSERT INTO pets SELECT id, name FROM people;

  CREATE TABLE big (name text, t text) PARTITION BY RANGE (btrim(name));
  CREATE TABLE big_low PARTITION OF big FOR VALUES FROM (MINVALUE) TO ('b');
  CREATE TABLE big_high PARTITION OF big FOR VALUES FROM ('b') TO (MAXVALUE);
  ALTER TABLE big_low ALTER t SET STORAGE PLAIN;
  ALTER TABLE big_high ALTER t SET STORAGE PLAIN;
  INSERT INTO big SELECT name, repeat('x', 7000) FROM ${names}, generate_series(1, 1500) AS id;
  CREATE INDEX ON big (name)`

/** How many rows there are of each name, and whether they are in the lower partition. */
const placesIn = (table: string) => `
  SELECT string_agg(line, ' ' ORDER BY line COLLATE "C") FROM (
    SELECT concat(name, count(*), CASE WHEN tableoid::regclass::text LIKE '%low%' THEN ' low,' ELSE ' high,' END) AS line
      FROM ${table} GROUP BY name, tableoid::regclass::text LIKE '%low%') AS lines`
const byIcu = (n: number) => `A${n} low, B${n} high, Z${n} high, a${n} low, b${n} high, z${n} high,`
const byBytes = (n: number) => `A${n} low, B${n} low, Z${n} low, a${n} low, b${n} high, z${n} high,`

describe.for(majors)("partitions by text, with PostgreSQL %i", async (major) => {
  const server = await sharedPostgres(major)
  const none = notRun(major >= 15, `PostgreSQL ${major} has no databases by ICU`)
  const noIcu = none === "" ? await needsIcu(server) : none
  const expectPlaces = async (database: string, by: (n: number) => string) => {
    expect(await server.psql(placesIn("people"), database)).toBe(by(5))
    expect(await server.psql(placesIn("big"), database)).toBe(by(1500))
    expect(
      await server.psql(
        "SELECT count(*) FROM pets JOIN people ON owner = id AND pets.name = people.name",
        database,
      ),
    ).toBe("30")
  }
  const icu = "LOCALE_PROVIDER icu ICU_LOCALE 'en' LC_COLLATE 'C' LC_CTYPE 'C'"
  const backUp = async (locale: string, sql = schema): Promise<Scene> => {
    const scene = await setScene(server)
    const { database } = scene
    await server.psql(`DROP DATABASE ${database}`)
    await server.psql(`CREATE DATABASE ${database} TEMPLATE template0 ENCODING 'UTF8' ${locale}`)
    await server.psql(sql, database)
    await scene.json(["backup", "--jobs", "2"])
    return scene
  }

  test.skipIf(noIcu)(`take their rows under another collation${noIcu}`, async () => {
    const scene = await backUp(icu)
    await expectPlaces(scene.database, byIcu)
    const copy = `${scene.database}_copy`
    const result = await scene.json([
      "restore",
      "latest",
      "--into",
      copy,
      "--locale",
      "default",
      "--jobs",
      "2",
    ])
    await expectPlaces(copy, byBytes)
    expect(result).toMatchObject({
      warnings: [
        "the target's locale is not the backup's: rows of public.big, public.people go to the partitions that it puts them in",
      ],
    })

    const there = await server.createDatabase(`${scene.database}_there`)
    await scene.json(["restore", "latest", "--into", there, "--yes"])
    await expectPlaces(there, byBytes)

    const same = `${scene.database}_same`
    expect(await scene.json(["restore", "latest", "--into", same])).toMatchObject({ warnings: [] })
    await expectPlaces(same, byIcu)
  })

  test.skipIf(noIcu)(`keep their rows where they can't be attached${noIcu}`, async () => {
    const scene = await backUp(
      icu,
      `CREATE TABLE t (name text) PARTITION BY RANGE (name);
       CREATE TABLE t_empty PARTITION OF t FOR VALUES FROM ('a') TO ('B');
       CREATE TABLE t_rest PARTITION OF t FOR VALUES FROM ('x') TO ('z');
       INSERT INTO t VALUES ('a'), ('A1'), ('y')`,
    )
    const copy = `${scene.database}_copy`
    const { exitCode, stdout } = await scene.run([
      "restore",
      "latest",
      "--into",
      copy,
      "--locale",
      "default",
      "--json",
    ])
    expect(exitCode).toBe(9)
    expect(JSON.parse(stdout)).toMatchObject({
      errors: [{ count: 1 }],
      byHand: [{ what: "table attach public.t_empty", in: "sql" }],
    })
    const rows = "SELECT (SELECT count(*) FROM t_empty), (SELECT count(*) FROM t)"
    expect(await server.psql(rows, `incomplete_${copy}`)).toBe("2|1")
  })

  test.skipIf(noIcu)(
    `take by hand what was refused, where it belongs by another collation${noIcu}`,
    async () => {
      const scene = await backUp(
        icu,
        `CREATE FUNCTION ok(text) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS
         $$ BEGIN IF current_setting('test.ok', true) = 'yes' THEN RETURN true; ELSE RAISE check_violation; END IF; END $$;
       SET test.ok = 'yes'; ${schema};
       ALTER TABLE people ADD CHECK (ok(name)); ALTER TABLE big ADD CHECK (ok('x'))`,
      )
      const { stdout } = await scene.run([
        "restore",
        "latest",
        "--into",
        `${scene.database}_copy`,
        "--locale",
        "default",
        "--jobs",
        "2",
        "--json",
      ])
      const { into, byHand } = answer.parse(JSON.parse(stdout))
      const whats = byHand.map(({ what }) => what)
      expect(whats).toEqual(
        expect.arrayContaining(["table data public.people (low)", "table data public.big_low"]),
      )
      // A call of constants is computed as the partition is attached, which is refused then.
      expect(whats).toContain("table attach public.big_low")
      expect(whats).not.toContain("table attach public.people (low)")
      await server.psql(`ALTER DATABASE ${into} SET test.ok = 'yes'`)
      for (const { run, in: where } of byHand)
        if (where === "sql") await server.psql(run, into)
        else await runInShell(scene, run)
      await expectPlaces(into, byBytes)
    },
  )

  test("take their rows under the same collation, all or some", async () => {
    const scene = await backUp("LOCALE 'C'")
    const there = await server.createDatabase(`${scene.database}_there`)
    await scene.json(["restore", "latest", "--into", there, "--yes"])
    await expectPlaces(there, byBytes)
    // By itself it is a table like others.
    const some = `${scene.database}_some`
    await scene.json(["restore", "latest", "--table", "public.big_low", "--into", some])
    expect(await server.psql(placesIn("big_low"), some)).toBe("A1500 low, B1500 low, Z1500 low, a1500 low,")
  })
})
