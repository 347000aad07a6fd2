import { beforeAll, describe, expect, test } from "vitest"
import { type Archive, relateEntries } from "../../task/archive/archive.ts"
import { type LoadStep, loadSteps } from "../../task/archive/load-steps.ts"
import { stagesOf } from "../../task/archive/stages.ts"
import { joinToc, type SegmentedTable } from "../../task/archive/table-data.ts"
import { readToc } from "../../task/archive/toc.ts"
import type { SegmentObject } from "../../task/core/manifest.ts"
import { inPieces } from "../support/bytes.ts"
import { dumpOf } from "../support/dump.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

const schema = `
  CREATE TABLE huge (id int PRIMARY KEY, n int UNIQUE);
  CREATE INDEX huge_1 ON huge (n, id);
  CREATE INDEX huge_2 ON huge (id, n);
  CREATE TABLE large (id int PRIMARY KEY, small_1 int);
  CREATE INDEX large_1 ON large (id);
  ${[1, 2, 3, 4, 5, 6].map((n) => `CREATE TABLE small_${n} (id int PRIMARY KEY, n int); CREATE INDEX ON small_${n} (n);`).join("\n")}
  ALTER TABLE large ADD FOREIGN KEY (small_1) REFERENCES small_1, ADD FOREIGN KEY (id) REFERENCES huge;
  ALTER TABLE small_2 ADD FOREIGN KEY (id) REFERENCES small_3`

const segment = (table: string, index: number, rawBytes: number): SegmentObject => ({
  name: `data/${table}-${index}.copy.zst`,
  kind: "segment",
  sizeBytes: 1,
  sha256: "",
  rawBytes,
  schema: "public",
  table,
  columns: ["id"],
  rows: 1,
  pages: null,
})

/** "rows", the name of a segment, or those of keys. */
function nameOf(step: LoadStep): string {
  if (step.kind === "segment") return step.segment.name.replace(/data\/(.*)\.copy\.zst/, "$1")
  return step.kind === "rows" ? "rows" : step.entries.map(({ name }) => name.replace(/^\w+ /, "")).join(" ")
}

describe.for(majors)("a dump of PostgreSQL %i", (major) => {
  let archive: Archive
  let tables: readonly SegmentedTable[]
  beforeAll(async () => {
    const server = await sharedPostgres(major)
    const database = await server.createDatabase()
    await server.psql(schema, database)
    const segments = [segment("huge", 1, 900), segment("huge", 2, 900), segment("large", 1, 500)]
    const joined = joinToc(await readToc(inPieces(await dumpOf(server, database))), segments)
    archive = relateEntries(joined.entries)
    tables = joined.tables
  })
  const steps = (jobs = 2) => loadSteps(archive, stagesOf(archive), tables, jobs)
  const comesAfter = (name: string) =>
    steps()
      .find((step) => nameOf(step) === name)
      ?.after.map(nameOf)
      .toSorted()

  test("is loaded whole: each row and key by one step", () => {
    const { rows, keys } = stagesOf(archive)
    const done = steps().flatMap((step) => (step.kind === "segment" ? [] : step.entries))
    const inSegments = tables.map(({ entry }) => entry)
    expect(new Set([...done, ...inSegments])).toEqual(new Set([...rows, ...keys]))
    expect(done).toHaveLength(rows.length + keys.length - inSegments.length)
    expect(
      steps()
        .flatMap((step) => (step.kind === "segment" ? nameOf(step) : []))
        .toSorted(),
    ).toEqual(["huge-1", "huge-2", "large-1"])
  })

  test("has the keys of a table made after its rows, one by one, and then its indexes", () => {
    expect(comesAfter("huge-1")).toEqual([])
    expect(comesAfter("large_pkey")).toEqual(["large-1"])
    const [first, second] = ["huge_n_key", "huge_pkey"]
    expect(comesAfter(first)).toEqual(["huge-1", "huge-2"])
    expect(comesAfter(second)).toEqual(["huge-1", "huge-2", first])
    for (const index of ["huge_1", "huge_2"])
      expect(comesAfter(index)).toEqual(["huge-1", "huge-2", first, second])
  })

  test("has a foreign key made after all keys of both tables, and of no two at once that share one", () => {
    const group = steps().find((step) => step.kind === "keys" && nameOf(step).includes("small_1_pkey"))
    expect(group && nameOf(group)).toContain("small_1_n_idx")
    const [toHuge, toSmall] = ["large_id_fkey", "large_small_1_fkey"]
    const ofBoth = [
      "huge-1",
      "huge-2",
      "huge_1",
      "huge_2",
      "huge_n_key",
      "huge_pkey",
      "large-1",
      "large_1",
      "large_pkey",
    ]
    expect(comesAfter(toHuge)).toEqual(ofBoth)
    expect(comesAfter(toSmall)).toEqual(
      [group ? nameOf(group) : "", toHuge, "large-1", "large_1", "large_pkey", "rows"].toSorted(),
    )
    expect(comesAfter("small_2_id_fkey")).toContain("rows")
  })

  test("has the keys of small tables made in some groups", () => {
    const groups = (jobs: number) =>
      steps(jobs).filter((step) => step.kind === "keys" && step.entries.length > 1)
    expect(groups(1)).toHaveLength(2)
    expect(groups(2)).toHaveLength(4)
    for (const { after } of groups(2)) expect(after.map(nameOf)).toEqual(["rows"])
  })

  test("begins with the small tables, and with the largest that foreign keys tie together", () => {
    const names = steps().map(nameOf)
    expect(names[0]).toBe("rows")
    expect(names.indexOf("huge-1")).toBeLessThan(names.indexOf("large-1"))
    expect(names.indexOf("large_id_fkey")).toBeLessThan(names.indexOf("huge-1"))
  })
})
