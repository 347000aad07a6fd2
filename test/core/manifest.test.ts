import { describe, expect, it } from "vitest"
import { formatManifest, type ManifestObject, parseManifest } from "../../task/core/manifest.ts"
import { sampleManifest } from "../support/sample-backup.ts"

const manifest = sampleManifest({ id: "20260101T030000Z-aaaaaaaa" })
const segment: ManifestObject = {
  name: "data/0001.copy.zst.age",
  kind: "segment",
  sizeBytes: 1,
  sha256: "0".repeat(64),
  rawBytes: 2,
  schema: "shop",
  table: 'odd "name"',
  columns: ["id", "note"],
  rows: 12,
  pages: { first: 0, end: null },
}
const withSegment = { ...manifest, objects: [...manifest.objects, segment] }

describe("a manifest", () => {
  it("is read as it was written", () => {
    expect(parseManifest(formatManifest(withSegment))).toEqual(withSegment)
  })

  it.each(["schema", "table", "columns", "rows", "pages"])(
    "of a segment without its %s is damaged",
    (field) => {
      const { [field]: _, ...rest } = Object.fromEntries(Object.entries(segment))
      const text = JSON.stringify({ ...manifest, objects: [...manifest.objects, rest] })
      expect(() => parseManifest(text)).toThrow(`objects.2.${field}`)
    },
  )

  it("of a newer format is told from a damaged one", () => {
    expect(() => parseManifest(JSON.stringify({ ...manifest, format: 3 }))).toThrow("format version 3")
    expect(() => parseManifest(JSON.stringify({ ...manifest, objects: [segment] }))).toThrow(
      "one main object",
    )
  })
})

it("a partial backup's manifest has a format that older programs refuse", () => {
  const partial = {
    tables: [],
    schemas: [],
    excludeTables: ["tmp_*"],
    excludeSchemas: [],
    excludeTableData: [],
    withoutRows: [],
  }
  const read = (changes: object) => parseManifest(JSON.stringify({ ...manifest, ...changes }))
  expect(read({ format: 2, partial }).partial).toEqual(partial)
  expect(read({ format: 2, partial: { excludeTables: ["tmp_*"] } }).partial).toEqual(partial)
  for (const wrong of [{ format: 1, partial }, { format: 2 }])
    expect(() => read(wrong)).toThrow("must be 2 where the backup is partial")
  expect(() => read({ format: 3, partial })).toThrow("this pgstow reads versions 1 and 2")
})
