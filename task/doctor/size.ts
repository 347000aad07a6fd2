import * as z from "zod"
import { attempt, type Looking } from "./looking.ts"

/** How large a database is, as far as that can be said within a moment. */
export type Size = {
  readonly serverVersion: string
  /** With indexes, and what is free in files. */
  readonly databaseBytes: number | null
  readonly tables: number
  /** With what is stored out of line, without indexes; the largest first. */
  readonly largestTables: readonly { readonly table: string; readonly bytes: number }[]
  /** Where the server keeps its files; null where the role may not know. */
  readonly dataDirectory: string | null
}

const largest = 5

const knownRow = z.object({
  serverVersion: z.string(),
  tables: z.int(),
  dataDirectory: z.string().nullable(),
})
const bytesRow = z.object({ bytes: z.int() })
const tableRow = z.object({ table: z.string(), bytes: z.int() })

const tables = `
  pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`

/** Waits for the lock of each table: one that is being changed makes it give up. One that is gone has no size. */
const measuredQuery = `
  SELECT format('%I.%I', n.nspname, c.relname) AS table, coalesce(pg_table_size(c.oid), 0) AS bytes
    FROM ${tables} ORDER BY 2 DESC LIMIT ${largest}`

/** By what VACUUM and ANALYZE saw last. */
const estimatedQuery = `
  SELECT format('%I.%I', n.nspname, c.relname) AS table,
         ((greatest(c.relpages, 0) + coalesce((SELECT greatest(t.relpages, 0) FROM pg_class t WHERE t.oid = c.reltoastrelid), 0))
          * current_setting('block_size')::bigint) AS bytes
    FROM ${tables} ORDER BY 2 DESC LIMIT ${largest}`

export async function readSize(looking: Looking): Promise<Size> {
  const { rows } = looking
  const [known] = await rows(
    knownRow,
    `SELECT split_part(current_setting('server_version'), ' ', 1) AS "serverVersion",
            (SELECT count(*) FROM ${tables}) AS tables,
            (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS "dataDirectory"`,
  )
  if (known === undefined) throw new TypeError("a SELECT without FROM has one row")
  const bytes = await attempt(looking, () =>
    rows(bytesRow, "SELECT pg_database_size(current_database()) AS bytes"),
  )
  const measured = await attempt(looking, () => rows(tableRow, measuredQuery))
  const found = "value" in measured ? measured.value : await rows(tableRow, estimatedQuery)
  return {
    ...known,
    databaseBytes: "value" in bytes ? (bytes.value[0]?.bytes ?? null) : null,
    largestTables: found.filter((one) => one.bytes > 0),
  }
}
