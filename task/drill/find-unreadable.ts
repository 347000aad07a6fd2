import * as z from "zod"
import { formatRelationName } from "../archive/relation-name.ts"
import type { Problem } from "../core/check.ts"
import { QueryError } from "../postgres/conversation.ts"
import { isText } from "./names-there.ts"
import { type Findings, inSql, ofNoExtension, ofUsers, type Restored } from "./restored.ts"
import { withSessions } from "./with-sessions.ts"

/** How long one may take. A view may have to read a whole database for its first row. */
const mostSeconds = 60

const kinds = { r: "table", p: "table", v: "view", m: "materialized view" } as const

/**
 * Reads a row of every table and view, all of its columns. What takes too long, or needs another server, is a note, and
 * what belongs to extensions is left out: it may need what they have loaded.
 */
export async function findUnreadable(restored: Restored): Promise<Findings> {
  const all = z.array(relationRow).parse(await restored.session.query(relationQuery))
  const relations = all.filter(({ schema, name }) => isText(schema + name))
  const problems: Problem[] = []
  const notes: string[] = []
  await withSessions(restored, relations, async (relation, session) => {
    const what = `${kinds[relation.kind]} ${formatRelationName(relation)}`
    try {
      await session.execute(`SET statement_timeout TO '${mostSeconds}s'`)
      // Of a whole row, each column is computed.
      await session.execute(
        `SELECT pg_catalog.count(pgstow_row) FROM (SELECT * FROM ${inSql(relation)} LIMIT 1) AS pgstow_row`,
      )
    } catch (error) {
      if (!(error instanceof QueryError)) throw error
      const { sqlstate, reason } = error
      if (sqlstate === timeout) notes.push(`${what} gave no row within ${mostSeconds} s`)
      else if (/^(08|HV)/.test(sqlstate)) notes.push(`${what} needs another server: ${reason}`)
      else problems.push({ object: what, expected: "that it can be read", found: reason })
    } finally {
      await session.execute("SET statement_timeout TO 0").catch(() => {}) // The next statement says why.
    }
  })
  return { problems, notes }
}

const timeout = "57014"

const relationRow = z.object({ schema: z.string(), name: z.string(), kind: z.enum(["r", "p", "v", "m"]) })

const relationQuery = `
  SELECT n.nspname AS schema, c.relname AS name, c.relkind AS kind
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relpersistence <> 't' AND c.relispopulated
     AND ${ofUsers("n.nspname")} AND ${ofNoExtension("pg_class", "c.oid")}
   ORDER BY 1, 2`
