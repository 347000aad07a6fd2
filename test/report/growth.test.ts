import { expect, test } from "vitest"
import { outlookOf } from "../../task/report/growth.ts"

const now = new Date("2026-03-11T03:00:00Z")
const gibibyte = 1024 ** 3

/** One a day, newest first; each is larger by `perDay` than the one before. */
function daily(count: number, newestBytes: number, perDay: number, keep?: boolean) {
  const kept = keep === undefined ? null : { keep, because: ["so"] }
  return Array.from({ length: count }, (_, age) => ({
    startedAt: new Date(now.getTime() - age * 86_400_000).toISOString(),
    storedBytes: newestBytes - age * perDay,
    copies: [{ storage: 0, state: "verified" as const, pinned: false, kept }],
  }))
}

test("a straight line through the last backups says how large the next ones are, and what as many cost", () => {
  const { growth, keptBytes, dollarsPerMonth } = outlookOf(daily(10, gibibyte, 1000, true), true, now)
  expect(keptBytes).toBe(10 * gibibyte - 45_000)
  expect(dollarsPerMonth).toBeCloseTo(0.23, 4)
  expect(growth?.bytesPerDay).toBe(1000)
  const bytes = gibibyte + 365_000
  expect(growth?.ahead[1]).toEqual({
    days: 365,
    backupBytes: bytes,
    keptBytes: 10 * bytes,
    dollarsPerMonth: (10 * bytes * 0.023) / gibibyte,
  })
})

test("without a policy each new backup adds to what there is", () => {
  const { growth } = outlookOf(daily(10, gibibyte, 0), false, now)
  expect(growth?.ahead[0]).toMatchObject({ days: 90, keptBytes: 100 * gibibyte })
})

test("what shrinks never gets smaller than nothing, and what goes next does not count", () => {
  const { growth } = outlookOf(daily(20, 1000, -1000, true), true, now)
  expect(growth?.ahead.map(({ backupBytes }) => backupBytes)).toEqual([0, 0])
  expect(outlookOf(daily(10, 1000, 0, false), true, now).keptBytes).toBe(0)
})

test("of a few backups, or of a few days, nothing is foretold", () => {
  expect(outlookOf(daily(4, 1000, 0), false, now).growth).toBeNull()
  expect(outlookOf(daily(7, 1000, 0), false, now).growth).toBeNull()
  expect(outlookOf([], false, now)).toEqual({ keptBytes: 0, dollarsPerMonth: 0, growth: null })
})
