import { expect, test } from "vitest"
import { openPace, type PaceItem } from "../../task/restore/pace.ts"

const item = (key: string, effort: PaceItem["effort"], units: number): PaceItem => ({
  key,
  effort,
  units,
  isBesideOthers: true,
})

/** A clock in seconds that a test sets. */
function clocked(items: readonly PaceItem[], jobs: number) {
  const clock = { seconds: 0 }
  return { clock, pace: openPace(items, jobs, () => clock.seconds) }
}

test("a restore that is half indexes stands at about a half when its rows are there, and never goes back", () => {
  const gigabyte = 1e9
  const { clock, pace } = clocked(
    [
      item("rows", "rows", gigabyte),
      ...[1, 2, 3, 4].map((n) => item(`index ${n}`, "keys", gigabyte / 4)),
      { ...item("statistics", "statistics", 10), isBesideOthers: false },
    ],
    1,
  )
  const shares: number[] = []
  const look = () => void shares.push(pace.estimate().share)
  for (; clock.seconds < 100; clock.seconds += 1) {
    pace.advance("rows", gigabyte / 100)
    look()
  }
  pace.end("rows")
  look()
  expect(shares.at(-1)).toBeGreaterThan(0.45)
  expect(shares.at(-1)).toBeLessThan(0.55)
  // Each takes twice as long as the rows led to expect, which the first one teaches.
  for (const n of [1, 2, 3, 4]) {
    pace.begin(`index ${n}`)
    for (let second = 0; second < 50; second++) {
      clock.seconds += 1
      look()
    }
    pace.end(`index ${n}`)
    if (n === 1) expect(pace.estimate().secondsLeft).toBeGreaterThan(100)
    if (n < 4) expect(shares.at(-1)).toBeLessThan(0.9)
  }
  expect(shares).toEqual(shares.toSorted((a, b) => a - b))
  expect(Math.max(...shares)).toBeLessThan(1)
  pace.begin("statistics")
  pace.end("statistics")
  expect(pace.estimate().secondsLeft).toBe(0)
})

test("what is done at once takes as long as its longest part, and what was put off is not over", () => {
  const { clock, pace } = clocked([item("a", "rows", 100e6), item("b", "rows", 900e6)], 8)
  clock.seconds = 1
  pace.advance("a", 10e6)
  pace.advance("b", 10e6)
  clock.seconds = 2
  const { secondsLeft } = pace.estimate()
  expect(secondsLeft).toBeGreaterThan(5)
  pace.end("a")
  pace.begin("a")
  pace.end("a")
  pace.end("b")
  expect(pace.estimate()).toMatchObject({ secondsLeft: 0 })
  expect(pace.position("b")).toBe("2 of 2, ")
})

test("the time of rows, and of indexes where no rows come, is told apart", () => {
  const { clock, pace } = clocked(
    [item("a", "rows", 10), item("b", "rows", 10), item("index", "keys", 10)],
    2,
  )
  clock.seconds = 1
  pace.advance("a", 5)
  clock.seconds = 2
  pace.begin("index")
  pace.advance("b", 5)
  clock.seconds = 4
  pace.end("a")
  clock.seconds = 5
  expect(pace.phases()).toEqual({ rowsSeconds: 4, indexesSeconds: 0 })
  pace.end("b")
  clock.seconds = 8
  pace.end("index")
  clock.seconds = 20
  expect(pace.phases()).toEqual({ rowsSeconds: 4, indexesSeconds: 3 })
})
