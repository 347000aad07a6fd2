import * as z from "zod"
import { formatCount, formatDuration } from "../console/format.ts"
import { defaultJobs } from "../core/plan.ts"
import { countFreeConnections } from "../postgres/server.ts"
import { machine } from "../processes/machine.ts"
import type { Finding } from "./finding.ts"
import type { Check, Looking } from "./looking.ts"

/** What the server says of itself. */
export type Source = z.output<typeof sourceRow> & {
  /** How many more connections it takes while a backup's own session is open. */
  readonly freeConnections: number
}

const sourceRow = z.object({
  database: z.string(),
  role: z.string(),
  isInRecovery: z.boolean(),
  hasFeedback: z.boolean(),
  /** After how many milliseconds a replica cancels what stands in the way of replaying; -1 is never. */
  streamingDelayMs: z.int(),
  tables: z.int(),
  /** How many locks there is room for. */
  lockCapacity: z.int(),
  locksPerTransaction: z.int(),
})

const sourceQuery = `
  SELECT current_database() AS database, quote_ident(current_user) AS role, pg_is_in_recovery() AS "isInRecovery",
         current_setting('hot_standby_feedback') = 'on' AS "hasFeedback",
         (SELECT setting::int FROM pg_settings WHERE name = 'max_standby_streaming_delay') AS "streamingDelayMs",
         (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
             AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema') AS tables,
         current_setting('max_locks_per_transaction')::int AS "locksPerTransaction",
         current_setting('max_locks_per_transaction')::int
           * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int
              + current_setting('autovacuum_max_workers')::int + current_setting('max_worker_processes')::int
              + current_setting('max_wal_senders')::int + 1) AS "lockCapacity"`

/** Checks of the server, for a backup by so many streams. */
export function sourceChecks(jobs: number | "auto"): readonly Check[] {
  return [
    {
      area: "source",
      about: "the server's settings",
      find: async (looking) => sourceFindings(await readSource(looking), jobs),
    },
  ]
}

async function readSource({ rows, session }: Looking): Promise<Source> {
  const [source] = await rows(sourceRow, sourceQuery)
  if (source === undefined) throw new TypeError("a SELECT without FROM has one row")
  return { ...source, freeConnections: await countFreeConnections(session) }
}

export function sourceFindings(source: Source, jobs: number | "auto"): Finding[] {
  return [...replicaFindings(source), ...connectionFindings(source, jobs), ...lockFindings(source)]
}

/**
 * A replica cancels what reads rows that the primary has cleaned up, or tables that it has changed.
 * PostgreSQL documentation, 26.4.2.
 */
function replicaFindings({ database, isInRecovery, hasFeedback, streamingDelayMs }: Source): Finding[] {
  if (!isInRecovery || hasFeedback || streamingDelayMs === -1) return []
  return [
    {
      check: "source.replica",
      severity: "warning",
      subject: database,
      what: `the server is a replica that cancels what stands in the way of replaying for more than ${formatDuration(streamingDelayMs / 1000)}`,
      why: "A backup reads for as long as it takes, and what it reads is cleaned up on the primary meanwhile: the replica then cancels it. With max_standby_streaming_delay = -1 it waits instead, and lags behind as long.",
      fix: "ALTER SYSTEM SET hot_standby_feedback = on; SELECT pg_reload_conf();",
    },
  ]
}

function connectionFindings({ database, role, freeConnections }: Source, jobs: number | "auto"): Finding[] {
  const wanted = jobs === "auto" ? defaultJobs({ ...machine(), freeConnections }) : jobs
  if (freeConnections >= wanted) return []
  return [
    {
      check: "source.connections",
      severity: "error",
      subject: database,
      what: `the server takes ${formatCount(Math.max(0, freeConnections), "more connection")}, and ${formatCount(wanted, "stream")} need one each`,
      why: "A backup has one session of its own and one for each stream, and ends where the server refuses one of them. The limit is the server's, the database's or the role's.",
      fix:
        freeConnections >= 1
          ? `PGSTOW_JOBS=${freeConnections}`
          : `ALTER ROLE ${role} CONNECTION LIMIT ${wanted + 1}; -- or close other sessions`,
    },
  ]
}

/** Of the room for locks, other sessions need some. */
const mostOfLocks = 0.9
/** Shared memory that nothing else takes makes more room, but not twice as much. */
const surelyTooMany = 2

/** As PostgreSQL computes the size of its lock table: src/backend/storage/lmgr/lock.c, NLOCKENTS. */
function lockFindings({ database, tables, lockCapacity, locksPerTransaction }: Source): Finding[] {
  if (tables <= lockCapacity * mostOfLocks) return []
  const wanted = Math.ceil((locksPerTransaction * tables) / (lockCapacity * mostOfLocks) / 64) * 64
  return [
    {
      check: "source.locks",
      severity: tables > lockCapacity * surelyTooMany ? "error" : "warning",
      subject: database,
      what: `the database has ${formatCount(tables, "table")}, and the server has room for ${lockCapacity} locks`,
      why: 'A backup locks every table, so that none is dropped or changed under it, and ends with "out of shared memory" where there is no room. The server must be restarted for the new value.',
      fix: `ALTER SYSTEM SET max_locks_per_transaction = ${wanted};`,
    },
  ]
}
