import { expect, test } from "vitest"
import { shrinkWarnings } from "../../task/core/compare-backups.ts"
import type { Manifest } from "../../task/core/manifest.ts"
import { sampleManifest } from "../support/sample-backup.ts"

const kib = (count: number, tableRows?: Record<string, number>): Manifest => ({
  ...sampleManifest({
    id: "20260101T030000Z-aaaaaaaa",
    objects: { "main.dump.zst.age": Buffer.alloc(256 * count) },
  }),
  ...(tableRows && { tableRows: Object.entries(tableRows).map(([table, rows]) => ({ table, rows })) }),
})

test("a backup that is as large as the last ones, or larger, or the first, is well", () => {
  expect(shrinkWarnings(kib(10), [], 50)).toEqual([])
  expect(shrinkWarnings(kib(10), [kib(10), kib(9)], 50)).toEqual([])
  expect(shrinkWarnings(kib(51), [kib(100)], 50)).toEqual([])
})

test("a backup that shrank by half warns; one odd backup among the last ones changes nothing", () => {
  expect(shrinkWarnings(kib(50), [kib(100)], 50)).toEqual([
    "The backup is 50 % smaller than the last ones, before compression.",
  ])
  expect(shrinkWarnings(kib(10), [kib(100), kib(10), kib(11), kib(10), kib(12)], 50)).toEqual([])
  expect(shrinkWarnings(kib(50), [kib(1), kib(100), kib(100)], 50)).toHaveLength(1)
  expect(shrinkWarnings(kib(50), [kib(100)], 60)).toEqual([])
})

test("a table that lost most of its rows, or is gone, warns; one with few rows does not", () => {
  const before = kib(10, { "public.a": 1000, "public.b": 1000, "public.c": 1000, "public.few": 99 })
  expect(
    shrinkWarnings(kib(10, { "public.a": 501, "public.b": 500, "public.few": 0 }), [kib(10), before], 50),
  ).toEqual([
    "The table public.b has about 500 rows; it had 1000.",
    "The table public.c is gone; it had about 1000 rows.",
  ])
})

test("where rows are not known, and where many tables are gone, that does not flood", () => {
  const many = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`t${index}`, 500]))
  expect(shrinkWarnings(kib(10), [kib(10, many)], 50)).toEqual([])
  expect(shrinkWarnings(kib(10, {}), [kib(10, many)], 50)).toHaveLength(6)
})
