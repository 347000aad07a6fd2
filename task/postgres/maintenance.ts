import { PgstowError } from "../errors.ts"
import type { Clients } from "./clients.ts"
import { type Connection, withDatabase } from "./connection.ts"
import { openSession, type Session, type SessionOptions } from "./session.ts"

/**
 * Opens a session with a database that is not `database`, to make, rename and drop that one from there: "postgres",
 * which nearly every server has, or else the one that the connection names, or "template1".
 */
export async function openMaintenanceSession(
  clients: Pick<Clients, "psql">,
  connection: Connection,
  database: string,
  options: SessionOptions,
): Promise<Session> {
  const names = ["postgres", connection.params.dbname, "template1"].filter((name) => name !== undefined)
  const [first = "postgres", ...others] = new Set(names.filter((name) => name !== database))
  try {
    return await openSession(clients, withDatabase(connection, first), options)
  } catch (error) {
    for (const name of others) {
      if (!isAboutDatabase(error)) break
      try {
        return await openSession(clients, withDatabase(connection, name), options)
      } catch (next) {
        if (!isAboutDatabase(next)) throw next
      }
    }
    throw error
  }
}

/** Whether the server was reached and only the database is missing, or closed to this user. */
function isAboutDatabase(error: unknown): boolean {
  return (
    error instanceof PgstowError &&
    /database ".*" does not exist|permission denied for database|no pg_hba\.conf entry/s.test(error.message)
  )
}
