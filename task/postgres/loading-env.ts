import { PgstowError } from "../errors.ts"
import type { Clients } from "./clients.ts"
import type { Connection, Environment } from "./connection.ts"
import { openSession, type SessionOptions } from "./session.ts"

/**
 * The environment for programs that fill a new database, of which nobody has any use before it gets its name: their
 * sessions do not wait for each of their commits to reach the disk, and the one that gives the name waits for all.
 * Where a pooler takes no settings with a connection, that is `env` as it is.
 */
export async function loadingEnv(
  clients: Pick<Clients, "psql">,
  connection: Connection,
  { env, signal }: SessionOptions,
): Promise<Environment> {
  const faster = { ...env, PGOPTIONS: `${env.PGOPTIONS ?? ""} -c synchronous_commit=off`.trim() }
  try {
    const session = await openSession(clients, connection, { env: faster, signal })
    await session.close()
    return faster
  } catch (error) {
    signal?.throwIfAborted()
    if (!(error instanceof PgstowError)) throw error
    // Where something else is wrong, whoever comes next tells of it.
    return env
  }
}
