import { beforeAll, describe, expect, test } from "vitest"
import { relateEntries } from "../../task/archive/archive.ts"
import { type Stages, stagesOf } from "../../task/archive/stages.ts"
import { readToc } from "../../task/archive/toc.ts"
import { inPieces } from "../support/bytes.ts"
import { dumpOf } from "../support/dump.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

const schema = `
  CREATE TABLE plain (id int PRIMARY KEY, n int, UNIQUE (n));
  CREATE INDEX plain_n ON plain (n);
  CREATE UNIQUE INDEX plain_clustered ON plain (n, id);
  ALTER TABLE plain CLUSTER ON plain_clustered;
  CREATE TABLE child () INHERITS (plain);
  CREATE TABLE pair (id int, n int, FOREIGN KEY (n, id) REFERENCES plain (n, id), FOREIGN KEY (id) REFERENCES plain);
  COMMENT ON INDEX plain_n IS 'a remark';
  CREATE TABLE tree (id int PRIMARY KEY, plain int REFERENCES plain) PARTITION BY RANGE (id);
  CREATE TABLE leaf PARTITION OF tree FOR VALUES FROM (0) TO (10);
  CREATE INDEX tree_plain ON tree (plain);
  CREATE TABLE to_leaf (id int REFERENCES leaf);
  CREATE POLICY mine ON plain USING (true);
  ALTER TABLE plain ENABLE ROW LEVEL SECURITY;
  CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM plain;
  CREATE INDEX counted_n ON counted (n);
  CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
  CREATE TRIGGER after AFTER INSERT ON plain EXECUTE FUNCTION nothing();
  SELECT lo_create(4711); COMMENT ON LARGE OBJECT 4711 IS 'a remark';
  GRANT SELECT ON plain TO public`

describe.for(majors)("a dump of PostgreSQL %i", (major) => {
  let stages: Stages
  let total: number
  beforeAll(async () => {
    const server = await sharedPostgres(major)
    const database = await server.createDatabase()
    await server.psql(schema, database)
    const { entries } = await readToc(inPieces(await dumpOf(server, database)))
    stages = stagesOf(relateEntries(entries))
    total = entries.length
  })
  const named = (stage: keyof Stages, ...kinds: string[]) =>
    stages[stage]
      .filter(({ kind }) => kinds.length === 0 || kinds.includes(kind))
      .map(({ name }) => name)
      .toSorted()

  test("is restored whole, each entry once", () => {
    const all = [...stages.schema, ...stages.rows, ...stages.keys, ...stages.rest]
    expect(new Set(all).size).toBe(total)
    expect(all).toHaveLength(total)
    expect(named("rows", "TABLE DATA")).toEqual(["child", "leaf", "pair", "plain", "to_leaf"])
    expect([...named("schema", "COMMENT"), ...named("rows", "COMMENT")]).toEqual(["LARGE OBJECT 4711"])
    expect(named("schema", "TABLE")).toEqual(["child", "leaf", "pair", "plain", "to_leaf", "tree"])
  })

  test("has its indexes, keys and foreign keys made side by side, but where a lock more is taken", () => {
    expect(named("keys", "INDEX")).toEqual(["counted_n", "leaf_plain_idx", "plain_n"])
    expect(named("keys", "CONSTRAINT")).toEqual(["leaf leaf_pkey", "plain plain_n_key", "plain plain_pkey"])
    expect(named("keys", "FK CONSTRAINT")).toEqual(["pair pair_id_fkey"])
    expect(named("keys")).toHaveLength(7)
    // Of the index that it needs, the table is clustered by.
    expect(named("rest", "FK CONSTRAINT")).toContain("pair pair_n_id_fkey")
    expect(named("rest", "INDEX")).toEqual(["plain_clustered", "tree_plain"])
  })

  test("says who may see what when all is there", () => {
    const kinds = stages.rest.map(({ kind }) => kind)
    for (const kind of ["POLICY", "ROW SECURITY", "ACL", "TRIGGER", "INDEX ATTACH", "MATERIALIZED VIEW DATA"])
      expect(kinds).toContain(kind)
    expect(named("rest", "COMMENT")).toEqual(["INDEX plain_n"])
  })
})
