import * as z from "zod"
import type { TocEntry } from "../archive/toc.ts"
import { identifier, literal } from "../core/quote.ts"
import type { Session } from "./session.ts"

/** The names of the subscriptions in a database of the session's server. */
export async function subscriptionsIn(session: Session, database: string): Promise<string[]> {
  const rows = await session.query(`
    SELECT s.subname AS name FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
     WHERE d.datname = ${literal(database)} ORDER BY 1`)
  return z
    .array(z.object({ name: z.string() }))
    .parse(rows)
    .map(({ name }) => name)
}

/**
 * Stops a subscription of the session's database, and takes its slot from it: the slot is the publisher's, and
 * dropping a subscription that knows it drops the slot too.
 */
export async function detachSubscription(session: Session, name: string): Promise<void> {
  await session.execute(`ALTER SUBSCRIPTION ${identifier(name)} DISABLE`)
  await session.execute(`ALTER SUBSCRIPTION ${identifier(name)} SET (slot_name = NONE)`)
}

/** Removes it, and nothing at its publisher. */
export async function dropSubscription(session: Session, name: string): Promise<void> {
  await detachSubscription(session, name)
  await session.execute(`DROP SUBSCRIPTION ${identifier(name)}`)
}

/** The slot that an archive's subscription had; undefined where it had none. Nothing else of its definition is shown. */
export function slotOf({ definition }: TocEntry): string | undefined {
  const [, slot] = /\bWITH \(connect = false, slot_name = '((?:[^']|'')*)'/.exec(definition) ?? []
  return slot?.replaceAll("''", "'")
}
