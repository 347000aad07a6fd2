import { expect, test } from "vitest"
import type { ReportedState } from "../../task/report/mark.ts"
import { nightsOf } from "../../task/report/nights.ts"

const now = new Date("2026-03-11T05:00:00Z")

/** Newest first, each at three in the morning. */
function backupsOn(
  days: Readonly<Record<string, ReportedState>>,
  because?: (day: string) => string | undefined,
) {
  return Object.entries(days)
    .sort(([a], [b]) => (a < b ? 1 : -1))
    .map(([day, state]) => ({
      startedAt: `${day}T03:00:00.000Z`,
      state,
      copies: [{ storage: 0, state, pinned: false, kept: keptFor(because?.(day), because !== undefined) }],
    }))
}

function keptFor(reason: string | undefined, hasPolicy: boolean) {
  if (!hasPolicy) return null
  return reason === undefined
    ? { keep: false, because: ["no rule keeps it"] }
    : { keep: true, because: [reason] }
}

function marksOf(...args: Parameters<typeof nightsOf>): string {
  const letters = { drilled: "d", verified: "v", good: "g", failed: "f", missing: "m", none: "." }
  return nightsOf(...args)
    .map(({ mark }) => letters[mark])
    .join("")
}

test("each day has the best that a backup of it came to, and today is not missing yet", () => {
  const backups = backupsOn({
    "2026-03-01": "verified",
    "2026-03-02": "drilled",
    "2026-03-03": "unverified",
    "2026-03-04": "failed",
    "2026-03-06": "deep-verified",
    "2026-03-07": "drill-failed",
    "2026-03-08": "unreadable",
    "2026-03-09": "verified",
  })
  expect(marksOf(backups, ["2026-03-10T03:00:00.000Z", "2026-03-09T04:00:00.000Z"], now)).toBe("vdgfmvffvf.")
})

test("weekly backups miss no night in between, and are missed after a week", () => {
  const days = ["2026-02-01", "2026-02-08", "2026-02-15", "2026-02-22", "2026-03-01"]
  const backups = backupsOn(Object.fromEntries(days.map((day) => [day, "verified" as const])))
  expect(marksOf(backups, [], now)).toBe("v......v......v......v......v......mmm.")
})

test("where retention thins backups out, none is missing that it may have removed", () => {
  const days = ["2026-01-31", "2026-02-28", "2026-03-06", "2026-03-07", "2026-03-09", "2026-03-10"]
  const backups = backupsOn(Object.fromEntries(days.map((day) => [day, "verified" as const])), (day) =>
    day < "2026-03" ? `monthly ${day.slice(0, 7)}` : `daily ${day}`,
  )
  expect(marksOf(backups, [], now).slice(-13)).toBe("v.....vvmvv.".padStart(13, "."))
})

test("no more than a year is shown, from the first day of a month on", () => {
  const nights = nightsOf(backupsOn({ "2020-01-01": "verified" }), [], now)
  expect(nights[0]?.day).toBe("2025-04-01")
  expect(nights.at(-1)).toEqual({ day: "2026-03-11", mark: "none" })
})
