import { setTimeout as delay } from "node:timers/promises"
import * as z from "zod"
import { formatName } from "../console/format.ts"
import { identifier, literal } from "../core/quote.ts"
import { outgoingName } from "../core/restored-name.ts"
import { PgstowError } from "../errors.ts"
import { QueryError } from "../postgres/conversation.ts"
import { inTransaction } from "../postgres/in-transaction.ts"
import type { Session } from "../postgres/session.ts"
import type { Target } from "../postgres/target.ts"
import { checkMade, type Made, renameMade } from "../postgres/target-database.ts"

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
 * comment its owner has set, may be dropped for another, and by its owner alone. The same holds for what it is called
 * before it is dropped. Resolves to the OID of the one that may be, undefined where there is none.
 */
export async function refuseToReplace(session: Session, name: string): Promise<string | undefined> {
  const outgoing = await lookAt(session, outgoingName(name))
  if (outgoing !== undefined && outgoing.comment !== consentFor(name, outgoing.oid))
    throw new PgstowError(
      "usage",
      `${formatName(name)} is called ${formatName(outgoingName(name))} before it is dropped, and another database has that name`,
      { hint: "Rename or drop that one, and restore again." },
    )
  if (outgoing !== undefined) refuseToOthers(outgoingName(name), outgoing)
  const found = await lookAt(session, name)
  if (found === undefined) return undefined
  if (found.comment === consentFor(name, found.oid)) {
    refuseToOthers(name, found)
    return found.oid
  }
  throw new PgstowError(
    "usage",
    `the database ${formatName(name)} exists, and was not made by \`restore --replace\`: it is not dropped`,
    {
      hint: `If it may go, say so once by \`${consentStatement(name, consentFor(name, found.oid))}\` in psql, and restore again.`,
    },
  )
}

/** The server would say so only when all is restored. */
function refuseToOthers(name: string, { owner, isOwner }: Found): void {
  if (isOwner) return
  throw new PgstowError(
    "usage",
    `the database ${formatName(name)} belongs to ${formatName(owner)}, and only its owner may replace it`,
    { hint: `Restore as ${formatName(owner)} or a member of that role, or give the database to this user.` },
  )
}

/**
 * Drops what an earlier restore has left of the database that it replaced. Rejects as `refuseToReplace`, and with a
 * PgstowError where it can't be dropped: there would be no name for the next one.
 */
export async function dropOutgoing(session: Session, name: string): Promise<void> {
  await refuseToReplace(session, name)
  try {
    await drop(session, outgoingName(name))
  } catch (cause) {
    if (!(cause instanceof QueryError)) throw cause
    throw new PgstowError(
      "postgres",
      `the database ${formatName(outgoingName(name))} of an earlier restore can't be dropped: ${cause.reason}`,
      { cause, hint: "Drop or rename it, and restore again." },
    )
  }
}

const foundRows = z.array(
  z.object({ oid: z.string(), comment: z.string().nullable(), owner: z.string(), isOwner: z.boolean() }),
)
type Found = z.infer<typeof foundRows>[number]

async function lookAt(session: Session, name: string): Promise<Found | undefined> {
  const answer = await session.query(
    `SELECT oid::pg_catalog.text AS oid, pg_catalog.shobj_description(oid, 'pg_database') AS comment,
            pg_catalog.pg_get_userbyid(datdba) AS owner, pg_catalog.pg_has_role(datdba, 'USAGE') AS "isOwner"
       FROM pg_catalog.pg_database WHERE datname = ${literal(name)}`,
  )
  return foundRows.parse(answer)[0]
}

function consentStatement(database: string, consent: string): string {
  return `COMMENT ON DATABASE ${identifier(database)} IS ${literal(consent)}`
}

/** How often a rename is tried that others are in the way of, each time for the five seconds that the server waits. */
const mostTries = 3

/**
 * Gives a database that a restore made the name of the one that it replaces, at once. Ends the sessions of both: the old
 * one is then dropped, and nobody has any business in the new one yet. Resolves to what was in the way of dropping it, as
 * a warning.
 *
 * Rejects with a QueryError where the name could not be taken, and as `renameMade` where the database is another one:
 * nothing has changed then.
 */
export async function takeNameOf(target: Target, made: Made, name: string): Promise<string[]> {
  const session = await target.outside()
  await checkMade(session, made)
  await session.execute(consentStatement(made.database, consentFor(name, made.oid)))
  // Looked at again: another may have been made under that name meanwhile.
  const old = await refuseToReplace(session, name)
  const outgoing = outgoingName(name)
  await drop(session, outgoing)
  const beside = await target.beside()
  for (let tried = 1; ; tried++)
    try {
      await inTransaction(session, async () => {
        if (old !== undefined)
          await withoutSessions(beside, old, renameMade(session, { database: name, oid: old }, outgoing))
        await withoutSessions(beside, made.oid, renameMade(session, made, name))
      })
      break
    } catch (error) {
      if (!isInUse(error) || tried === mostTries) throw error
    }
  if (old === undefined) return []
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

function isInUse(error: unknown): boolean {
  return error instanceof QueryError && error.sqlstate === "55006"
}

/**
 * Ends the sessions of the database with this OID while it is renamed, in another session: from the beginning of that on,
 * the server lets nobody in, and waits for those who are there. Clients that connect again at once would be back before a
 * rename that begins after their sessions were ended. Settles as `renaming`, or rejects with what kept it from ending them
 * where that is why it rejects.
 */
async function withoutSessions(beside: Session, oid: string, renaming: Promise<void>): Promise<void> {
  let refused: unknown
  let isOver = false
  const over = renaming.finally(() => {
    isOver = true
  })
  const ending = (async () => {
    while (!isOver) {
      refused = await endSessions(beside, oid).catch((error: unknown) => error)
      await Promise.race([over.catch(() => {}), delay(endsAgainAfterMs)])
    }
  })()
  const [renamed] = await Promise.allSettled([over, ending])
  if (renamed.status === "fulfilled") return
  throw isInUse(renamed.reason) && refused instanceof Error ? refused : renamed.reason
}

const endsAgainAfterMs = 100

/** Those without a user are the server's own, which it ends itself. */
async function endSessions(session: Session, oid: string): Promise<void> {
  await session.query(
    `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
      WHERE datid = ${literal(oid)} AND usesysid IS NOT NULL`,
  )
}

async function drop(session: Session, database: string): Promise<void> {
  await session.execute(`DROP DATABASE IF EXISTS ${identifier(database)} WITH (FORCE)`)
}
