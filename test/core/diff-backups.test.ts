import { expect, test } from "vitest"
import { formatDiff } from "../../task/commands/diff.ts"
import { diffBackups } from "../../task/core/diff-backups.ts"
import type { Manifest, ManifestObject } from "../../task/core/manifest.ts"
import { sampleManifest } from "../support/sample-backup.ts"

type Rows = Readonly<Record<string, number>>

function segment(table: string, rows: number, rawBytes: number): ManifestObject {
  const name = `segments/${table.replaceAll(/\W/g, "_")}-${rows}`
  const stored = { sizeBytes: rawBytes, sha256: "0".repeat(64), rawBytes }
  return { name, kind: "segment", ...stored, schema: "app", table, columns: ["a"], rows, pages: null }
}

function backupOf(rows: Rows | undefined, segments: readonly ManifestObject[] = []): Manifest {
  const sample = sampleManifest({ id: "20260101T030000Z-aaaaaaaa" })
  return {
    ...sample,
    objects: [...sample.objects, ...segments],
    ...(rows && { tableRows: Object.entries(rows).map(([table, count]) => ({ table, rows: count })) }),
  }
}

test("each table is told once, by what became of it, the largest change first", () => {
  const before = backupOf(
    { "app.same": 5, "app.a": 100, "app.b": 10, "app.gone": 7, 'app."Odd""T"': 1_000 },
    [segment('Odd"T', 400, 4_000), segment('Odd"T', 601, 6_000)],
  )
  const after = backupOf({ "app.same": 5, "app.a": 90, "app.b": 50, "app.new": 3, 'app."Odd""T"': 900 }, [
    segment('Odd"T', 2_001, 20_000),
  ])
  const result = diffBackups(before, after)
  const rows = (one: number | null, other: number | null) => ({ before: one, after: other })
  expect(result).toMatchObject({
    came: [{ table: "app.new", rows: rows(null, 3) }],
    went: [{ table: "app.gone", rows: rows(7, null) }],
    // By what was counted, and not by the estimate.
    grew: [
      { table: 'app."Odd""T"', rows: rows(1_001, 2_001), bytes: rows(10_000, 20_000) },
      { table: "app.b", rows: rows(10, 50), bytes: rows(null, null) },
    ],
    shrank: [{ table: "app.a", rows: rows(100, 90) }],
    unchanged: 1,
  })
})

test("a table of as many rows grew where its bytes did", () => {
  const result = diffBackups(backupOf({}, [segment("t", 5, 100)]), backupOf({}, [segment("t", 5, 300)]))
  expect(result.grew).toMatchObject([{ table: "app.t", bytes: { before: 100, after: 300 } }])
})

const only = (schemas: readonly string[]): Pick<Manifest, "format" | "partial"> => ({
  format: 2,
  partial: {
    tables: [],
    schemas: [...schemas],
    excludeTables: [],
    excludeSchemas: [],
    excludeTableData: [],
    withoutRows: [],
  },
})

test("what a partial backup left out did not go, and did not come when it is there again", () => {
  const whole = backupOf({ "app.a": 10, "app.b": 20, "other.c": 30 }, [segment("big", 9_000, 100)])
  const part = { ...backupOf({ "app.a": 11, "app.new": 1 }), ...only(["app"]) }
  const after = diffBackups(whole, part)
  expect(after).toMatchObject({
    partial: { before: null, after: "only schemas app" },
    came: [{ table: "app.new" }],
    went: [],
    leftOut: { before: 0, after: 3 },
    grew: [{ table: "app.a" }],
  })
  expect(after.notKnown).toEqual(
    expect.arrayContaining([
      "The second backup is partial (only schemas app): tables that it does not list are not counted as gone: 3.",
      "Sizes are of what each of them holds, so they can't be compared.",
    ]),
  )
  expect(after.notKnown.join()).not.toContain("Small tables")
  const before = diffBackups(part, whole)
  expect(before).toMatchObject({ went: [{ table: "app.new" }], came: [], leftOut: { before: 3, after: 0 } })
  expect(before.notKnown[0]).toMatch(/^The first backup is partial .* not counted as new: 3\.$/)
})

test("of two backups by the same patterns, what is missing in one came or went", () => {
  const [one, other] = [backupOf({ "app.a": 10 }), backupOf({ "app.b": 10 })].map((each) => ({
    ...each,
    ...only(["app"]),
  }))
  if (one === undefined || other === undefined) throw new RangeError("two backups")
  expect(diffBackups(one, other)).toMatchObject({
    came: [{ table: "app.b" }],
    went: [{ table: "app.a" }],
    leftOut: { before: 0, after: 0 },
  })
  expect(diffBackups(one, other).notKnown.join()).not.toContain("partial")
  const different = diffBackups(one, { ...other, ...only(["app", "b"]) })
  expect(different).toMatchObject({ came: [], went: [], leftOut: { before: 1, after: 1 } })
})

test("extensions, settings, roles and the server, with what they were", () => {
  const before = backupOf({})
  const source = {
    ...before.source,
    serverVersion: "18.1",
    settings: ["search_path=app", "work_mem=1MB"],
    roles: ["app", "auditor"],
    extensions: [{ name: "postgis", version: "3.5" }],
  }
  expect(diffBackups(before, { ...before, source })).toMatchObject({
    extensions: [
      { name: "plpgsql", before: "1.0", after: null },
      { name: "postgis", before: null, after: "3.5" },
    ],
    settings: [
      { name: "search_path", before: "app, public", after: "app" },
      { name: "work_mem", before: null, after: "1MB" },
    ],
    properties: [{ name: "server", before: "17.10", after: "18.1" }],
    roles: { came: ["auditor"], went: ["owner"] },
  })
  const same = diffBackups(before, before)
  expect([same.extensions, same.settings, same.properties, same.roles.came, same.grew]).toEqual([
    [],
    [],
    [],
    [],
    [],
  ])
})

test("what the manifests do not tell is not guessed, and said", () => {
  // A backup lists 500 tables: what is no larger than the smallest may be there.
  const many = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`app.t${index}`, 10 + index]))
  const full = diffBackups(backupOf(many), backupOf({ ...many, "app.small": 10, "app.large": 10_000 }))
  expect(full.came.map(({ table }) => table)).toEqual(["app.large"])
  expect(full.notKnown.join(" ")).toContain("whether they came or went: 1.")
  const imported = diffBackups(backupOf(undefined), backupOf({ "app.a": 5 }))
  expect([imported.came, imported.went]).toEqual([[], []])
  expect(imported.notKnown[0]).toMatch(/^Which tables came and went is not known/)
})

test("a person reads it in lines, and no name can move them", () => {
  const hostile = 'app."\u001b[2J\nx"'
  const compared = {
    id: "20260101T030000Z-aaaaaaaa",
    database: "o\u001brders",
    storage: "file:///b",
    startedAt: "2026-01-01T03:00:00Z",
  }
  const text = formatDiff({
    before: compared,
    after: compared,
    ...diffBackups(backupOf({ "app.a": 4 }), backupOf({ "app.a": 5, [hostile]: 1 })),
  })
  expect(text).not.toContain("\u001b")
  expect(text).toMatch(/^app\.a +4 +5 +\+25 %/m)
  expect(text).toMatch(/^tables that came: 1$/m)
  expect(text).toMatch(/^tables as large as before: 0$/m)
})
