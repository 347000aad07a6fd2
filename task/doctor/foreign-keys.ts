import * as z from "zod"
import { formatCount } from "../console/format.ts"
import type { Looking, Probe } from "./looking.ts"

const keyRow = z.object({
  key: z.string(),
  table: z.string(),
  referenced: z.string(),
  columns: z.array(z.string()),
  referencedColumns: z.array(z.string()),
  operators: z.array(z.string()),
  pages: z.int(),
})

const names = (numbers: string, relation: string) => `
  ARRAY(SELECT quote_ident(a.attname) FROM unnest(${numbers}) WITH ORDINALITY AS nth (number, place)
         JOIN pg_attribute a ON a.attrelid = ${relation} AND a.attnum = nth.number ORDER BY nth.place)`

/**
 * Those that say of themselves that all rows keep to them, by PostgreSQL's own operators. A key on a partitioned table
 * has one of the same for each of its partitions; one that refers to a partitioned table has others for its partitions,
 * which are none by themselves.
 */
const keysQuery = `
  SELECT quote_ident(k.conname) AS key, format('%I.%I', n.nspname, c.relname) AS table,
         format('%I.%I', rn.nspname, r.relname) AS referenced,
         ${names("k.conkey", "k.conrelid")} AS columns, ${names("k.confkey", "k.confrelid")} AS "referencedColumns",
         ARRAY(SELECT format('OPERATOR(pg_catalog.%s)', o.oprname)
                 FROM unnest(k.conpfeqop) WITH ORDINALITY AS e (operator, place)
                 JOIN pg_operator o ON o.oid = e.operator ORDER BY e.place) AS operators,
         greatest(c.relpages, 0) + greatest(r.relpages, 0) AS pages
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_class r ON r.oid = k.confrelid JOIN pg_namespace rn ON rn.oid = r.relnamespace
   WHERE k.contype = 'f' AND k.convalidated AND c.relkind = 'r'
     AND (k.conparentid = 0 OR EXISTS (
       SELECT FROM pg_constraint p WHERE p.oid = k.conparentid AND p.confrelid = k.confrelid))
     AND NOT EXISTS (SELECT FROM unnest(k.conpfeqop) AS e JOIN pg_operator o ON o.oid = e
                      WHERE o.oprnamespace <> 'pg_catalog'::regnamespace)`

const countRow = z.object({ count: z.int() })
const countedAtMost = 1_000

/** Looks for rows that refer to none, which a restore refuses to make the key for. */
export async function foreignKeyProbes({ rows }: Looking): Promise<Probe[]> {
  const keys = await rows(keyRow, keysQuery)
  return keys.map(({ key, table, referenced, columns, referencedColumns, operators, pages }): Probe => {
    const isSet = columns.map((column) => `a.${column} IS NOT NULL`)
    const same = columns.map(
      (column, index) => `b.${referencedColumns[index]} ${operators[index]} a.${column}`,
    )
    const orphans = `${isSet.join(" AND ")} AND NOT EXISTS (SELECT FROM ${referenced} AS b WHERE ${same.join(" AND ")})`
    return {
      about: `foreign key ${key} of ${table}`,
      pages,
      find: async (looking) => {
        const [{ count } = { count: 0 }] = await looking.rows(
          countRow,
          `SELECT count(*)::int AS count FROM (
             SELECT FROM ONLY ${table} AS a WHERE ${orphans} LIMIT ${countedAtMost}) AS orphan`,
        )
        if (count === 0) return []
        return [
          {
            check: "content.orphans",
            severity: "warning",
            subject: table,
            what: `${formatCount(count, "row")}${count === countedAtMost ? " or more" : ""} refer to none of ${referenced}, against the foreign key ${key}`,
            why: "They came in while triggers were off, or what they referred to went so. A restore can't make the key. Add the rows that are missing, or take these away: look at them first, by SELECT with the same condition.",
            fix: `DELETE FROM ONLY ${table} AS a WHERE ${orphans};`,
          },
        ]
      },
    }
  })
}
