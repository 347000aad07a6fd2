import type * as z from "zod"
import type { PgstowError } from "../errors.ts"
import { QueryError } from "../postgres/conversation.ts"
import type { Session } from "../postgres/session.ts"
import { noTimeLimits } from "../postgres/session-settings.ts"
import type { Area, Finding } from "./finding.ts"

/** A look into a database by one transaction that can't write, in which no statement takes longer than a limit. */
export type Looking = {
  readonly serverMajor: number
  /** For what reads by a session of its own: it is in the transaction, and its statements are within the limits. */
  readonly session: Session
  /** The rows of a SELECT, with nothing in the search_path but PostgreSQL's own. */
  readonly rows: <T extends z.ZodType>(row: T, sql: string) => Promise<z.output<T>[]>
}

/** What a look may take up of the server. */
export type Limits = {
  /** How long one statement may take. */
  readonly statementMs: number
  /** How long it waits for a lock; it wants none but ACCESS SHARE. */
  readonly lockMs: number
}

export const briefLimits: Limits = { statementMs: 1_000, lockMs: 300 }

/** Looks with `look` and ends the transaction. */
export async function lookInto<T>(
  session: Session,
  { statementMs, lockMs }: Limits,
  look: (looking: Looking) => Promise<T>,
): Promise<T> {
  await session.execute("BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY")
  try {
    const settings = {
      search_path: "",
      ...noTimeLimits(session.serverMajor),
      statement_timeout: `${statementMs}ms`,
      lock_timeout: `${lockMs}ms`,
    }
    for (const [name, value] of Object.entries(settings))
      await session.execute(`SET LOCAL ${name} = '${value}'`)
    return await look({
      serverMajor: session.serverMajor,
      session,
      rows: async (row, sql) => row.array().parse(await session.query(sql)),
    })
  } finally {
    // A lost session has ended it.
    await session.execute("ROLLBACK").catch(() => {})
  }
}

/** A check of a database. */
export type Check = {
  readonly area: Area
  /** Part of a sentence: "rights on tables". */
  readonly about: string
  readonly find: (looking: Looking) => Promise<readonly Finding[]>
}

/** A look through the rows of a table. */
export type Probe = {
  /** What is looked at: "foreign key orders_customer_fkey of public.orders". */
  readonly about: string
  /** How many pages it reads, or so. */
  readonly pages: number
  readonly find: (looking: Looking) => Promise<readonly Finding[]>
}

/** Carries out one check after another. One that the server refuses, or that takes too long, becomes a notice. */
export async function carryOut(
  checks: readonly Check[],
  looking: Looking,
  subject: string,
): Promise<Finding[]> {
  const found: Finding[] = []
  for (const check of checks) {
    const result = await attempt(looking, () => check.find(looking))
    if ("value" in result) found.push(...result.value)
    else found.push(notLookedAt(check, subject, result.failure))
  }
  return found
}

/** What `read` gives, or why the server refused it; the transaction goes on in both cases. */
export async function attempt<T>(
  { session }: Looking,
  read: () => Promise<T>,
): Promise<{ readonly value: T } | { readonly failure: QueryError }> {
  await session.execute("SAVEPOINT look")
  try {
    const value = await read()
    await session.execute("RELEASE SAVEPOINT look")
    return { value }
  } catch (error) {
    if (!(error instanceof QueryError)) throw error
    await session.execute("ROLLBACK TO SAVEPOINT look")
    await session.execute("RELEASE SAVEPOINT look")
    return { failure: error }
  }
}

const codes = { tooLong: "57014", locked: "55P03" }

function notLookedAt({ area, about }: Check, subject: string, failure: QueryError): Finding {
  const { sqlstate } = failure
  const isBusy = sqlstate === codes.tooLong || sqlstate === codes.locked
  return {
    check: `${area}.unknown`,
    severity: "notice",
    subject,
    what: `${about}: not known, since ${isBusy ? "the server did not answer in time" : `the server refused it: ${reasonOf(failure)}`}`,
    why: isBusy
      ? "The doctor puts no load on a server: it gives up a statement that takes longer than a moment, or waits for a lock."
      : "What is not looked at may be wrong.",
    fix: isBusy ? "pgstow doctor, at a quieter time" : "pgstow doctor, as a role that may look at it",
  }
}

function reasonOf(failure: PgstowError & { readonly reason: string }): string {
  return failure.reason.replace(/^ERROR:\s+/, "")
}
