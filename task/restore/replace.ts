import * as z from "zod"
import { formatName } from "../console/format.ts"
import { identifier, literal } from "../core/quote.ts"
import { outgoingName } from "../core/restored-name.ts"
import { PgstowError } from "../errors.ts"
import { QueryError } from "../postgres/conversation.ts"
import type { Session } from "../postgres/session.ts"
import { databaseExists, renameDatabase } from "../postgres/target-database.ts"

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
 * comment its owner has set, may be dropped for another. The same holds for what it is called before it is dropped.
 */
export async function refuseToReplace(session: Session, name: string): Promise<void> {
  const outgoing = await lookAt(session, outgoingName(name))
  if (outgoing !== undefined && outgoing.comment !== consentFor(name, outgoing.oid))
    throw new PgstowError(
      "usage",
      `${formatName(name)} is called ${formatName(outgoingName(name))} before it is dropped, and another database has that name`,
      { hint: "Rename or drop that one, and restore again." },
    )
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
async function markReplaceable(session: Session, database: string, name: string): Promise<void> {
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

/** How often sessions are ended that are back before the rename has its lock. */
const mostTries = 3

/**
 * Gives a database the name of the one that it replaces, at once: whoever connects finds the one or the other. Ends the
 * sessions of the old one, which is then dropped. Resolves to what was in the way of that, as a warning. The session must
 * be one with neither.
 *
 * Rejects with a QueryError where the name could not be taken: nothing has changed then.
 */
export async function takeNameOf(session: Session, restored: string, name: string): Promise<string[]> {
  await markReplaceable(session, restored, name)
  // Looked at again: another may have been made under that name meanwhile.
  await refuseToReplace(session, name)
  const outgoing = outgoingName(name)
  // An interrupted restore may have left it.
  await drop(session, outgoing)
  if (!(await databaseExists(session, name))) {
    await renameDatabase(session, restored, name)
    return []
  }
  for (let tried = 1; ; tried++)
    try {
      await endSessions(session, name)
      await session.execute("BEGIN")
      // The server lets nobody in from here on, and waits some seconds for those who were told to go.
      await renameDatabase(session, name, outgoing)
      await renameDatabase(session, restored, name)
      await session.execute("COMMIT")
      break
    } catch (error) {
      if (!session.lost.aborted) await session.execute("ROLLBACK")
      if (!(error instanceof QueryError) || error.sqlstate !== inUse || tried === mostTries) throw error
    }
  try {
    await drop(session, outgoing)
    return []
  } catch (error) {
    if (!(error instanceof QueryError)) throw error
    return [
      `the database that was replaced is left as ${formatName(outgoing)}: ${error.reason}. The next such restore tries again to drop it`,
    ]
  }
}

const inUse = "55006"

/** Those without a user are the server's own, which it ends itself. */
async function endSessions(session: Session, database: string): Promise<void> {
  await session.query(
    `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
      WHERE datname = ${literal(database)} AND usesysid IS NOT NULL`,
  )
}

async function drop(session: Session, database: string): Promise<void> {
  await session.execute(`DROP DATABASE IF EXISTS ${identifier(database)} WITH (FORCE)`)
}
