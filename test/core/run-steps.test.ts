import { setTimeout as sleep } from "node:timers/promises"
import { expect, test } from "vitest"
import { runSteps } from "../../task/core/run-steps.ts"

type Named = { readonly name: string; readonly after: readonly Named[] }
const step = (name: string, ...after: Named[]): Named => ({ name, after })

/** Two that may begin at once, one after each of them, and one after all. */
function diamond(): Named[] {
  const [a, b] = [step("a"), step("b")]
  const [c, d] = [step("c", a), step("d", b)]
  return [step("e", c, d), a, b, c, d]
}

test("each begins once what it comes after has ended, and no more at once than allowed", async () => {
  const log: string[] = []
  let now = 0
  const dEnded = Promise.withResolvers<undefined>()
  const results = await runSteps(diamond(), 2, async ({ name }) => {
    log.push(name)
    expect(++now).toBeLessThanOrEqual(2)
    await (name === "a" ? dEnded.promise : sleep(5))
    now--
    log.push(name.toUpperCase())
    if (name === "d") dEnded.resolve(undefined)
    return name
  })
  expect(results).toEqual(["e", "a", "b", "c", "d"])
  expect(log.join("")).toBe("abBdDAcCeE")
})

test("one at a time keeps the order as far as it may", async () => {
  const begun: string[] = []
  await runSteps(diamond(), 1, async ({ name }) => void begun.push(name))
  expect(begun.join("")).toBe("abcde")
})

test("after a failure begins nothing more, waits for what is under way, and gives the first failure", async () => {
  const ended: string[] = []
  const work = async ({ name }: Named) => {
    await sleep(name === "a" ? 5 : 20)
    ended.push(name)
    throw new Error(name)
  }
  await expect(runSteps(diamond(), 2, work)).rejects.toThrow("a")
  expect(ended).toEqual(["a", "b"])
})

test("what waits for each other is told", async () => {
  await expect(runSteps([step("a", step("elsewhere"))], 2, async () => 1)).rejects.toThrow(
    "wait for each other",
  )
  expect(await runSteps([], 2, async () => 1)).toEqual([])
})
