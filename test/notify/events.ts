import type { PgstowEvent } from "../../task/notify/events.ts"

export const succeeded = {
  type: "Backup Succeeded",
  database: "orders",
  id: "20260102T030000Z-k3v9x2ab",
  storages: ["file:///var/backups", "s3://bucket/pgstow"],
  storedBytes: 213_000_000,
  rawBytes: 851_000_000,
  seconds: 95,
  lastStoredBytes: 207_000_000,
} as const satisfies PgstowEvent

export const failed = {
  type: "Backup Failed",
  database: "orders",
  error: "pg_dump exited with 1",
  hint: "Grant the role SELECT on the table.",
  output: [
    "pg_dump: error: query failed: ERROR:  permission denied for table invoices",
    "pg_dump: detail: Query was: LOCK TABLE public.invoices IN ACCESS SHARE MODE",
  ],
} as const satisfies PgstowEvent

const verified = {
  database: "orders",
  id: succeeded.id,
  storage: "s3://bucket/pgstow",
  bytes: 213_000_000,
  seconds: 3,
}

/** One of each. */
export const events: readonly PgstowEvent[] = [
  { type: "Backup Started", database: "orders" },
  succeeded,
  { ...succeeded, warnings: ["It shrank by half."] },
  { type: "Backup Skipped", database: "orders", running: "task/42" },
  failed,
  { type: "Verification Succeeded", ...verified },
  {
    type: "Verification Failed",
    database: "orders",
    id: succeeded.id,
    error: "main.dump.zst.age is damaged",
  },
  { type: "Restore Succeeded", database: "orders", id: succeeded.id, into: "orders_restored", seconds: 12 },
  { type: "Restore Failed", database: "orders", error: "the server is full" },
  {
    type: "Drill Succeeded",
    database: "orders",
    id: succeeded.id,
    storage: "s3://bucket/pgstow",
    restoreSeconds: 61,
    seconds: 75,
  },
  { type: "Drill Failed", database: "orders", id: succeeded.id, error: "a view means something else" },
  { type: "Cleanup Succeeded", database: "orders", removed: [succeeded.id], freedBytes: 213_000_000 },
  { type: "Cleanup Failed", database: "orders", error: "s3://bucket is not reached" },
]
