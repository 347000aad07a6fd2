import * as z from "zod"
import { noPatterns, type TablePatterns } from "../core/table-patterns.ts"
import { type ChosenTables, chooseTables } from "./chosen-tables.ts"
import { QueryError } from "./conversation.ts"
import type { Session } from "./session.ts"
import { noTimeLimits } from "./session-settings.ts"
import {
  ChangedTableError,
  lockTables,
  lockTablesThere,
  readTableNames,
  refuseChangedTables,
} from "./tables.ts"

/** A picture of the database that stays as it is, for as long as the session that it was opened in. */
export type Snapshot = {
  /** For `pg_dump --snapshot` and SET TRANSACTION SNAPSHOT in other sessions. */
  readonly id: string
  /** When it was taken, by the server's clock: ISO 8601, UTC. */
  readonly time: string
  /** How far the write-ahead log had come; null where the server does not say. */
  readonly lsn: string | null
  /** What of it is wanted. */
  readonly chosen: ChosenTables
}

export type SnapshotOptions = {
  /** How long the session waits for the lock of a table, and for any later one. */
  readonly lockWaitSeconds: number
  /** Which tables are wanted: no others are locked. All, unless given. */
  readonly patterns?: TablePatterns
  /** Called with the name in SQL of each table that was dropped before it could be locked, and so is not in it. */
  readonly onVanished?: (name: string) => void
}

/** How often a snapshot is taken that shows a table which has changed since. */
const mostTries = 10

/**
 * Locks the tables, and begins a transaction in the session that exports what it sees. Until it ends, what is seen
 * can be read as it was then. Time limits of the role or the database are off in it: a limit for idle transactions
 * would end the backup midway.
 *
 * The locks come first. A snapshot taken while somebody truncates a table, or rewrites it, shows it empty once
 * that is done: pg_dump takes its snapshot before its locks, and would store the table so. A table that is made after the
 * locks and gone again is in the snapshot, and can't be read: then another one is taken, a few times.
 */
export async function openSnapshot(session: Session, options: SnapshotOptions): Promise<Snapshot> {
  const vanished = new Set<string>()
  for (let tries = 1; ; tries++)
    try {
      const snapshot = await takeSnapshot(session, options, vanished)
      for (const name of vanished) options.onVanished?.(name)
      return snapshot
    } catch (error) {
      if (!(error instanceof ChangedTableError) || tries === mostTries) throw error
      await session.execute("ROLLBACK")
    }
}

/** Adds to `vanished` what it could not lock any more. */
async function takeSnapshot(
  session: Session,
  options: SnapshotOptions,
  vanished: Set<string>,
): Promise<Snapshot> {
  const { patterns = noPatterns } = options
  await begin(session, options)
  const names = await readTableNames(session, await chooseTables(session, patterns))
  await session.execute("ROLLBACK")
  await begin(session, options)
  for (const name of await lockTablesThere(session, names)) vanished.add(name)
  const lsn = await currentLsn(session)
  const rows = await session.query(
    `SELECT pg_export_snapshot() AS id,
            to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS time`,
  )
  const [{ id, time }] = z.tuple([z.object({ id: z.string(), time: z.iso.datetime() })]).parse(rows)
  const chosen = await chooseTables(session, patterns)
  const locked = new Set(names)
  await lockTables(
    session,
    (await readTableNames(session, chosen)).filter((name) => !locked.has(name)),
  )
  await refuseChangedTables(session, chosen)
  return { id, time, lsn, chosen }
}

async function begin(session: Session, { lockWaitSeconds }: SnapshotOptions): Promise<void> {
  await session.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
  const settings = {
    search_path: "''",
    ...noTimeLimits(session.serverMajor),
    lock_timeout: `'${lockWaitSeconds}s'`,
  }
  for (const [name, value] of Object.entries(settings)) await session.execute(`SET LOCAL ${name} = ${value}`)
}

/** Some services refuse to say, or do not have it. */
async function currentLsn(session: Session): Promise<string | null> {
  await session.execute("SAVEPOINT lsn")
  try {
    const rows = await session.query(
      `SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn`,
    )
    return z.tuple([z.object({ lsn: z.string().nullable() })]).parse(rows)[0].lsn
  } catch (error) {
    if (!(error instanceof QueryError)) throw error
    return null
  } finally {
    // A snapshot can't be exported from within a savepoint.
    await session.execute("ROLLBACK TO SAVEPOINT lsn")
    await session.execute("RELEASE SAVEPOINT lsn")
  }
}
