import * as z from "zod"
import { formatCount } from "../console/format.ts"
import type { Looking, Probe } from "./looking.ts"

const indexRow = z.object({
  index: z.string(),
  table: z.string(),
  columns: z.array(z.string()),
  /** Whether two rows without a value are the same. */
  nullsAreEqual: z.boolean(),
  pages: z.int(),
})

/** Of columns alone, by PostgreSQL's own operators: others would run what a user wrote. */
const indexesQuery = `
  SELECT format('%I.%I', n.nspname, i.relname) AS index, format('%I.%I', tn.nspname, t.relname) AS table,
         ARRAY(SELECT quote_ident(a.attname)
                 FROM unnest(x.indkey) WITH ORDINALITY AS nth (number, place)
                 JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = nth.number
                WHERE nth.place <= x.indnkeyatts ORDER BY nth.place) AS columns,
         coalesce((to_jsonb(x) ->> 'indnullsnotdistinct')::bool, false) AS "nullsAreEqual",
         greatest(t.relpages, 0) AS pages
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = i.relnamespace
         JOIN pg_class t ON t.oid = x.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
   WHERE x.indisunique AND x.indisvalid AND x.indexprs IS NULL AND x.indpred IS NULL
     AND t.relkind = 'r' AND t.relpersistence <> 't' AND tn.nspname !~ '^pg_' AND tn.nspname <> 'information_schema'
     AND NOT EXISTS (SELECT FROM unnest(x.indclass) AS class JOIN pg_opclass o ON o.oid = class
                      WHERE o.opcnamespace <> 'pg_catalog'::regnamespace)
     AND NOT EXISTS (SELECT FROM unnest(x.indcollation) AS used JOIN pg_collation c ON c.oid = used
                      WHERE NOT c.collisdeterministic)`

const countRow = z.object({ count: z.int() })
const countedAtMost = 1_000

/** Looks for several rows of the same key, where an index says that there is one. */
export async function uniqueProbes({ rows }: Looking): Promise<Probe[]> {
  const indexes = await rows(indexRow, indexesQuery)
  return indexes.map(({ index, table, columns, nullsAreEqual, pages }): Probe => {
    const isSet = nullsAreEqual ? "true" : columns.map((column) => `${column} IS NOT NULL`).join(" AND ")
    const same = columns
      .map((column) =>
        nullsAreEqual ? `a.${column} IS NOT DISTINCT FROM b.${column}` : `a.${column} = b.${column}`,
      )
      .join(" AND ")
    return {
      about: `unique index ${index}`,
      pages,
      find: async (looking) => {
        const [{ count } = { count: 0 }] = await looking.rows(
          countRow,
          `SELECT count(*)::int AS count FROM (
             SELECT FROM ONLY ${table} WHERE ${isSet} GROUP BY ${columns.join(", ")} HAVING count(*) > 1
              LIMIT ${countedAtMost}) AS several`,
        )
        if (count === 0) return []
        return [
          {
            check: "content.duplicates",
            severity: "warning",
            subject: table,
            what: `${formatCount(count, "key")}${count === countedAtMost ? " or more" : ""} of the unique index ${index} stand in several rows`,
            why: "The index is damaged, or sorted by another version of its collation. A restore makes it again, and is refused. Look at the rows before you choose which to keep: the statement keeps the one that comes first.",
            fix: `DELETE FROM ONLY ${table} AS a USING ${table} AS b WHERE a.ctid > b.ctid AND ${same}; REINDEX INDEX ${index};`,
          },
        ]
      },
    }
  })
}
