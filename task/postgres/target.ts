import type { Clients } from "./clients.ts"
import { type Connection, withDatabase } from "./connection.ts"
import { openMaintenanceSession } from "./maintenance.ts"
import { openSession, type Session, type SessionOptions } from "./session.ts"
import { settingsOfRestore } from "./session-settings.ts"

/** The server that a restore goes to: all that it asks there, but for the loading itself, goes through these sessions. */
export type Target = {
  /** As the sessions have it: with their settings. */
  readonly connection: Connection
  readonly serverMajor: number
  /** A session with another database, to make, rename and drop the one restored into: a new one where it was lost. */
  outside(): Promise<Session>
  /**
   * A session with `database`: a new one where there was none, or it was lost, or is with another database. What is SET
   * in it stays until `leave`.
   */
  inside(database: string): Promise<Session>
  /** A second session with the database of the one outside, instead of the one inside. */
  beside(): Promise<Session>
  /** Closes the session inside or beside: nobody may be in a database that is renamed or dropped. */
  leave(): Promise<void>
  /** Closes both. Never rejects. */
  close(): Promise<void>
}

/** Connects for a restore into `database`, which need not exist. Rejects as openSession does. */
export async function openTarget(
  clients: Pick<Clients, "psql">,
  server: Connection,
  database: string,
  { env, signal }: Pick<SessionOptions, "env" | "signal">,
): Promise<Target> {
  let outer = await openMaintenanceSession(clients, server, database, {
    env,
    signal,
    settings: settingsOfRestore,
  })
  const { connection, serverMajor } = outer
  let inner: { readonly database: string; readonly session: Session } | undefined
  const leave = async () => {
    await inner?.session.close()
    inner = undefined
  }
  const outside = async () => {
    if (await isThere(outer)) return outer
    signal?.throwIfAborted()
    await outer.close()
    outer = await openMaintenanceSession(clients, connection, database, { env, signal })
    return outer
  }
  const inside = async (name: string) => {
    if (inner?.database === name && (await isThere(inner.session))) return inner.session
    signal?.throwIfAborted()
    await leave()
    const session = await openSession(clients, withDatabase(connection, name), { env, signal })
    inner = { database: name, session }
    return session
  }
  return {
    connection,
    serverMajor,
    outside,
    inside,
    async beside() {
      const { dbname = "postgres" } = (await outside()).connection.params
      return inside(dbname)
    },
    leave,
    async close() {
      await Promise.all([leave(), outer.close()])
    },
  }
}

/** Whether the session was not lost: one that is idle has perhaps not noticed yet. */
async function isThere(session: Session): Promise<boolean> {
  try {
    await session.execute("SELECT 1")
    return true
  } catch {
    return false
  }
}
