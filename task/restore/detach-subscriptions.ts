import type { RestorePlan } from "../archive/plan-restore.ts"
import { formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import { identifier, literal } from "../core/quote.ts"
import type { Clients } from "../postgres/clients.ts"
import { type Connection, withDatabase } from "../postgres/connection.ts"
import { openSession } from "../postgres/session.ts"
import { detachSubscription, dropSubscription, slotOf, subscriptionsIn } from "../postgres/subscriptions.ts"

type Server = { readonly clients: Pick<Clients, "psql">; readonly connection: Connection }

/**
 * Takes their publishers' slots from the subscriptions that came back with a database, and resolves to what their
 * user should know: a copy must neither take what the original waits for, nor drop its slot when it goes.
 */
export async function detachSubscriptions(
  { clients, connection }: Server,
  plan: RestorePlan,
  database: string,
  { env, signal }: Pick<Context, "env" | "signal">,
): Promise<string[]> {
  const planned = plan.entries.filter(({ kind }) => kind === "SUBSCRIPTION")
  if (planned.length === 0) return []
  const session = await openSession(clients, withDatabase(connection, database), { env, signal })
  try {
    const there = new Set(await subscriptionsIn(session, database))
    const warnings: string[] = []
    for (const entry of planned.filter(({ name }) => there.has(name))) {
      await detachSubscription(session, entry.name)
      const name = identifier(entry.name)
      const slot = slotOf(entry)
      warnings.push(
        formatName(
          `the subscription ${name} is disabled and has no slot, so that it takes nothing from the original. ` +
            `Where this database takes the original's place: ALTER SUBSCRIPTION ${name} SET (slot_name = ` +
            `${literal(slot ?? entry.name)}); ALTER SUBSCRIPTION ${name} ENABLE; ` +
            `ALTER SUBSCRIPTION ${name} REFRESH PUBLICATION; otherwise: DROP SUBSCRIPTION ${name};`,
        ),
      )
    }
    return warnings
  } finally {
    await session.close()
  }
}

/** Removes the subscriptions of a database that is to be dropped, and nothing at their publishers. */
export async function dropSubscriptions(
  { clients, connection }: Server,
  names: readonly string[],
  database: string,
  { env, signal }: Pick<Context, "env" | "signal">,
): Promise<void> {
  if (names.length === 0) return
  const session = await openSession(clients, withDatabase(connection, database), { env, signal })
  try {
    for (const name of names) await dropSubscription(session, name)
  } finally {
    await session.close()
  }
}
