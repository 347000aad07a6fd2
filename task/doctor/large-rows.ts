import * as z from "zod"
import { formatCount } from "../console/format.ts"
import type { Looking, Probe } from "./looking.ts"

const tableRow = z.object({
  table: z.string(),
  bytea: z.array(z.string()),
  text: z.array(z.string()),
  others: z.array(z.string()),
  pages: z.int(),
})

/** What can't hold so much, compressed, is passed over. */
const leastOutOfLineBytes = 2 * 1024 ** 2

const columns = (types: string) => `
  ARRAY(SELECT quote_ident(a.attname) FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attlen = -1 AND ${types}
         ORDER BY a.attnum)`
const isText = "a.atttypid IN ('text'::regtype, 'varchar'::regtype, 'json'::regtype)"

const tablesQuery = `
  SELECT format('%I.%I', n.nspname, c.relname) AS table,
         ${columns("a.atttypid = 'bytea'::regtype")} AS bytea, ${columns(isText)} AS text,
         ${columns(`a.atttypid <> 'bytea'::regtype AND NOT ${isText}`)} AS others,
         greatest(c.relpages, 0) AS pages
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
     AND c.reltoastrelid <> 0 AND pg_relation_size(c.reltoastrelid) >= ${leastOutOfLineBytes}`

const countRow = z.object({ count: z.int() })
const countedAtMost = 1_000

/** The server makes the text of a row in one piece of memory: MaxAllocSize in src/include/utils/memutils.h. */
const mostRowBytes = 2 ** 30 - 1

/**
 * Looks for rows whose text is too large to be copied out. Of bytea and text the length is known without reading the
 * value; of others what it takes up, which is less where it is compressed.
 */
export async function largeRowProbes({ rows }: Looking): Promise<Probe[]> {
  const tables = await rows(tableRow, tablesQuery)
  return tables.map(({ table, bytea, text, others, pages }): Probe => {
    const sizes = [
      ...bytea.map((column) => `coalesce(2 * octet_length(${column})::bigint, 0)`),
      ...text.map((column) => `coalesce(octet_length(${column})::bigint, 0)`),
      ...others.map((column) => `coalesce(pg_column_size(${column})::bigint, 0)`),
    ]
    const isTooLarge = `${sizes.join(" + ")} > ${mostRowBytes}`
    return {
      about: `large values of ${table}`,
      pages,
      find: async (looking) => {
        const [{ count } = { count: 0 }] = await looking.rows(
          countRow,
          `SELECT count(*)::int AS count FROM (SELECT FROM ONLY ${table} WHERE ${isTooLarge} LIMIT ${countedAtMost}) AS large`,
        )
        if (count === 0) return []
        return [
          {
            check: "content.large-rows",
            severity: "error",
            subject: table,
            what: `${formatCount(count, "row")}${count === countedAtMost ? " or more" : ""} are larger than 1 GiB as text, in which bytea takes twice its size`,
            why: "The server can't copy them out, so pg_dump fails on them, and every backup. Split the values over several rows, or keep them as large objects. The statement shows which rows these are.",
            fix: `SELECT ctid FROM ONLY ${table} WHERE ${isTooLarge};`,
          },
        ]
      },
    }
  })
}
