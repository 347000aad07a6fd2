import { expect, test } from "vitest"
import { dueTimes } from "../../task/schedule/due-times.ts"

/** The next three due times after a time. */
function nextThree(expression: string, zone: string, after: string): string[] {
  const { next, format } = dueTimes(expression, zone)
  const times: Date[] = []
  for (let time = new Date(after); times.length < 3; ) {
    time = next(time) ?? new Date(Number.NaN)
    times.push(time)
  }
  return times.map(format)
}

test("an expression is read in its time zone, whatever the machine's is", () => {
  expect(nextThree("30 3 * * *", "Asia/Kolkata", "2026-01-31T00:00:00Z")).toEqual([
    "2026-02-01 03:30:00 Asia/Kolkata",
    "2026-02-02 03:30:00 Asia/Kolkata",
    "2026-02-03 03:30:00 Asia/Kolkata",
  ])
  expect(dueTimes("30 3 * * *", "Asia/Kolkata").next(new Date("2026-01-31T00:00:00Z"))).toEqual(
    new Date("2026-01-31T22:00:00Z"),
  )
})

test("a night that summer time leaves out is made up for, and one that comes twice is due once", () => {
  expect(nextThree("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z")).toEqual([
    "2026-03-29 03:00:00 Europe/Berlin",
    "2026-03-30 02:30:00 Europe/Berlin",
    "2026-03-31 02:30:00 Europe/Berlin",
  ])
  expect(nextThree("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z")).toEqual([
    "2026-10-25 02:30:00 Europe/Berlin",
    "2026-10-26 02:30:00 Europe/Berlin",
    "2026-10-27 02:30:00 Europe/Berlin",
  ])
})

test.each([
  ["two times of day", "0 2,14 * * *", ["03:00:00", "14:00:00"]],
  ["steps of an hour", "*/20 2 * * *", ["03:00:00"]],
  ["steps of hours", "30 */2 * * *", ["00:30:00", "03:00:00", "04:30:00"]],
])("%s are due right after the gap of summer time, once", (_, expression, times) => {
  const { next, format } = dueTimes(expression, "Europe/Berlin")
  let time: Date | undefined = new Date("2026-03-28T23:00:00Z")
  for (const expected of times) {
    time = next(time ?? new Date(Number.NaN))
    expect(time && format(time)).toBe(`2026-03-29 ${expected} Europe/Berlin`)
  }
})

test("weekdays, lists, steps, names and seconds are understood", () => {
  expect(nextThree("0 3 * * SUN", "UTC", "2026-11-26T08:00:00Z")[0]).toBe("2026-11-29 03:00:00 UTC")
  expect(nextThree("0 */6 1,15 * *", "UTC", "2026-11-26T08:00:00Z")).toEqual([
    "2026-12-01 00:00:00 UTC",
    "2026-12-01 06:00:00 UTC",
    "2026-12-01 12:00:00 UTC",
  ])
  expect(nextThree("@daily", "UTC", "2026-11-26T08:00:00Z")[0]).toBe("2026-11-27 00:00:00 UTC")
  expect(nextThree("*/20 * * * * *", "UTC", "2026-11-26T08:00:00Z")[0]).toBe("2026-11-26 08:00:20 UTC")
})

test("the least time between two runs is found, and a day that never comes has no time", () => {
  const after = new Date("2026-11-26T08:00:00Z")
  expect(dueTimes("0,5 3 * * *", "UTC").shortestGapMs(after)).toBe(5 * 60_000)
  expect(dueTimes("0 3 30 2 *", "UTC").next(after)).toBeUndefined()
})
