/**
 * Calls `work` for every step once those that it comes `after` have ended, at most `limit` at a time: of those that
 * may begin, the first one. Gives the results in the order of the steps.
 *
 * After a failure no further call is begun; rejects with the first failure once those under way have ended.
 */
export async function runSteps<One extends { readonly after: readonly One[] }, Result>(
  steps: readonly One[],
  limit: number,
  work: (step: One) => Promise<Result>,
): Promise<Result[]> {
  const results = new Map<One, Result>()
  const failures: unknown[] = []
  const waiting = new Set(steps)
  const running = new Map<One, Promise<void>>()

  const begin = (step: One) => {
    waiting.delete(step)
    const run = async () => work(step)
    const ended = run()
      .then(
        (result) => void results.set(step, result),
        (error: unknown) => void failures.push(error),
      )
      .then(() => void running.delete(step))
    running.set(step, ended)
  }

  for (;;) {
    if (failures.length === 0)
      for (const step of waiting) {
        if (running.size === limit) break
        if (step.after.every((other) => results.has(other))) begin(step)
      }
    if (running.size === 0) break
    await Promise.race(running.values())
  }
  if (failures.length > 0) throw failures[0]
  if (waiting.size > 0) throw new Error("some steps wait for each other, or for what is no step")
  return steps.map((step) => results.get(step) as Result) // All have ended well.
}
