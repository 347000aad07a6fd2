import fc from "fast-check"
import { expect, test } from "vitest"
import { backupId, isBackupId, parseTimestamp, startOf } from "../../task/core/backup-id.ts"

const random = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.999]
const times = fc.date({
  min: new Date("1970-01-01T00:00:00Z"),
  max: new Date("9999-12-31T23:59:59Z"),
  noInvalidDate: true,
})

test("an id gives back the second it was made of", () => {
  expect(backupId(new Date("2026-01-02T03:00:00.999Z"), random)).toBe("20260102T030000Z-rr037aei")
  fc.assert(
    fc.property(times, (time) => {
      const id = backupId(time, random)
      expect(isBackupId(id)).toBe(true)
      expect(startOf(id).getTime()).toBe(Math.floor(time.getTime() / 1000) * 1000)
    }),
  )
})

test("ids sort as their times do, to the millisecond", () => {
  const apart = fc.integer({ min: 1, max: 3_000 })
  fc.assert(
    fc.property(times, apart, fc.infiniteStream(fc.double({ min: 0, max: 0.999 })), (a, ms, values) => {
      const b = new Date(a.getTime() + ms)
      fc.pre(b.getUTCFullYear() < 10_000)
      expect(backupId(a, [...values.take(6)]) < backupId(b, [...values.take(6)])).toBe(true)
    }),
  )
})

test("what is no time is no id", () => {
  for (const text of [
    "",
    "latest",
    "20260102T030000Z",
    "20260102T030000Z-",
    "20260102T030000Z-ABCDEFGH",
    "20260102T030000Z-abcdefghi",
    "x20260102T030000Z-abcdefgh",
    "20261302T030000Z-abcdefgh",
    "20260230T030000Z-abcdefgh",
    "20260102T240000Z-abcdefgh",
    "20260102T030060Z-abcdefgh",
    "20260102T030000Z-abcdefgh\n",
  ]) {
    expect(isBackupId(text), JSON.stringify(text)).toBe(false)
    expect(() => startOf(text)).toThrow(RangeError)
  }
  expect(parseTimestamp("20240229T235959Z")?.toISOString()).toBe("2024-02-29T23:59:59.000Z")
  expect(parseTimestamp("20250229T235959Z")).toBeUndefined()
})
