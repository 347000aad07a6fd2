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
    expect(() => parseManifest(JSON.stringify({ ...manifest, format: 2 }))).toThrow("format version 2")
    expect(() => parseManifest(JSON.stringify({ ...manifest, objects: [segment] }))).toThrow(
      "one main object",
    )
  })
})
