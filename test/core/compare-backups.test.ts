import { expect, test } from "vitest"
import { comparisonInWords } from "../../task/commands/comparison-in-words.ts"
import { compareBackups, isSlow, shrinkWarnings } from "../../task/core/compare-backups.ts"
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

const taking = (seconds: number, manifest: Manifest): Manifest => ({
  ...manifest,
  finishedAt: new Date(Date.parse(manifest.startedAt) + seconds * 1000).toISOString(),
})

test("a backup stands beside the medians of the last ones, and the rows of the last", () => {
  const now = taking(4, kib(12, { "public.a": 150, "public.b": 10, "public.new": 5 }))
  const earlier = [
    taking(2, kib(10, { "public.a": 100, "public.b": 10, "public.gone": 7 })),
    taking(1, kib(8)),
    taking(10, kib(30)),
  ]
  const compared = compareBackups(now, earlier)
  expect(compared).toEqual({
    backups: 3,
    usual: { storedBytes: 2560, rawBytes: 10_240, seconds: 2, bytesPerSecond: 5120 },
    own: { storedBytes: 3072, rawBytes: 12_288, seconds: 4, bytesPerSecond: 3072 },
    rows: {
      since: "20260101T030000Z-aaaaaaaa",
      before: 117,
      after: 165,
      tables: [
        { table: "public.a", before: 100, after: 150 },
        { table: "public.gone", before: 7, after: null },
        { table: "public.new", before: null, after: 5 },
      ],
    },
  })
  expect(compared && comparisonInWords(compared)).toEqual([
    "against the last 3: stored +20 %, raw +20 %, time +100 % (usually 2.0 s), rate -40 %",
    "rows, about 165, since 20260101T030000Z-aaaaaaaa +48: public.a +50, public.gone -7 (gone), public.new +5 (new)",
  ])
})

test("the first backup has nothing beside it, and one of no time no rate", () => {
  expect(compareBackups(kib(10), [])).toBeNull()
  const compared = compareBackups(taking(0, kib(10)), [taking(0, kib(10))])
  expect(compared).toMatchObject({
    usual: { bytesPerSecond: null },
    own: { bytesPerSecond: null },
    rows: null,
  })
  expect(compared && comparisonInWords(compared)).toEqual([
    "against the last one: stored =, raw =, time = (usually 0.0 s)",
  ])
})

test("a backup is slow that takes twice as long as the last ones and a minute more, for no more data", () => {
  const usual = [100, 110, 90].map((seconds) => taking(seconds, kib(10)))
  const slow = (now: Manifest, earlier: readonly Manifest[]) => {
    const compared = compareBackups(now, earlier)
    return compared !== null && isSlow(compared)
  }
  expect(slow(taking(200, kib(10)), usual)).toBe(true)
  expect(slow(taking(199, kib(10)), usual)).toBe(false)
  expect(slow(taking(200, kib(20)), usual)).toBe(false)
  expect(slow(taking(200, kib(10)), usual.slice(1))).toBe(false)
  const short = [10, 11, 9].map((seconds) => taking(seconds, kib(10)))
  expect(slow(taking(69, kib(10)), short)).toBe(false)
  expect(slow(taking(70, kib(10)), short)).toBe(true)
})
