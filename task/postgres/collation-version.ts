import * as z from "zod"
import type { Session } from "./session.ts"

/**
 * A sentence where the server's collations are no longer those by which the session's database was made: an operating
 * system or ICU of another version sorts otherwise. Servers before 15 don't know.
 */
export async function readCollationChange(session: Session): Promise<string[]> {
  if (session.serverMajor < 15) return []
  const rows = await session.query(`
    SELECT datname AS name, datcollversion AS before, pg_catalog.pg_database_collation_actual_version(oid) AS now
      FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()`)
  const [{ name, before, now }] = z
    .tuple([z.object({ name: z.string(), before: z.string().nullable(), now: z.string().nullable() })])
    .parse(rows)
  if (before === null || now === null || before === now) return []
  return [
    `text in ${name} was sorted by version ${before} of its collation, and the server has ${now}: indexes may miss rows until REINDEX DATABASE, then ALTER DATABASE … REFRESH COLLATION VERSION`,
  ]
}
