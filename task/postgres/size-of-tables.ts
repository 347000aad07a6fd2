import * as z from "zod"
import { literal } from "../core/quote.ts"
import type { Session } from "./session.ts"

const answerSchema = z.tuple([z.object({ bytes: z.int() })])

/** How many bytes tables take up, with their indexes, large values and what is free in them, by their names in SQL. */
export async function sizeOfTables(session: Session, tables: readonly string[]): Promise<number> {
  const names = tables.map(literal).join(", ")
  const rows = await session.query(
    `SELECT coalesce(sum(pg_total_relation_size(to_regclass(name))), 0)::bigint AS bytes FROM unnest(ARRAY[${names}]::text[]) name`,
  )
  return answerSchema.parse(rows)[0].bytes
}
