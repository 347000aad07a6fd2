import * as z from "zod"
import { formatRelationName } from "../archive/relation-name.ts"
import type { Problem } from "../core/check.ts"
import { QueryError } from "../postgres/conversation.ts"
import type { NamesThere } from "./names-there.ts"
import { type Findings, ofNoExtension, ofUsers, type Restored, type RestoredArchive } from "./restored.ts"
import { withSessions } from "./with-sessions.ts"

/** Compares where every sequence stands with where the dump puts it. */
export async function compareSequences(
  restored: Restored,
  { entries }: RestoredArchive,
  names: NamesThere,
): Promise<Findings> {
  const expected = entries.flatMap((entry) => {
    const [, value, called] = /setval\((?:.*), (-?\d+), (true|false)\);\s*$/s.exec(entry.definition) ?? []
    if (entry.kind !== "SEQUENCE SET" || value === undefined || names(entry) === undefined) return []
    return [{ entry, value, isCalled: called === "true" }]
  })
  const problems = await withSessions(restored, expected, async ({ entry, value, isCalled }, session) => {
    const object = `sequence ${formatRelationName(entry)}`
    const inWords = (at: string, has: boolean) => (has ? `at ${at}` : `at ${at}, which is not taken yet`)
    const wanted = inWords(value, isCalled)
    try {
      const [found] = stateRow.parse(
        await session.query(`SELECT last_value::text AS value, is_called AS "isCalled" FROM ${names(entry)}`),
      )
      if (found.value === value && found.isCalled === isCalled) return undefined
      return { object, expected: wanted, found: inWords(found.value, found.isCalled) }
    } catch (error) {
      if (!(error instanceof QueryError)) throw error
      return { object, expected: wanted, found: error.reason }
    }
  })
  return { problems: problems.filter((problem) => problem !== undefined), notes: [] }
}

const stateRow = z.tuple([z.object({ value: z.string(), isCalled: z.boolean() })])

/**
 * Compares every sequence that a column takes its values from with the largest value there. One that is behind hands out
 * what is taken. Where it stands as the dump puts it, it was so in the original, which is a note.
 *
 * @param differing what stands elsewhere than in the dump, as `compareSequences` names it
 */
export async function findSequencesBehind(
  restored: Restored,
  differing: ReadonlySet<string>,
): Promise<Findings> {
  const owned = z.array(ownedRow).parse(await restored.session.query(ownedQuery))
  const found = await withSessions(restored, owned, async (one, session) => {
    const [{ behind, value, largest }] = behindRow.parse(
      await session.query(
        `SELECT largest > value AS behind, value::text, largest::text
           FROM (SELECT s.last_value::numeric AS value,
                        (SELECT pg_catalog.max(${one.column})::numeric FROM ${one.table}) AS largest
                   FROM ${one.sequence} s) AS states`,
      ),
    )
    return behind ? [{ ...one, value, largest }] : []
  })
  const problems: Problem[] = []
  const notes: string[] = []
  for (const { schema, name, table, column, value, largest } of found.flat()) {
    const relation = formatRelationName({ schema, name })
    const object = `sequence ${relation}`
    if (differing.has(object))
      problems.push({
        object,
        expected: `at least ${largest}, the largest value in ${table}.${column}`,
        found: `at ${value}`,
      })
    else
      notes.push(
        `the sequence ${relation} is at ${value} as in the original, and ${table}.${column} goes up to ${largest}: what is inserted there may collide`,
      )
  }
  return { problems, notes }
}

const ownedRow = z.object({
  schema: z.string(),
  name: z.string(),
  sequence: z.string(),
  table: z.string(),
  column: z.string(),
})
const behindRow = z.tuple([
  z.object({ behind: z.boolean().nullable(), value: z.string(), largest: z.string().nullable() }),
])

const ownedQuery = `
  SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS sequence,
         n.nspname AS schema, c.relname AS name,
         pg_catalog.format('%I.%I', tn.nspname, t.relname) AS table,
         pg_catalog.quote_ident(a.attname) AS column
    FROM pg_catalog.pg_sequence s
    JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                               AND d.refclassid = d.classid AND d.deptype IN ('a', 'i')
    JOIN pg_catalog.pg_class t ON t.oid = d.refobjid
    JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
   WHERE s.seqincrement > 0 AND NOT s.seqcycle AND t.relkind IN ('r', 'p')
     AND a.atttypid IN ('int2'::pg_catalog.regtype, 'int4'::pg_catalog.regtype, 'int8'::pg_catalog.regtype)
     AND ${ofUsers("n.nspname")} AND ${ofNoExtension("pg_class", "c.oid")}`
