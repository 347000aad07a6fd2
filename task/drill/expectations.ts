import { readFile } from "node:fs/promises"
import { isDeepStrictEqual } from "node:util"
import * as z from "zod"
import type { Problem } from "../core/check.ts"
import { type Expectation, expectationsSchema } from "../core/expectation.ts"
import { makeReadable, PgstowError } from "../errors.ts"
import { newestClients } from "../postgres/clients.ts"
import { childEnv, conninfo, withSettings } from "../postgres/connection.ts"
import { outputOf } from "../processes/child.ts"
import { ChildError } from "../processes/child-error.ts"
import type { Findings, Restored } from "./restored.ts"

/** Reads a file of expectations. Throws a PgstowError of kind "usage" that says what is wrong with it. */
export async function readExpectations(file: string): Promise<Expectation[]> {
  const name = `the file of expectations ${file}`
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw new PgstowError("usage", `${name} can't be read`, { cause, hint: makeReadable })
  })
  return parseExpectations(text, name)
}

/**
 * Parses expectations, a JSON array. Throws a PgstowError of kind "usage" that says what is wrong.
 *
 * @param name what to call the text in errors
 */
export function parseExpectations(text: string, name: string): Expectation[] {
  const wrong = (what: string) =>
    new PgstowError("usage", `${name} ${what}`, {
      hint: 'It is a JSON array like [{ "sql": "SELECT count(*) > 0 FROM orders" }, { "sql": "SELECT min(id) FROM orders", "expect": 1 }].',
    })
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw wrong(`is not JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
  const parsed = expectationsSchema.safeParse(json)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const [place, ...path] = issue?.path ?? []
  const where =
    typeof place === "number" ? `query ${place + 1}${path.map((key) => `, ${String(key)}`).join("")}: ` : ""
  throw wrong(`is not right: ${where}${issue?.message ?? "it is no array"}`)
}

/** Asks each query in a transaction that can write nothing, and compares what it gives. */
export async function compareExpectations(
  { clients, connection, context: { env, signal } }: Pick<Restored, "clients" | "connection" | "context">,
  expectations: readonly Expectation[],
): Promise<Findings> {
  const reading = withSettings(connection, { default_transaction_read_only: "on" })
  const { psql } = newestClients(clients)
  const problems: Problem[] = []
  for (const { name, sql, expect } of expectations) {
    const query = sql.trim().replace(/;$/, "")
    const wrapped = `SELECT coalesce(pg_catalog.json_agg(pgstow_row), '[]') FROM (\n${query}\n) AS pgstow_row`
    // As an argument it is one statement: psql obeys no command in it, and asks for no end of a quote.
    const args = ["-XAtqw", "-v", "ON_ERROR_STOP=1", "-d", conninfo(reading), "-c", wrapped]
    const object = `expectation ${name ?? shortened(query)}`
    const wanted = shortened(JSON.stringify(expect))
    try {
      const answer = await outputOf({ ...psql, args, env: childEnv(reading, env) }, signal)
      const rows = z.array(z.record(z.string(), z.json())).parse(JSON.parse(answer))
      const found = Array.isArray(expect) ? rows : single(rows)
      if (!isDeepStrictEqual(found, expect))
        problems.push({ object, expected: wanted, found: shortened(JSON.stringify(found)) })
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof ChildError) || error.exitStatus !== failedStatement) throw error
      problems.push({ object, expected: wanted, found: error.stderr.trim().split("\n")[0] ?? error.message })
    }
  }
  return { problems, notes: [] }
}

/** psql's exit code where the server refused the statement. */
const failedStatement = 1

/** The one value of the one row; all rows where there is not one, or it has more. */
function single(rows: readonly Record<string, z.core.util.JSONType>[]): z.core.util.JSONType {
  const [row, ...others] = rows
  const values = row === undefined || others.length > 0 ? [] : Object.values(row)
  const [value] = values
  return values.length === 1 && value !== undefined ? value : [...rows]
}

function shortened(text: string): string {
  const line = text.replaceAll(/\s+/g, " ")
  return line.length > 200 ? `${line.slice(0, 200)}…` : line
}
