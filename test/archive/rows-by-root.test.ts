import { expect, test } from "vitest"
import { relateEntries } from "../../task/archive/archive.ts"
import { copiesInto, rootsByText, withCopiesInto } from "../../task/archive/rows-by-root.ts"
import { parseToc, readToc } from "../../task/archive/toc.ts"
import { inPieces } from "../support/bytes.ts"
import { dumpOf } from "../support/dump.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

const schema = `
  CREATE TABLE by_day (at timestamptz, name text, n int DEFAULT 1) PARTITION BY RANGE (at);
  CREATE TABLE by_day_1 PARTITION OF by_day FOR VALUES FROM ('2026-01-01') TO ('2026-02-01') PARTITION BY HASH (n);
  CREATE TABLE by_day_1_0 PARTITION OF by_day_1 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
  CREATE TABLE by_region (region varchar(2)) PARTITION BY LIST (region);
  CREATE TABLE by_region_de PARTITION OF by_region FOR VALUES IN ('de');
  CREATE TABLE by_other_region (region text COLLATE "POSIX") PARTITION BY LIST (region);
  CREATE TABLE by_other_region_de PARTITION OF by_other_region FOR VALUES IN ('de');
  CREATE TABLE by_hash (id int, name text) PARTITION BY HASH (name);
  CREATE TABLE by_hash_0 PARTITION OF by_hash FOR VALUES WITH (MODULUS 1, REMAINDER 0);
  CREATE TABLE by_both (id int, "the name" text) PARTITION BY RANGE (id);
  CREATE TABLE by_both_0 PARTITION OF by_both FOR VALUES FROM (0) TO (9) PARTITION BY RANGE ("the name");
  CREATE TABLE by_both_0_a PARTITION OF by_both_0 FOR VALUES FROM ('a') TO ('b');
  CREATE TABLE parent (name text);
  CREATE TABLE child () INHERITS (parent)`

test.for(majors)("rows go in by the root where text places them, with PostgreSQL %i", async (major) => {
  const server = await sharedPostgres(major)
  const database = await server.createDatabase()
  await server.psql(schema, database)
  const toc = await readToc(inPieces(await dumpOf(server, database)))
  const archive = relateEntries(toc.entries)
  const roots = rootsByText(archive)
  expect(Object.fromEntries([...roots].map(([table, root]) => [table.name, root.name]))).toEqual({
    by_other_region_de: "by_other_region",
    by_hash_0: "by_hash",
    by_both_0: "by_both",
    by_both_0_a: "by_both",
  })
  const attach = toc.entries.find(({ kind, name }) => kind === "TABLE ATTACH" && name === "by_hash_0")
  const without = rootsByText(archive, new Set([attach?.dumpId ?? 0]))
  expect([...without.keys()].map(({ name }) => name)).not.toContain("by_hash_0")

  const copies = copiesInto(archive, roots)
  expect(copies.size).toBe(3)
  const { head } = toc
  const changed = withCopiesInto(head.bytes, copies)
  expect(parseToc(changed)?.entries).toEqual(toc.entries)
  const commands = changed.toString().match(/COPY [^\n]* FROM stdin/g)
  expect(commands?.toSorted()).toEqual([
    'COPY "public"."by_both" (id, "the name") FROM stdin',
    'COPY "public"."by_hash" (id, name) FROM stdin',
    'COPY "public"."by_other_region" (region) FROM stdin',
    "COPY public.by_day_1_0 (at, name, n) FROM stdin",
    "COPY public.by_region_de (region) FROM stdin",
    "COPY public.child (name) FROM stdin",
    "COPY public.parent (name) FROM stdin",
  ])
})
