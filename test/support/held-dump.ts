import { setTimeout as sleep } from "node:timers/promises"
import { onTestFinished } from "vitest"
import type { PostgresServer } from "./postgres.ts"
import { connectionTo, openTestSession } from "./session.ts"

/** A query for the server processes that wait so in the database at hand. */
export const waitingDumps = `
  SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database
   WHERE datname = current_database() AND relation = 'pg_largeobject'::regclass AND NOT granted`

/** What keeps dumps of a database from coming to their end. */
export type HeldDump = {
  /** Resolves when a dump has written the rows of all tables, and waits. */
  reached(): Promise<void>
  /** Lets it go on. */
  release(): Promise<void>
}

/** Makes every dump of the database stop, after the rows of its tables, before its large objects, of which it gets one. */
export async function holdDump(server: PostgresServer, database: string): Promise<HeldDump> {
  await server.psql("SELECT lo_from_bytea(0, 'large')", database)
  const session = await openTestSession(server, connectionTo(server, database))
  onTestFinished(() => session.close())
  await session.execute("BEGIN")
  await session.execute("LOCK TABLE pg_catalog.pg_largeobject")
  return {
    reached: async () => {
      while ((await session.query(waitingDumps)).length === 0) await sleep(20)
    },
    release: () => session.close(),
  }
}
