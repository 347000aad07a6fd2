import * as z from "zod"
import { formatRelationName } from "../archive/relation-name.ts"
import { identifier } from "../core/quote.ts"
import { QueryError } from "../postgres/conversation.ts"
import type { Session } from "../postgres/session.ts"
import { type Findings, ofUsers, type Restored } from "./restored.ts"
import { withSessions } from "./with-sessions.ts"

/**
 * Looks by the extension amcheck whether every B-tree index is in order, and has all rows of its table: the latter where that
 * can be otherwise for an index that was made of the rows just now, by what an expression calls, and where it costs little. It makes
 * the extension in the database: after all that looks at the definitions. A note says so where the server does not have it.
 */
export async function findLyingIndexes(restored: Restored): Promise<Findings> {
  const schema = await amcheckIn(restored.session)
  if (schema === undefined)
    return {
      problems: [],
      notes: [
        "indexes were not compared with their tables, since the server does not have the extension amcheck",
      ],
    }
  const indexes = z.array(indexRow).parse(await restored.session.query(indexQuery))
  const problems = await withSessions(restored, indexes, async (index, session) => {
    try {
      await session.execute(
        `SELECT ${identifier(schema)}.bt_index_check(${index.oid}::pg_catalog.regclass, heapallindexed => ${index.withRows})`,
      )
      return undefined
    } catch (error) {
      if (!(error instanceof QueryError)) throw error
      return {
        object: `index ${formatRelationName(index)}`,
        expected: "all rows of its table, in order",
        found: error.reason,
      }
    }
  })
  return { problems: problems.filter((problem) => problem !== undefined), notes: [] }
}

/** For the rows of a larger table it takes as long as to make the index again. */
const smallTableBytes = 32 * 1024 * 1024

const indexRow = z.object({ oid: z.int(), schema: z.string(), name: z.string(), withRows: z.boolean() })

/** The largest first, so that none is left alone at the end. */
const indexQuery = `
  SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name,
         i.indexprs IS NOT NULL OR i.indpred IS NOT NULL
           OR pg_catalog.pg_relation_size(i.indrelid) < ${smallTableBytes} AS "withRows"
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_am a ON a.oid = c.relam
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence <> 't' AND i.indisvalid AND i.indisready
     AND ${ofUsers("n.nspname")}
   ORDER BY pg_catalog.pg_relation_size(c.oid) DESC`

/** The schema that amcheck is in; it is made where it can be. */
async function amcheckIn(session: Session): Promise<string | undefined> {
  const there = z.array(z.object({ schema: z.string() })).parse(
    await session.query(
      `SELECT n.nspname AS schema FROM pg_catalog.pg_extension e
           JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'`,
    ),
  )
  if (there[0]) return there[0].schema
  const own = "pgstow_amcheck"
  try {
    await session.execute(`CREATE SCHEMA ${own}`)
    await session.execute(`CREATE EXTENSION amcheck SCHEMA ${own}`)
    return own
  } catch (error) {
    if (error instanceof QueryError) return undefined
    throw error
  }
}
