import { messageOf, PgstowError } from "../errors.ts"
import type { Clients } from "./clients.ts"
import type { Connection } from "./connection.ts"
import { openSession, type SessionOptions } from "./session.ts"

/**
 * Runs ANALYZE, without which queries are planned badly, on tables by their names in SQL, or on all without any.
 * Resolves to what there is to warn of, where it failed: what it is run on is good without it. Rejects with the reason
 * of the signal only.
 */
export async function gatherStatistics(
  clients: Pick<Clients, "psql">,
  connection: Connection,
  tables: readonly string[],
  { env, signal }: SessionOptions,
): Promise<string[]> {
  try {
    const session = await openSession(clients, connection, { env, signal })
    try {
      await session.execute(`ANALYZE ${tables.join(", ")}`)
    } finally {
      await session.close()
    }
    return []
  } catch (error) {
    signal?.throwIfAborted()
    if (!(error instanceof PgstowError)) throw error
    return [`could not gather statistics, so run ANALYZE: ${messageOf(error)}`]
  }
}
