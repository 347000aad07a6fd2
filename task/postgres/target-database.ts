import * as z from "zod"
import { identifier, literal } from "../core/quote.ts"
import { PgstowError } from "../errors.ts"
import type { Session } from "./session.ts"

/** PostgreSQL cuts a longer name off without an error. */
const maxNameBytes = 63

/** Throws a PgstowError of kind "usage" where no database can have this name. */
export function checkDatabaseName(name: string): void {
  if (name === "template0" || name === "template1")
    throw new PgstowError("usage", `${name} is what new databases are copied from`, {
      hint: "Restore into another database.",
    })
  if (name !== "" && !name.includes("\0") && Buffer.byteLength(name) <= maxNameBytes) return
  throw new PgstowError("usage", `${JSON.stringify(name)} can't be the name of a database`, {
    hint: `Choose a name of 1 to ${maxNameBytes} bytes.`,
  })
}

export async function databaseExists(session: Session, name: string): Promise<boolean> {
  return (await databaseOid(session, name)) !== undefined
}

/** Whether anyone is connected to the database of this name. */
export async function isInUse(session: Session, name: string): Promise<boolean> {
  const found = await session.query(
    `SELECT 1 AS one FROM pg_catalog.pg_stat_activity WHERE datname = ${literal(name)} LIMIT 1`,
  )
  return z.array(z.object({ one: z.int() })).parse(found).length > 0
}

/** The OID of the database of this name, which stays when it is renamed; undefined where there is none. */
async function databaseOid(session: Session, name: string): Promise<string | undefined> {
  const found = await session.query(
    `SELECT oid::pg_catalog.text AS oid FROM pg_catalog.pg_database WHERE datname = ${literal(name)}`,
  )
  return z.array(z.object({ oid: z.string() })).parse(found)[0]?.oid
}

/** A database that was made under this name. Another may have been made under it since. */
export type Made = { readonly database: string; readonly oid: string }

/** The database that has just been made under this name. */
export async function madeAs(session: Session, database: string): Promise<Made> {
  const oid = await databaseOid(session, database)
  if (oid === undefined) throw new NotThatDatabaseError(database, true)
  return { database, oid }
}

/** Rejects with a NotThatDatabaseError where the database of that name is not the one that was made. */
export async function checkMade(session: Session, { database, oid }: Made): Promise<void> {
  const there = await databaseOid(session, database)
  if (there === undefined || there !== oid) throw new NotThatDatabaseError(database, there === undefined)
}

/**
 * As renameDatabase, for a transaction: rejects with a NotThatDatabaseError, for it to be taken back, where the database
 * of that name is another one by now. Looked at again at the end, since nobody can change its name any more then.
 */
export async function renameMade(session: Session, { database, oid }: Made, newName: string): Promise<void> {
  await checkMade(session, { database, oid })
  await renameDatabase(session, database, newName)
  if ((await databaseOid(session, newName)) !== oid) throw new NotThatDatabaseError(database, false)
}

/** A database is gone, and perhaps another there under its name. */
export class NotThatDatabaseError extends PgstowError {
  readonly database: string

  constructor(database: string, isGone: boolean) {
    const now = isGone ? "is gone" : "is another one by now"
    super("postgres", `the database ${JSON.stringify(database)} ${now}: somebody has dropped or renamed it`, {
      hint: "Let one restore at a time go into a database of this name, and restore again.",
    })
    this.name = "NotThatDatabaseError"
    this.database = database
  }
}

/** The session must be one with another database, and nobody else connected to this one. */
export async function renameDatabase(session: Session, name: string, newName: string): Promise<void> {
  checkDatabaseName(newName)
  await session.execute(`ALTER DATABASE ${identifier(name)} RENAME TO ${identifier(newName)}`)
}

/** Drops a database with all that is in it. The session must be one with another database. */
export async function dropDatabase(session: Session, name: string): Promise<void> {
  await session.execute(`DROP DATABASE IF EXISTS ${identifier(name)}`)
}

/** What is in a database, for someone to decide whether it may go. */
export type Contents = {
  readonly sizeBytes: number
  readonly tables: number
  readonly largeObjects: number
  /** Up to five, with their indexes, biggest first; names as SQL writes them. */
  readonly biggest: readonly { readonly name: string; readonly sizeBytes: number }[]
}

/** Describes the session's own database. */
export async function describeContents(session: Session): Promise<Contents> {
  const [{ biggest, ...counts }] = contentsRow.parse(await session.query(contentsQuery))
  return { ...counts, biggest: biggest ?? [] }
}

const contentsRow = z.tuple([
  z.object({
    sizeBytes: z.int(),
    tables: z.int(),
    largeObjects: z.int(),
    biggest: z.array(z.object({ name: z.string(), sizeBytes: z.int() })).nullable(),
  }),
])

const contentsQuery = `
  WITH tables AS (
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
           pg_catalog.pg_total_relation_size(c.oid) AS "sizeBytes"
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
       AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'),
  biggest AS (SELECT * FROM tables WHERE "sizeBytes" > 0 ORDER BY "sizeBytes" DESC, name LIMIT 5)
  SELECT pg_catalog.pg_database_size(pg_catalog.current_database()) AS "sizeBytes",
         (SELECT pg_catalog.count(*) FROM tables) AS tables,
         (SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata) AS "largeObjects",
         (SELECT pg_catalog.json_agg(biggest) FROM biggest) AS biggest`
