import * as z from "zod"
import { QueryError, type Session } from "./session.ts"

/** A picture of the database that stays as it is, for as long as the session that it was opened in. */
export type Snapshot = {
  /** For `pg_dump --snapshot` and SET TRANSACTION SNAPSHOT in other sessions. */
  readonly id: string
  /** When it was taken, by the server's clock: ISO 8601, UTC. */
  readonly time: string
  /** How far the write-ahead log had come; null where the server does not say. */
  readonly lsn: string | null
}

export type SnapshotOptions = {
  /** How long a statement of the session waits for a lock. */
  readonly lockTimeoutSeconds?: number
}

/**
 * Begins a transaction in the session and exports what it sees. Time limits of the role or the database are off
 * in it: a limit for idle transactions would end the backup midway.
 */
export async function openSnapshot(
  session: Session,
  { lockTimeoutSeconds = 0 }: SnapshotOptions = {},
): Promise<Snapshot> {
  await session.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
  const settings = {
    search_path: "''",
    statement_timeout: 0,
    idle_in_transaction_session_timeout: 0,
    ...(session.serverMajor >= 17 ? { transaction_timeout: 0 } : {}),
    lock_timeout: `'${lockTimeoutSeconds}s'`,
  }
  for (const [name, value] of Object.entries(settings)) await session.execute(`SET LOCAL ${name} = ${value}`)
  const lsn = await currentLsn(session)
  const rows = await session.query(
    `SELECT pg_export_snapshot() AS id,
            to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS time`,
  )
  const [{ id, time }] = z.tuple([z.object({ id: z.string(), time: z.iso.datetime() })]).parse(rows)
  return { id, time, lsn }
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
