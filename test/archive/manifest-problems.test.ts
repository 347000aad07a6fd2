import { beforeAll, describe, expect, test } from "vitest"
import { manifestProblems } from "../../task/archive/manifest-problems.ts"
import { tableColumns } from "../../task/archive/table-columns.ts"
import { readToc, type TocEntry } from "../../task/archive/toc.ts"
import { formatProblem } from "../../task/core/check.ts"
import type { ManifestObject, SegmentObject } from "../../task/core/manifest.ts"
import { inPieces } from "../support/bytes.ts"
import { dumpOf } from "../support/dump.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

const schema = String.raw`
  CREATE TABLE cut (id int NOT NULL, "a ""b"", (c" numeric(10, 2) DEFAULT 1.5,
    gone int, list text[] DEFAULT ARRAY['x', ')', E'\'\\'], "check" int CONSTRAINT "one, two" CHECK ("check" IN (1, 2)),
    twice int GENERATED ALWAYS AS (id * 2) STORED, note text DEFAULT 'GENERATED ALWAYS AS (', number int GENERATED ALWAYS AS IDENTITY,
    CHECK (id > 0), PRIMARY KEY (id));
  ALTER TABLE cut DROP COLUMN gone;
  CREATE TABLE same (LIKE cut INCLUDING ALL);
  CREATE TABLE whole (n int);
  CREATE UNLOGGED TABLE quick (n int);
  CREATE TABLE parts (n int, text text) PARTITION BY LIST (n);
  CREATE TABLE part PARTITION OF parts DEFAULT;
  CREATE TABLE child (more int) INHERITS (whole);
  CREATE TYPE shape AS (n int);
  CREATE TABLE typed OF shape (n NOT NULL);
  CREATE TABLE none ();
`
const columns = ["id", 'a "b", (c', "list", "check", "note", "number"]
const stored = { sizeBytes: 1, sha256: "", rawBytes: 1 }
const main: ManifestObject = { name: "main.dump.zst", kind: "main", ...stored }

const segment = (number: number, changes: Partial<SegmentObject>): SegmentObject => ({
  name: `data/${number}`,
  kind: "segment",
  ...stored,
  schema: "public",
  table: "cut",
  columns,
  rows: 1,
  pages: null,
  ...changes,
})
const first = segment(1, { pages: { first: 0, end: 10 } })
const second = segment(2, { pages: { first: 10, end: 20 } })
const third = segment(3, { pages: { first: 20, end: null } })
const whole = segment(4, { table: "whole", columns: ["n"] })
const all = [third, first, whole, second]

describe.for(majors)("a dump of PostgreSQL %i", (major) => {
  let entries: readonly TocEntry[]
  beforeAll(async () => {
    const server = await sharedPostgres(major)
    const database = await server.createDatabase()
    await server.psql(schema, database)
    const without = ["cut", "whole", "quick"].map((table) => `--exclude-table-data=${table}`)
    entries = (await readToc(inPieces(await dumpOf(server, database, ...without)))).entries
  })

  const problems = (segments: readonly SegmentObject[], more: readonly ManifestObject[] = []) =>
    manifestProblems(entries, { objects: [main, ...segments, ...more] }).map(formatProblem)

  test("of a partial backup has no rows of the tables that the manifest says were left out", () => {
    const none = { tables: [], schemas: [], excludeTables: [], excludeSchemas: [] }
    const withoutRows = [{ schema: "public", table: "whole" }]
    const partial = { ...none, excludeTableData: ["whole"], withoutRows }
    const objects = [main, first, second, third]
    expect(manifestProblems(entries, { objects, partial })).toEqual([])
    expect(manifestProblems(entries, { objects })).toHaveLength(1)
    const stray = manifestProblems(entries, { objects: [...objects, whole], partial }).map(formatProblem)
    expect(stray.join()).toContain("no rows")
  })

  test("fits the manifest that it was written with", () => {
    expect(problems(all)).toEqual([])
    expect(problems([segment(1, {}), whole])).toEqual([])
  })

  test.each([
    ["the first", [second, third], "10 to 20, 20 to the last"],
    ["one between", [first, third], "0 to 10, 20 to the last"],
    ["the last", [first, second], "0 to 10, 10 to 20"],
    [
      "none, but one is there twice",
      [first, second, third, { ...second, name: "x" }],
      "0 to 10, 10 to 20, 20 to the last, 10 to 20",
    ],
    [
      "none, but the whole is there as well",
      [segment(9, {}), first, second, third],
      "all, 0 to 10, 10 to 20, 20 to the last",
    ],
  ])("lacks a segment: %s", (_, segments, found) => {
    expect(problems([...segments, whole])).toEqual([
      `${segments[0]?.name}: expected all pages of public.cut, each once, found ${found}`,
    ])
  })

  test("has no rows of a table whose segments are missing, or are called roles", () => {
    const missing = "main.dump.zst: expected the rows of public.whole, found none"
    expect(problems([first, second, third])).toEqual([missing])
    expect(problems([first, second, third], [{ name: whole.name, kind: "globals", ...stored }])).toEqual([
      missing,
    ])
  })

  test("has columns in another order, more or fewer", () => {
    for (const [wrong, expected, found] of [
      [columns.toReversed(), "id as column 1", "number"],
      [columns.slice(0, -1), "number as column 6", "none"],
      [[...columns, "twice"], "none as column 7", "twice"],
    ] as const) {
      expect(problems([segment(1, { columns: [...wrong] }), whole])).toEqual([
        `data/1: expected ${expected} of public.cut, found ${found}`,
      ])
    }
  })

  test("has the rows of a table twice where its segments are of another one of the same shape", () => {
    expect(problems([segment(1, { table: "same" }), whole])).toEqual([
      "data/1: expected the rows of public.same once, found the same rows in the dump",
      "main.dump.zst: expected the rows of public.cut, found none",
    ])
  })

  test("has no such table", () => {
    expect(problems([...all, segment(9, { table: "parts", schema: "other" })])).toEqual([
      "data/9: expected rows of a table, found rows of other.parts, which there is not",
    ])
  })

  test("tells the columns of a table, but where they are another's", () => {
    const of = (name: string) =>
      tableColumns(entries.find((entry) => entry.kind === "TABLE" && entry.name === name)?.definition ?? "")
    expect(
      Object.fromEntries(["cut", "part", "none", "child", "typed"].map((name) => [name, of(name)])),
    ).toEqual({
      cut: columns,
      part: ["n", "text"],
      none: [],
      child: undefined,
      typed: undefined,
    })
  })
})
