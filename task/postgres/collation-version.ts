import * as z from "zod"
import type { Session } from "./session.ts"

/** The versions of a database's collation: by which it was made, and which the server has. */
export type CollationVersions = { readonly name: string; readonly before: string; readonly now: string }

/**
 * The versions, where the server's collations are no longer those by which the session's database was made: an operating
 * system or ICU of another version sorts otherwise. Servers before 15 don't know.
 */
export async function readCollationVersions(session: Session): Promise<CollationVersions | undefined> {
  if (session.serverMajor < 15) return undefined
  const rows = await session.query(`
    SELECT datname AS name, datcollversion AS before, pg_catalog.pg_database_collation_actual_version(oid) AS now
      FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()`)
  const [{ name, before, now }] = z
    .tuple([z.object({ name: z.string(), before: z.string().nullable(), now: z.string().nullable() })])
    .parse(rows)
  return before === null || now === null || before === now ? undefined : { name, before, now }
}

/** A sentence where the versions differ. */
export async function readCollationChange(session: Session): Promise<string[]> {
  const versions = await readCollationVersions(session)
  if (!versions) return []
  const { name, before, now } = versions
  return [
    `text in ${name} was sorted by version ${before} of its collation, and the server has ${now}: indexes may miss rows until REINDEX DATABASE, then ALTER DATABASE … REFRESH COLLATION VERSION`,
  ]
}
