import type { RestorePlan } from "../archive/plan-restore.ts"
import { formatName } from "../console/format.ts"
import { identifier, literal } from "../core/quote.ts"
import { detachSubscription, dropSubscription, slotOf, subscriptionsIn } from "../postgres/subscriptions.ts"
import type { Target } from "../postgres/target.ts"

/**
 * Takes their publishers' slots from the subscriptions that came back with a database, and resolves to what their
 * user should know: a copy must neither take what the original waits for, nor drop its slot when it goes.
 */
export async function detachSubscriptions(
  target: Target,
  plan: RestorePlan,
  database: string,
): Promise<string[]> {
  const planned = plan.entries.filter(({ kind }) => kind === "SUBSCRIPTION")
  if (planned.length === 0) return []
  const session = await target.inside(database)
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
}

/** Removes the subscriptions of a database that is to be dropped, and nothing at their publishers. */
export async function dropSubscriptions(
  target: Target,
  names: readonly string[],
  database: string,
): Promise<void> {
  if (names.length === 0) return
  const session = await target.inside(database)
  for (const name of names) await dropSubscription(session, name)
}
