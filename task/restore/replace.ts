import * as z from "zod"
import { formatName } from "../console/format.ts"
import { identifier, literal } from "../core/quote.ts"
import { PgstowError } from "../errors.ts"
import type { Session } from "../postgres/session.ts"

/** What every such comment begins with, whichever database it is of. */
const consentBegins = "pgstow restore --replace may replace "

/**
 * What a database's comment says that the next restore of `--replace` may drop it: this database alone, under this name
 * alone. Dumps carry comments elsewhere, and a database may be renamed or copied under the name of a better one; there
 * the same words must allow nothing.
 */
function consentFor(name: string, oid: string): string {
  return `${consentBegins}${name} (oid ${oid})`
}

/** Whether a statement sets a consent as a database's comment: it is of the database that it was made in alone. */
export function isConsent(sql: string): boolean {
  return /^COMMENT ON DATABASE .* IS +E?'/s.test(sql) && sql.includes(`'${consentBegins}`)
}

/**
 * Throws a usage error where a database may not be replaced: only one that a restore of `--replace` made, or whose
 * comment its owner has set, may be dropped for another.
 */
export async function refuseToReplace(session: Session, name: string): Promise<void> {
  const found = await lookAt(session, name)
  if (found === undefined || found.comment === consentFor(name, found.oid)) return
  throw new PgstowError(
    "usage",
    `the database ${formatName(name)} exists, and was not made by \`restore --replace\`: it is not dropped`,
    {
      hint: `If it may go, say so once by \`${consentStatement(name, consentFor(name, found.oid))}\` in psql, and restore again.`,
    },
  )
}

/** Says that a database may be dropped for another by the next such restore, once it has this name. */
export async function markReplaceable(session: Session, database: string, name: string): Promise<void> {
  const found = await lookAt(session, database)
  if (found === undefined)
    throw new PgstowError("postgres", `the database ${formatName(database)} is gone`, {
      hint: "Somebody has dropped or renamed it meanwhile. Restore again.",
    })
  await session.execute(consentStatement(database, consentFor(name, found.oid)))
}

async function lookAt(
  session: Session,
  name: string,
): Promise<{ readonly oid: string; readonly comment: string | null } | undefined> {
  const answer = await session.query(
    `SELECT oid::pg_catalog.text AS oid, pg_catalog.shobj_description(oid, 'pg_database') AS comment
       FROM pg_catalog.pg_database WHERE datname = ${literal(name)}`,
  )
  const rows = z.array(z.object({ oid: z.string(), comment: z.string().nullable() })).parse(answer)
  return rows[0]
}

function consentStatement(database: string, consent: string): string {
  return `COMMENT ON DATABASE ${identifier(database)} IS ${literal(consent)}`
}

/** Drops the database that another takes the place of, and ends its sessions. The session must be one with another. */
export async function dropReplaced(session: Session, name: string): Promise<void> {
  await session.execute(`DROP DATABASE IF EXISTS ${identifier(name)} WITH (FORCE)`)
}
