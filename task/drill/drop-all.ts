import { formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import { identifier } from "../core/quote.ts"
import { incompleteName } from "../core/restored-name.ts"
import { messageOf } from "../errors.ts"
import { type Clients, newestClients } from "../postgres/clients.ts"
import type { Connection } from "../postgres/connection.ts"
import { subscriptionsIn } from "../postgres/subscriptions.ts"
import { openTarget } from "../postgres/target.ts"
import { databaseExists } from "../postgres/target-database.ts"
import { dropSubscriptions } from "../restore/detach-subscriptions.ts"
import { referenceName } from "./reference-database.ts"

/** Drops all that the drill has made, and warns of what stays. In spite of a signal, which has ended all else. */
export async function dropAll(
  name: string,
  connection: Connection,
  clients: readonly Clients[],
  { env, log }: Pick<Context, "env" | "log">,
): Promise<void> {
  const names = [name, incompleteName(name), referenceName(name)]
  try {
    const target = await openTarget(newestClients(clients), connection, name, { env })
    try {
      for (const one of names) {
        const session = await target.outside()
        if (!(await databaseExists(session, one))) continue
        await dropSubscriptions(target, await subscriptionsIn(session, one), one)
        await target.leave()
        // What a program still does there that was ended just now is of no use any more.
        await session.execute(`DROP DATABASE ${identifier(one)} WITH (FORCE)`)
      }
    } finally {
      await target.close()
    }
  } catch (error) {
    log.warn(
      `of the drill, databases may be left on the server, which are to be dropped (${names.map(formatName).join(", ")}): ${messageOf(error)}`,
    )
  }
}
