import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { commonPartRules, mostPartBytes, partSize } from "../../task/core/part-size.ts"

const MiB = 1024 ** 2
const GiB = 1024 ** 3
const TiB = 1024 ** 4

/** The sizes of all but the last part of an object. */
function partsOf(objectBytes: number, expectedBytes: number, most: number, equal = false): number[] {
  const parts: number[] = []
  for (let sum = 0; sum < objectBytes; sum += parts.at(-1) ?? 0)
    parts.push(partSize(parts.length, expectedBytes, { most, equal }))
  return parts
}

describe("parts", () => {
  it.each([
    [10_000, 5 * TiB],
    [1_000, 5 * TiB],
    [10_000, 50 * GiB],
    [10_000, 1],
  ])(
    "of at most %i hold %i bytes in half of their number, all of one size, when so much is expected",
    (max, bytes) => {
      const parts = partsOf(bytes, bytes, max)
      expect(parts.length).toBeLessThanOrEqual(max / 2)
      expect(new Set(parts).size).toBe(1)
    },
  )

  it.each([
    [10_000, 5 * TiB, 640 * GiB],
    [10_000, 300 * GiB, 0],
    [1_000, 5 * TiB, 640 * GiB],
    [1_000, 30 * GiB, 0],
  ])("of at most %i hold %i bytes though only %i were expected", (max, bytes, expected) => {
    expect(partsOf(bytes, expected, max).length).toBeLessThanOrEqual(max)
  })

  it("are never larger than S3 takes, 5 GiB, up to its largest object of 5 TiB", () => {
    for (const expected of [640 * GiB, TiB, 2 * TiB, 5 * TiB])
      expect(Math.max(...partsOf(5 * TiB, expected, 10_000))).toBeLessThanOrEqual(5 * GiB)
  })

  it("hold eight times what was expected, are 8 MiB at least, and never shrink", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 20 * TiB, noNaN: true }),
        fc.integer({ min: 100, max: 20_000 }),
        (expected, max) => {
          const sizes = Array.from({ length: max }, (_, index) =>
            partSize(index, expected, { most: max, equal: false }),
          )
          expect(sizes.reduce((sum, size) => sum + size, 0)).toBeGreaterThanOrEqual(8 * expected)
          expect(sizes[0]).toBeGreaterThanOrEqual(8 * MiB)
          expect(sizes).toEqual(sizes.toSorted((a, b) => a - b))
          expect(sizes.every((size) => size % MiB === 0)).toBe(true)
        },
      ),
      { numRuns: 30 },
    )
  })

  it("stay at 8 MiB where there may be any number of them", () => {
    const most = Number.POSITIVE_INFINITY
    for (const equal of [true, false]) expect(partSize(1_000_000, 50 * TiB, { most, equal })).toBe(8 * MiB)
  })

  it("are all of one size where they must be, with room for half as much again as a dump that does not compress", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 20 * TiB, noNaN: true }),
        fc.integer({ min: 100, max: 10_000 }),
        (raw, most) => {
          const size = partSize(0, raw / 3, { most, equal: true })
          for (const index of [1, most / 2, most - 1])
            expect(partSize(index, raw / 3, { most, equal: true })).toBe(size)
          // The edge of what it promises: room for all of it needs parts above 512 MiB.
          const needed = (raw * 1.5) / most > 512 * MiB ? raw / 2 : raw * 1.5
          expect(size * most).toBeGreaterThanOrEqual(needed - 1)
        },
      ),
    )
    expect(partsOf(78 * GiB, 17 * GiB, 10_000, true).length).toBeLessThanOrEqual(10_000)
    expect(partSize(0, 17 * GiB, { most: 10_000, equal: true })).toBe(8 * MiB)
    expect(partSize(0, 12 * TiB, { most: 1_000, equal: true })).toBeGreaterThan(mostPartBytes)
  })

  it("suit the storage that asks most of them", () => {
    const [file, s3, r2] = [
      { most: Number.POSITIVE_INFINITY, equal: false },
      { most: 10_000, equal: false, leastBytes: 64 * MiB },
      { most: 1_000, equal: true },
    ]
    expect(commonPartRules([file, s3])).toEqual({ most: 10_000, equal: false, leastBytes: 64 * MiB })
    expect(commonPartRules([file, r2, s3])).toEqual({ most: 1_000, equal: true, leastBytes: 64 * MiB })
    expect(partSize(0, 0, commonPartRules([file, s3]))).toBe(64 * MiB)
  })
})
