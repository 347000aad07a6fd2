import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { partSize } from "../../task/core/part-size.ts"

const MiB = 1024 ** 2
const GiB = 1024 ** 3
const TiB = 1024 ** 4

/** The sizes of all but the last part of an object. */
function partsOf(objectBytes: number, expectedBytes: number, maxParts: number): number[] {
  const parts: number[] = []
  for (let sum = 0; sum < objectBytes; sum += parts.at(-1) ?? 0)
    parts.push(partSize(parts.length, expectedBytes, maxParts))
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
          const sizes = Array.from({ length: max }, (_, index) => partSize(index, expected, max))
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
    expect(partSize(1_000_000, 50 * TiB, Number.POSITIVE_INFINITY)).toBe(8 * MiB)
  })
})
