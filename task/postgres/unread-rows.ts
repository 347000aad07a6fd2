import * as z from "zod"
import { allTables, type ChosenTables } from "./chosen-tables.ts"
import type { Session } from "./session.ts"

/** The unlogged tables of the session's database, by their names in SQL: a standby has their definitions alone. */
export async function readUnloggedTables(
  session: Session,
  { hasRows }: ChosenTables = allTables,
): Promise<string[]> {
  const rows = await session.query(`
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND ${hasRows} ORDER BY 1`)
  return z
    .array(z.object({ name: z.string() }))
    .parse(rows)
    .map(({ name }) => name)
}

/** How many objects the session's user can't see whole, which pg_dump leaves out in silence or with a warning. */
export type Hidden = { readonly subscriptions: number; readonly mappings: number }

export async function countHidden(session: Session): Promise<Hidden> {
  const [hidden] = z.tuple([z.object({ subscriptions: z.int(), mappings: z.int() })]).parse(
    await session.query(`
        SELECT (SELECT count(*) FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
                 WHERE d.datname = pg_catalog.current_database()
                   AND NOT pg_catalog.has_column_privilege('pg_catalog.pg_subscription', 'subconninfo', 'SELECT')) AS subscriptions,
               (SELECT count(*) FROM pg_catalog.pg_user_mappings
                 WHERE umoptions IS NULL
                   AND NOT pg_catalog.has_table_privilege('pg_catalog.pg_user_mapping', 'SELECT')) AS mappings`),
  )
  return hidden
}

/** What `countHidden` counts, a sentence for each kind. */
export async function readHidden(session: Session): Promise<string[]> {
  const { subscriptions, mappings } = await countHidden(session)
  return [
    ...(subscriptions > 0
      ? [
          `the user may not read subscriptions, so ${subscriptions} of them are not in the backup: back up as a superuser`,
        ]
      : []),
    ...(mappings > 0
      ? [
          `the user may not read the options of user mappings, so those of ${mappings}, passwords among them, may be missing in the backup: back up as a superuser`,
        ]
      : []),
  ]
}
