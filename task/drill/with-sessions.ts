import { mapConcurrently } from "../core/map-concurrently.ts"
import type { Session } from "../postgres/session.ts"
import type { Restored } from "./restored.ts"

/** Calls `work` for every item with a session that nobody else uses meanwhile, several at once, and closes them. */
export async function withSessions<Item, Result>(
  { openSession, jobs }: Pick<Restored, "openSession" | "jobs">,
  items: readonly Item[],
  work: (item: Item, session: Session) => Promise<Result>,
): Promise<Result[]> {
  const free: Session[] = []
  const all: Session[] = []
  try {
    return await mapConcurrently(items, jobs, async (item) => {
      const session = free.pop() ?? (await openSession())
      if (!all.includes(session)) all.push(session)
      const result = await work(item, session)
      free.push(session)
      return result
    })
  } finally {
    await Promise.all(all.map((session) => session.close()))
  }
}
