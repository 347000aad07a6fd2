import type { RestorePlan } from "../archive/plan-restore.ts"
import { formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import { identifier } from "../core/quote.ts"
import { withDatabase } from "../postgres/connection.ts"
import { QueryError } from "../postgres/conversation.ts"
import type { RestoreOutcome } from "../postgres/pg-restore.ts"
import type { RestoreError } from "../postgres/restore-errors.ts"
import { openSession } from "../postgres/session.ts"
import type { RestoreJob } from "./job.ts"

/**
 * Makes the foreign keys that rows violate, so that they hold for new rows. Resolves to the outcome without their
 * errors, and to what is to be run when the rows are right.
 */
export async function makeNotValid(
  { clients, connection, options: { owners } }: RestoreJob,
  plan: RestorePlan,
  database: string,
  outcome: RestoreOutcome,
  { env, signal }: Pick<Context, "env" | "signal">,
): Promise<{ readonly outcome: RestoreOutcome; readonly warnings: readonly string[] }> {
  if (outcome.state !== "errors") return { outcome, warnings: [] }
  const keyOf = (error: RestoreError) =>
    error.class === "constraint-violated"
      ? plan.entries.find(({ dumpId, kind }) => dumpId === error.dumpId && kind === "FK CONSTRAINT")
      : undefined
  if (!outcome.errors.some(keyOf)) return { outcome, warnings: [] }
  const errors: RestoreError[] = []
  const warnings: string[] = []
  const session = await openSession(clients, withDatabase(connection, database), { env, signal })
  try {
    await session.execute("SET search_path TO ''")
    if (typeof owners !== "string") await session.execute(`SET ROLE ${identifier(owners.role)}`)
    for (const error of outcome.errors) {
      const key = keyOf(error)
      const [, table, constraint] =
        /^(ALTER TABLE (?:ONLY )?\S.*?)\s+ADD CONSTRAINT ("(?:[^"]|"")+"|\S+) /s.exec(
          key?.definition ?? "",
        ) ?? []
      if (!key || table === undefined || constraint === undefined) {
        errors.push(error)
        continue
      }
      try {
        await session.execute(key.definition.replace(/;\s*$/, " NOT VALID"))
        warnings.push(
          formatName(
            `rows violate the foreign key ${constraint}, which holds for new rows alone (${error.detail?.split("\n")[0] ?? error.message}); when they are right: ${table} VALIDATE CONSTRAINT ${constraint};`,
          ),
        )
      } catch (refused) {
        if (!(refused instanceof QueryError)) throw refused
        errors.push(error)
      }
    }
  } finally {
    await session.close()
  }
  const { state: _, ...rest } = outcome
  return errors.length > 0
    ? { outcome: { ...outcome, errors }, warnings }
    : { outcome: { ...rest, state: "ok", errors, readToEnd: false }, warnings }
}
