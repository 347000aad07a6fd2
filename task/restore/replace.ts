import * as z from "zod"
import { formatName } from "../console/format.ts"
import { identifier, literal } from "../core/quote.ts"
import { PgstowError } from "../errors.ts"
import type { Session } from "../postgres/session.ts"

/** What a database's comment says that the next restore of `--replace` may drop it: under this name alone. */
function consentFor(name: string): string {
  return `pgstow restore --replace may replace ${name}`
}

/**
 * Throws a usage error where a database may not be replaced: only one that a restore of `--replace` made, or whose
 * comment its owner has set, may be dropped for another.
 */
export async function refuseToReplace(session: Session, name: string): Promise<void> {
  const answer = await session.query(
    `SELECT pg_catalog.shobj_description(oid, 'pg_database') AS comment
       FROM pg_catalog.pg_database WHERE datname = ${literal(name)}`,
  )
  const rows = z.array(z.object({ comment: z.string().nullable() })).parse(answer)
  if (rows.some(({ comment }) => comment === consentFor(name))) return
  throw new PgstowError(
    "usage",
    `the database ${formatName(name)} exists, and was not made by \`restore --replace\`: it is not dropped`,
    {
      hint: `If it may go, say so once by \`${consentStatement(name, name)}\` in psql, and restore again.`,
    },
  )
}

/** Says that a database may be dropped for another by the next such restore, once it has this name. */
export async function markReplaceable(session: Session, database: string, name: string): Promise<void> {
  await session.execute(consentStatement(database, name))
}

function consentStatement(database: string, name: string): string {
  return `COMMENT ON DATABASE ${identifier(database)} IS ${literal(consentFor(name))}`
}

/** Drops the database that another takes the place of, and ends its sessions. The session must be one with another. */
export async function dropReplaced(session: Session, name: string): Promise<void> {
  await session.execute(`DROP DATABASE IF EXISTS ${identifier(name)} WITH (FORCE)`)
}
