import * as z from "zod"
import { allTables, type ChosenTables } from "./chosen-tables.ts"
import type { Session } from "./session.ts"

export type TableRows = { readonly table: string; readonly rows: number }

/** So many tables at most, so that a manifest stays small. */
const mostTables = 500

/**
 * How many rows the tables with the most have, as the server's statistics guess, without reading any: its counters
 * where they have counted anything, otherwise what VACUUM or ANALYZE last saw.
 */
export async function readTableRows(
  session: Session,
  { hasRows }: ChosenTables = allTables,
): Promise<TableRows[]> {
  return z.array(z.object({ table: z.string(), rows: z.int() })).parse(
    await session.query(`
      SELECT pg_catalog.format('%I.%I', s.schemaname, s.relname) AS table,
             CASE WHEN s.n_tup_ins + s.n_tup_upd + s.n_tup_del > 0 THEN s.n_live_tup
                  ELSE c.reltuples::bigint END AS rows
        FROM pg_catalog.pg_stat_user_tables s JOIN pg_catalog.pg_class c ON c.oid = s.relid
       WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND ${hasRows}
         AND (s.n_tup_ins + s.n_tup_upd + s.n_tup_del > 0 OR c.reltuples >= 0)
       ORDER BY 2 DESC, 1 LIMIT ${mostTables}`),
  )
}
