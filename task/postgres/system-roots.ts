import type { Clients } from "./clients.ts"
import type { Connection, Environment } from "./connection.ts"

/** libpq's first version that knows sslrootcert=system; before, it is the name of a file. */
const firstMajor = 16

/**
 * Those of the clients that can verify the server by the system's authorities, where the connection wants that. All of
 * them where none says that it can: their libpq may be newer than they are.
 */
export function takingSystemRoots(
  clients: readonly Clients[],
  { params }: Connection,
  env: Environment,
): readonly Clients[] {
  if ((params.sslrootcert ?? env.PGSSLROOTCERT) !== "system") return clients
  const able = clients.filter(({ major }) => major >= firstMajor)
  return able.length > 0 ? able : clients
}
