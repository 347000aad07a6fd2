import { runSteps } from "./run-steps.ts"

/**
 * Calls `work` for every item, at most `limit` at a time, and gives the results in the order of the items.
 *
 * After a failure no further call is begun; rejects with the first failure once those under way have ended.
 */
export function mapConcurrently<Item, Result>(
  items: readonly Item[],
  limit: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  return runSteps(
    items.map((item) => ({ item, after: [] })),
    limit,
    ({ item }) => work(item),
  )
}
