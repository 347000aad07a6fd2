import { beforeAll, describe, expect, test } from "vitest"
import { type Archive, relateEntries } from "../../task/archive/archive.ts"
import { rowReaders } from "../../task/archive/row-readers.ts"
import { readToc } from "../../task/archive/toc.ts"
import { inPieces } from "../support/bytes.ts"
import { dumpOf } from "../support/dump.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

const schema = `
  CREATE TABLE z (v text PRIMARY KEY, n int);
  CREATE VIEW zv AS SELECT * FROM z;
  CREATE FUNCTION reads(t text) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n FROM public.z WHERE v = t';
  CREATE FUNCTION "Calls"(t text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN public.reads(t) > 0; END';
  CREATE FUNCTION pure(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
    'BEGIN IF t IS DISTINCT FROM NULL THEN RETURN lower(t); END IF; RETURN NULL; END';
  CREATE FUNCTION dynamic(t text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    'DECLARE n int; BEGIN EXECUTE ''SELECT 1'' INTO n; RETURN n; END';
  CREATE FUNCTION same(text, text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT public.reads($1) = public.reads($2)';
  CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = same);
  CREATE DOMAIN known AS text CHECK (reads(VALUE) > 0);
  CREATE TYPE pair AS (a known, b int);

  CREATE TABLE "Check" (t text, CHECK ("Calls"(t)));
  CREATE TABLE generated (t text, n int GENERATED ALWAYS AS (reads(t)) STORED);
  CREATE TABLE by_domain (a known[]);
  CREATE TABLE by_type (p pair);
  CREATE TABLE by_row (r by_type);
  CREATE TABLE by_dynamic (t text CHECK (dynamic(t) = 1));
  CREATE TABLE parent (t text) PARTITION BY LIST (reads(t));
  CREATE TABLE leaf PARTITION OF parent FOR VALUES IN (1);
  CREATE TABLE child () INHERITS (generated);
  CREATE TABLE a_last (t text, n int GENERATED ALWAYS AS (dynamic(t)) STORED);
  CREATE FUNCTION of_last(t text) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n FROM public.a_last WHERE a_last.t = of_last.t';
  CREATE TABLE "B first, it seems" (t text, n int GENERATED ALWAYS AS (of_last(t)) STORED);

  CREATE TABLE by_default (t text DEFAULT reads('a')::text, u text CHECK (u <> 'reads(t)'));
  CREATE TABLE by_pure (t text CHECK (pure(t) <> ''), u text GENERATED ALWAYS AS (pure(t)) STORED);
  CREATE TABLE plain (t text, n int CHECK (n > 0), r int4range, EXCLUDE USING btree (reads(t) WITH =), EXCLUDE (n WITH =));
  CREATE INDEX calls ON plain (reads(t));
  CREATE INDEX calls_where ON plain (n) WHERE reads(t) > 0;
  CREATE INDEX calls_no_other ON plain (lower(t));`

describe.for(majors)("in a dump of PostgreSQL %i", (major) => {
  let archive: Archive
  beforeAll(async () => {
    const server = await sharedPostgres(major)
    const database = await server.createDatabase()
    await server.psql(schema, database)
    archive = relateEntries((await readToc(inPieces(await dumpOf(server, database)))).entries)
  })
  const lateTables = () => rowReaders(archive).lateTables.map(({ name }) => name)

  test("the tables that can't be loaded before others are found, and no more", () => {
    const all = ["B first, it seems", "Check", "a_last", "by_domain", "by_dynamic", "by_row", "by_type"]
    // While a domain reads, any function may by it.
    expect(new Set(lateTables())).toEqual(
      new Set([...all, "by_pure", "child", "generated", "leaf", "parent"]),
    )
    const entries = archive.entries.filter(
      ({ name, kind }) => kind !== "OPERATOR" && !/known|pair|by_(domain|type|row)/.test(name),
    )
    const fewer = rowReaders(relateEntries(entries)).lateTables.map(({ name }) => name)
    expect(new Set(fewer)).toEqual(
      new Set(["B first, it seems", "Check", "a_last", "by_dynamic", "child", "generated", "leaf", "parent"]),
    )
  })

  test("a table that another one reads is loaded before that, and all else as pg_dump has it", () => {
    const order = lateTables()
    expect(order.indexOf("a_last")).toBeLessThan(order.indexOf("B first, it seems"))
    const others = order.filter((name) => name !== "a_last" && name !== "B first, it seems")
    expect(others).toEqual(others.toSorted())
  })

  test("keys that call a function of the archive are told from others", () => {
    const keys = archive.entries.filter(({ kind }) => kind === "INDEX" || kind === "CONSTRAINT")
    const calling = keys.filter(rowReaders(archive).callsFunctions).map(({ name }) => name)
    expect(calling.toSorted()).toEqual(["calls", "calls_where", "plain plain_reads_excl"])
  })
})
