import { setTimeout as sleep } from "node:timers/promises"
import { expect, test } from "vitest"
import { mapConcurrently } from "../../task/core/map-concurrently.ts"

test("gives the results in order, with no more calls at once than allowed", async () => {
  let now = 0
  let most = 0
  const results = await mapConcurrently([5, 1, 4, 2, 3], 2, async (item) => {
    most = Math.max(most, ++now)
    await sleep(item)
    now--
    return item * 10
  })
  expect(results).toEqual([50, 10, 40, 20, 30])
  expect(most).toBe(2)
})

test("after a failure begins nothing more, waits for what is under way, and gives the first failure", async () => {
  const begun: number[] = []
  const ended: number[] = []
  const work = async (item: number) => {
    begun.push(item)
    await sleep(item * 5)
    ended.push(item)
    if (item === 1) throw new Error("first")
    if (item === 3) throw new Error("second")
  }
  await expect(mapConcurrently([1, 3, 2, 2], 2, work)).rejects.toThrow("first")
  expect(begun).toEqual([1, 3])
  expect(ended).toEqual([1, 3])
})

test("does nothing for nothing", async () => {
  expect(await mapConcurrently([], 4, async () => 1)).toEqual([])
})
