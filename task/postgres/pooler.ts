import * as z from "zod"
import { PgstowError } from "../errors.ts"
import { describe } from "./connection.ts"
import type { Session } from "./session.ts"

const pidRow = z.tuple([z.object({ pid: z.int() })])

/**
 * Rejects where the two sessions, both open and outside of transactions, reach the server through a pooler that
 * lends them a connection for one transaction each. A snapshot exported there is gone with the first of them, and
 * what is set for a session is set for strangers. It is proved when both get the same server process, or one
 * gets several; a pooler that has lent out nothing else shows itself at once, a busy one perhaps not.
 */
export async function refuseTransactionPooler(first: Session, second: Session): Promise<void> {
  const pids = new Map<Session, number>()
  for (const session of [first, second, first, second]) {
    const [{ pid }] = pidRow.parse(await session.query("SELECT pg_catalog.pg_backend_pid() AS pid"))
    const other = session === first ? second : first
    if (pids.get(other) === pid || (pids.get(session) ?? pid) !== pid)
      throw new PgstowError(
        "postgres",
        `${describe(first.connection)} is reached through a pooler in transaction mode, which can't hold a snapshot`,
        {
          hint: "Connect to the server itself, or to the pooler's port for session mode (Supabase: 5432, not 6543; Neon: the host without -pooler).",
        },
      )
    pids.set(session, pid)
  }
}
