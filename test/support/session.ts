import * as z from "zod"
import { type Clients, chooseClients, findClients } from "../../task/postgres/clients.ts"
import { type Connection, connectionFrom } from "../../task/postgres/connection.ts"
import { openSession, type Session, type SessionOptions } from "../../task/postgres/session.ts"
import { findPostgres, type PostgresServer } from "./postgres.ts"

const clients = await findClients(
  { env: {} },
  findPostgres().map(({ binDir }) => binDir),
)

/** The client programs that belong to a server. */
export function clientsOf(server: PostgresServer): Clients {
  return chooseClients(clients, server.major)
}

/** A connection as superuser over TCP, with further settings by libpq's keywords. */
export function connectionTo(
  server: PostgresServer,
  database = "postgres",
  params: Readonly<Record<string, string>> = {},
): Connection {
  const connection = connectionFrom({ databaseUrl: server.url(database) })
  return { ...connection, params: { ...connection.params, ...params } }
}

/** Opens a session with the server's own psql. */
export function openTestSession(
  server: PostgresServer,
  connection: Connection = connectionTo(server),
  options: Partial<SessionOptions> = {},
): Promise<Session> {
  return openSession(clientsOf(server), connection, { env: {}, ...options })
}

/** Begins a transaction in the session that holds no locks, and gives the id of its snapshot. */
export async function exportSnapshot(session: Session): Promise<string> {
  await session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
  const rows = await session.query("SELECT pg_export_snapshot() AS id")
  return z.tuple([z.object({ id: z.string() })]).parse(rows)[0].id
}
