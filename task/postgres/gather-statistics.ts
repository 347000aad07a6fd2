import { messageOf, PgstowError } from "../errors.ts"
import type { Session } from "./session.ts"

/**
 * Runs ANALYZE, without which queries are planned badly, on tables by their names in SQL, or on all without any.
 * Resolves to what there is to warn of, where it failed: what it is run on is good without it. Rejects with the reason
 * of the signal only.
 */
export async function gatherStatistics(
  connect: () => Promise<Session>,
  tables: readonly string[],
  signal: AbortSignal,
): Promise<string[]> {
  try {
    const session = await connect()
    await session.execute(`ANALYZE ${tables.join(", ")}`)
    return []
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof PgstowError)) throw error
    return [`could not gather statistics, so run ANALYZE: ${messageOf(error)}`]
  }
}
