import { describe, expect, test } from "vitest"
import { notRun } from "../support/not-run.ts"
import { setScene } from "../support/scene.ts"
import { majors } from "../support/shared-postgres.ts"

/** Each table, but for the last ones, has something that is computed in a restore by looking a name up. */
const schema = `
  CREATE SCHEMA app; CREATE SCHEMA "Tools";
  CREATE TABLE app.codes (code int PRIMARY KEY, rate int); INSERT INTO app.codes VALUES (1, 2);
  CREATE FUNCTION "Tools".twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1';
  CREATE TYPE "Tools".mood AS ENUM ('well');
  SET search_path = app, "Tools";
  CREATE FUNCTION rate(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT rate FROM codes WHERE code = $1';
  CREATE FUNCTION outer_one(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN app.rate(n); END';
  CREATE FUNCTION fourfold(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT twice("Tools".twice($1))';
  CREATE FUNCTION moody(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'DECLARE m mood; BEGIN m := ''well''; RETURN true; END';
  CREATE FUNCTION dynamic(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    'DECLARE n int; BEGIN EXECUTE ''SELECT rate FROM codes WHERE code = $1'' INTO n USING $1; RETURN n; END';
  CREATE DOMAIN "Tools".known AS int CHECK (app.rate(VALUE) > 0) DEFAULT app.dynamic(1);
  CREATE FUNCTION same_rate(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT app.rate($1) = app.rate($2)';
  CREATE OPERATOR app.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = same_rate);

  CREATE TABLE app.checked (n int, CONSTRAINT rated CHECK (outer_one(n) > 0));
  CREATE TABLE app.computed (n int, r int GENERATED ALWAYS AS (dynamic(n)) STORED);
  CREATE TABLE app.of_domain (n known[]);
  CREATE TABLE app.by_operator (n int, CONSTRAINT same CHECK (n === 1));
  CREATE TABLE app.in_parts (n int) PARTITION BY LIST ((fourfold(n)));
  CREATE TABLE app.part PARTITION OF app.in_parts FOR VALUES IN (4);

  CREATE FUNCTION clean(n int, codes int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
    -- Not from codes.
    BEGIN
      IF n IS DISTINCT FROM codes THEN RETURN lower('twice(from codes)')::int; END IF;
      RETURN (WITH codes AS (SELECT 1 AS c) SELECT c FROM codes) + "Tools".twice(n) + (SELECT app.codes.rate FROM app.codes);
    END $$;
  CREATE FUNCTION own(int) RETURNS int LANGUAGE sql IMMUTABLE SET search_path = app AS 'SELECT rate FROM codes WHERE code = $1';
  CREATE FUNCTION only_default() RETURNS int LANGUAGE sql AS 'SELECT max(code) FROM codes';
  CREATE FUNCTION only_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM FROM codes; RETURN NEW; END';
  CREATE TABLE app.not_called (n int DEFAULT only_default(), m int CHECK (clean(m, 1) > 0), o int CHECK (own(o) > 0));
  CREATE TRIGGER t BEFORE INSERT ON app.not_called FOR EACH ROW EXECUTE FUNCTION only_trigger();
  CREATE VIEW app.read AS SELECT only_default();
  CREATE INDEX by_own ON app.not_called (own(n))`

/** From 17 on these are refused wherever they are made. */
const untilSixteen = `
  SET search_path = app, "Tools";
  CREATE VIEW app.between AS SELECT rate(code) AS rate FROM codes;
  CREATE MATERIALIZED VIEW app.seen AS SELECT * FROM between;
  CREATE INDEX by_mood ON app.codes ((1)) WHERE moody(code)`

const noticeOf = (answer: unknown) => {
  const { notes } = answer as { notes: string[] } // as a Prospect is
  return notes.filter((note) => note.includes("without a schema"))
}

describe.for(majors)("functions that look names up without a schema, with PostgreSQL %i", (major) => {
  test("are named with what calls them and the search_path to give, before a restore", async () => {
    const scene = await setScene(major)
    const { server, database } = scene
    await server.psql(schema, database)
    if (major < 17) await server.psql(untilSixteen, database)
    await scene.json(["backup"])

    const dryRun = (...args: string[]) => scene.json(["restore", "latest", "--dry-run", ...args])
    const [notice = "", ...others] = noticeOf(await dryRun())
    expect(others).toEqual([])
    const called = [
      "app.dynamic(integer) looks up codes, for column r of table app.computed",
      "app.fourfold(integer) looks up twice, for table app.in_parts",
      ...(major < 17 ? ["app.moody(integer) looks up mood, for index app.by_mood"] : []),
      `app.rate(integer) looks up codes, for constraint rated on table app.checked, constraint same on table app.by_operator${major < 17 ? ", materialized view app.seen" : ""}, table app.of_domain`,
    ]
    expect(notice).toBe(
      `functions look names up without a schema, and find them in a restore only by --search-path app,Tools,public: ${called.join("; ")}`,
    )

    expect(noticeOf(await dryRun("--search-path", "app,Tools"))).toEqual([])
    expect(noticeOf(await dryRun("--table", "app.not_called"))).toEqual([])
    expect(noticeOf(await dryRun("--table", "app.computed"))).toEqual([
      "functions look names up without a schema, and find them in a restore only by --search-path app,public: app.dynamic(integer) looks up codes, for column r of table app.computed",
    ])
    if (major < 17) expect(noticeOf(await dryRun("--no-refresh"))[0]).not.toContain("app.seen")

    // What is given does it, and without it what was named is what fails.
    const into = `${database}_copy`
    await scene.json(["restore", "latest", "--into", into, "--search-path", "app,Tools,public"])
    const without = await scene.run(["restore", "latest", "--into", `${database}_without`, "--json"])
    expect(without.stderr).toContain("functions look names up without a schema")
  })

  test("in a database that is there are said to need a new one; an extension's are found, too", async () => {
    const scene = await setScene(major)
    const { server, database } = scene
    await server.psql(
      `CREATE EXTENSION unaccent;
       CREATE FUNCTION plain(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT unaccent('unaccent', $1)$$;
       CREATE TABLE t (a text, b text GENERATED ALWAYS AS (plain(a)) STORED); INSERT INTO t VALUES ('é')`,
      database,
    )
    await scene.json(["backup"])
    const there = await server.createDatabase()
    expect(noticeOf(await scene.json(["restore", "latest", "--dry-run", "--into", there]))).toEqual([
      "functions look names up without a schema, and find them only in a restore into a new database with --search-path public: public.plain(text) looks up unaccent, for column b of table public.t",
    ])
    await scene.json(["restore", "latest", "--into", `${database}_copy`, "--search-path", "public"])
    expect(await server.psql("SELECT b FROM t", `${database}_copy`)).toBe("e")
  })

  const why = notRun(major < 16, "earthdistance says where its names are from PostgreSQL 16 on")
  test.skipIf(why !== "")(`of an extension itself are said to stay as they are${why}`, async () => {
    const scene = await setScene(major)
    await scene.server.psql(
      "CREATE EXTENSION earthdistance CASCADE; CREATE TABLE t (a float, b float); CREATE INDEX i ON t (ll_to_earth(a, b))",
      scene.database,
    )
    await scene.json(["backup"])
    const [notice = "", ...others] = noticeOf(
      await scene.json(["restore", "latest", "--dry-run", "--search-path", "public"]),
    )
    expect(others).toEqual([])
    expect(notice).toContain("functions of extensions look names up without a schema")
    expect(notice).toMatch(
      /public\.ll_to_earth\(double precision, double precision\) of earthdistance looks up cube, earth.*, for index public\.i/,
    )
  })

  test("are none in most databases", async () => {
    const scene = await setScene(major)
    await scene.server.psql("CREATE TABLE t (n int PRIMARY KEY CHECK (n > 0))", scene.database)
    await scene.json(["backup"])
    const { readFileSync, globSync } = await import("node:fs")
    const [file = ""] = globSync(`${scene.folder}/backups/*/*/manifest.json`)
    expect(readFileSync(file, "utf8")).not.toContain("functionPaths")
  })
})
