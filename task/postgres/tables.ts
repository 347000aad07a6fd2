import * as z from "zod"
import type { SourceTable } from "../core/plan.ts"
import { literal } from "../core/quote.ts"
import { PgstowError } from "../errors.ts"
import { allTables, type ChosenTables } from "./chosen-tables.ts"
import { describe, filledIn } from "./connection.ts"
import { QueryError } from "./conversation.ts"
import { grantHint, LockWaitError } from "./dump-failure.ts"
import type { Session } from "./session.ts"

/** The tables whose rows pg_dump reads, and which it locks for that: `c` and its schema `n`. */
const ownTables = `
  pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind = 'r' AND c.relpersistence <> 't'
     AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`

const ofExtension = `EXISTS (
  SELECT FROM pg_depend d
   WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')`

/** As pg_dump's forcePartitionRootLoad has it. */
const hashedByEnum = `EXISTS (
  SELECT FROM pg_partition_ancestors(c.oid) AS a JOIN pg_partitioned_table p ON p.partrelid = a.relid
              JOIN pg_opclass o ON o.oid = ANY (p.partclass) JOIN pg_am m ON m.oid = o.opcmethod
   WHERE o.opcname = 'enum_ops' AND o.opcnamespace = 'pg_catalog'::regnamespace AND m.amname = 'hash')`

/**
 * The names in SQL of the tables to lock. Those of an extension are its own affair: who backs up may have no right
 * to them. A database without an encoding can have names that are no text here: pg_dump locks these tables.
 */
export async function readTableNames(
  session: Session,
  { isIn }: ChosenTables = allTables,
): Promise<string[]> {
  const rows = await session.query(`
    SELECT format('%I.%I', n.nspname, c.relname) AS name FROM ${ownTables} AND NOT ${ofExtension} AND ${isIn}
       AND (getdatabaseencoding() <> 'SQL_ASCII' OR (n.nspname || c.relname) ~ '^[ -~]*$') ORDER BY c.oid`)
  return z
    .array(z.object({ name: z.string() }))
    .parse(rows)
    .map(({ name }) => name)
}

const lockedAtOnce = 500

/** A table was dropped, renamed or rewritten at that very moment: from the beginning it may go well. */
export class ChangedTableError extends PgstowError {}

/**
 * Locks tables, by their names in SQL, so that until the transaction ends they can be read and written, but
 * neither changed nor emptied by TRUNCATE. Waits as long as the session's `lock_timeout` says.
 */
export async function lockTables(session: Session, names: readonly string[]): Promise<void> {
  for (let first = 0; first < names.length; first += lockedAtOnce) {
    const tables = names.slice(first, first + lockedAtOnce).map((name) => `ONLY ${name}`)
    await session
      .execute(`LOCK TABLE ${tables.join(", ")} IN ACCESS SHARE MODE`)
      .catch(async (error: unknown) => {
        throw error instanceof QueryError ? await explained(session, error) : error
      })
  }
}

/**
 * Locks tables as `lockTables` does, but for those that are gone by now, and gives these. The transaction must have
 * seen nothing yet.
 */
export async function lockTablesThere(session: Session, names: readonly string[]): Promise<string[]> {
  const gone: string[] = []
  // In halves, most of which are all there: a table that is gone fails all that are locked with it.
  const lock = async (some: readonly string[]): Promise<void> => {
    await session.execute("SAVEPOINT tables")
    try {
      await lockTables(session, some)
      await session.execute("RELEASE SAVEPOINT tables")
    } catch (error) {
      if (!(error instanceof ChangedTableError)) throw error
      await session.execute("ROLLBACK TO SAVEPOINT tables")
      await session.execute("RELEASE SAVEPOINT tables")
      const half = Math.ceil(some.length / 2)
      if (some.length === 1) gone.push(...some)
      else for (const part of [some.slice(0, half), some.slice(half)]) await lock(part)
    }
  }
  for (let first = 0; first < names.length; first += lockedAtOnce)
    await lock(names.slice(first, first + lockedAtOnce))
  return gone
}

/**
 * Refuses a transaction whose snapshot is older than the last change of a table that it sees: TRUNCATE and what
 * rewrites a table leave nothing for such a snapshot to see. The tables must be locked.
 */
export async function refuseChangedTables(
  session: Session,
  { isIn }: ChosenTables = allTables,
): Promise<void> {
  // Functions look into the catalog as it is, where queries see that of the snapshot.
  const rows = await session.query(`
    SELECT format('%I.%I', n.nspname, c.relname) AS name FROM ${ownTables} AND NOT ${ofExtension} AND ${isIn}
       AND (pg_relation_filenode(c.oid) IS DISTINCT FROM c.relfilenode
            OR to_regclass(format('%I.%I', n.nspname, c.relname)) IS DISTINCT FROM c.oid)`)
  const [changed] = z.array(z.object({ name: z.string() })).parse(rows)
  if (changed)
    throw new ChangedTableError("postgres", `the table ${changed.name} was changed as the backup began`, {
      hint: changedHint,
    })
}

/** What the session's snapshot shows of the tables that take up so many bytes and more, and whose rows are wanted. */
export async function readTables(
  session: Session,
  leastBytes: number,
  { hasRows }: ChosenTables = allTables,
): Promise<SourceTable[]> {
  const notGenerated = session.serverMajor >= 12 ? "AND a.attgenerated = ''" : ""
  // OFFSET keeps the sizes from being asked of any other table, which may be locked.
  const rows = await session.query(`
    SELECT nspname AS schema, relname AS name, bytes,
           bytes - main_bytes AS "outOfLineBytes", main_bytes / current_setting('block_size')::int AS pages,
           EXISTS (SELECT FROM pg_am WHERE oid = relam AND amname = 'heap') AS "isHeap",
           relpersistence = 'u' AS "isUnlogged", ${ofExtension} AS "ofExtension", ${hashedByEnum} AS "isHashedByEnum",
           ARRAY(SELECT a.attname::text FROM pg_attribute a
                  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ${notGenerated}
                  ORDER BY a.attnum) AS columns
      FROM (SELECT c.oid, n.nspname, relname, relam, relpersistence FROM ${ownTables} AND ${hasRows} OFFSET 0) AS c,
           LATERAL (SELECT pg_table_size(c.oid) AS bytes, pg_relation_size(c.oid) AS main_bytes OFFSET 0) AS size
     WHERE bytes >= ${leastBytes}`)
  return z.array(tableRow).parse(rows)
}

/** A table as the dump must have it: by its oid. */
export type PlannedTable = {
  readonly oid: number
  readonly schema: string
  readonly name: string
  readonly isIn: boolean
  /** Not at a standby, of an unlogged one. */
  readonly hasRows: boolean
  /** Its rows were left out by a pattern. */
  readonly isLeftEmpty: boolean
}

/** What of every table, but for those of extensions, is to be in the backup. */
export async function readPlannedTables(
  session: Session,
  { isIn, hasRows }: ChosenTables,
): Promise<PlannedTable[]> {
  const rows = await session.query(`
    SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, ${isIn} AS "isIn",
           ${hasRows} AND NOT (c.relpersistence = 'u' AND pg_is_in_recovery()) AS "hasRows",
           NOT ${hasRows} AS "isLeftEmpty"
      FROM ${ownTables} AND NOT ${ofExtension} ORDER BY c.oid`)
  return z.array(plannedRow).parse(rows)
}

const plannedRow = z.object({
  oid: z.int(),
  schema: z.string(),
  name: z.string(),
  isIn: z.boolean(),
  hasRows: z.boolean(),
  isLeftEmpty: z.boolean(),
})

const tableRow = z.object({
  schema: z.string(),
  name: z.string(),
  columns: z.array(z.string()),
  bytes: z.int(),
  outOfLineBytes: z.int(),
  pages: z.int(),
  isHeap: z.boolean(),
  isUnlogged: z.boolean(),
  ofExtension: z.boolean(),
  isHashedByEnum: z.boolean(),
})

const changedHint = "It was dropped, renamed, truncated or rewritten at that moment: try again."

/** By SQLSTATE. */
const lockHints: Readonly<Record<string, string>> = {
  "42P01": changedHint,
  "3F000": changedHint,
  "42501": grantHint,
  "53200": "Raise max_locks_per_transaction on the server: a backup locks every table.",
}

async function explained(session: Session, error: QueryError): Promise<PgstowError> {
  if (error.sqlstate === "55P03") return lockedByOthers(session, error)
  const hint = lockHints[error.sqlstate]
  if (hint === undefined) return error
  const Failure = hint === changedHint ? ChangedTableError : PgstowError
  return new Failure("postgres", error.message, { hint: filledIn(hint, session.connection) })
}

/** PostgreSQL does not say which table a lock was wanted of; those who hold one are asked for. */
async function lockedByOthers(session: Session, error: QueryError): Promise<PgstowError> {
  await session.execute("ROLLBACK")
  const locked = await tablesLocked(session, { granted: true })
  if (locked === "" || error.hint === undefined) return error
  const where = describe(session.connection)
  const [gid] = await preparedLockers(session)
  if (gid !== undefined)
    return new PgstowError("postgres", `${where}: the prepared transaction ${gid} keeps ${locked} locked`, {
      hint: `It does so until somebody ends it: COMMIT PREPARED ${literal(gid)}, or ROLLBACK PREPARED ${literal(gid)}.`,
    })
  return new PgstowError("postgres", `${where}: another session keeps ${locked} locked`, { hint: error.hint })
}

/** The names of prepared transactions, which have no session, that lock a table against all others. */
async function preparedLockers(session: Session): Promise<string[]> {
  const rows = await session.query(`
    SELECT DISTINCT p.gid AS name
      FROM pg_prepared_xacts p
      JOIN pg_locks own ON own.transactionid = p.transaction AND own.pid IS NULL AND own.mode = 'ExclusiveLock'
      JOIN pg_locks l ON l.virtualtransaction = own.virtualtransaction AND l.pid IS NULL
     WHERE p.database = current_database() AND l.relation >= 16384 AND l.mode = 'AccessExclusiveLock'`)
  return z
    .array(z.object({ name: z.string() }))
    .parse(rows)
    .map(({ name }) => name)
}

/**
 * Says which tables are waited for, by who wants to change them, while the session has its own locks on them: no
 * other session gets one then. The error as it was, where the session can't tell.
 */
export async function explainLockWait(session: Session, error: LockWaitError): Promise<LockWaitError> {
  const wanted = await tablesLocked(session, { granted: false }).catch(() => "")
  if (wanted === "") return error
  const message = `${describe(session.connection)}: another session waits to change ${wanted}, and lets no further one read`
  return new LockWaitError(error.program, message, { cause: error, hint: error.hint })
}

/** The names of the tables that somebody has locked against all others, or waits to, as a list. */
async function tablesLocked(session: Session, { granted }: { readonly granted: boolean }): Promise<string> {
  const rows = await session.query(`
    SELECT DISTINCT format('%I.%I', n.nspname, c.relname) AS name FROM ${ownTables}
       AND EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                    WHERE d.datname = current_database() AND l.relation = c.oid
                      AND l.mode = 'AccessExclusiveLock' AND l.granted = ${granted})`)
  const names = z.array(z.object({ name: z.string() })).parse(rows)
  return names.map(({ name }) => name).join(", ")
}
