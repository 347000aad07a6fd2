import type { RestorePlan } from "../archive/plan-restore.ts"
import { formatName } from "../console/format.ts"
import { identifier } from "../core/quote.ts"
import { QueryError } from "../postgres/conversation.ts"
import { inTransaction } from "../postgres/in-transaction.ts"
import type { RestoreOutcome } from "../postgres/pg-restore.ts"
import type { RestoreError } from "../postgres/restore-errors.ts"
import type { RestoreJob } from "./job.ts"

/**
 * Makes the foreign keys that rows violate, so that they hold for new rows. Resolves to the outcome without their
 * errors, and to what is to be run when the rows are right.
 */
export async function makeNotValid(
  { target, options: { owners } }: RestoreJob,
  plan: RestorePlan,
  database: string,
  outcome: RestoreOutcome,
): Promise<{ readonly outcome: RestoreOutcome; readonly warnings: readonly string[] }> {
  if (outcome.state !== "errors") return { outcome, warnings: [] }
  const keyOf = (error: RestoreError) =>
    error.class === "constraint-violated"
      ? plan.entries.find(({ dumpId, kind }) => dumpId === error.dumpId && kind === "FK CONSTRAINT")
      : undefined
  if (!outcome.errors.some(keyOf)) return { outcome, warnings: [] }
  const errors: RestoreError[] = []
  const warnings: string[] = []
  const session = await target.inside(database)
  const make = (definition: string) =>
    inTransaction(session, async () => {
      await session.execute("SET LOCAL search_path TO ''")
      if (typeof owners !== "string") await session.execute(`SET LOCAL ROLE ${identifier(owners.role)}`)
      await session.execute(definition.replace(/;\s*$/, " NOT VALID"))
    })
  for (const error of outcome.errors) {
    const key = keyOf(error)
    const [, table, constraint] =
      /^(ALTER TABLE (?:ONLY )?\S.*?)\s+ADD CONSTRAINT ("(?:[^"]|"")+"|\S+) /s.exec(key?.definition ?? "") ??
      []
    if (!key || table === undefined || constraint === undefined) {
      errors.push(error)
      continue
    }
    try {
      await make(key.definition)
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
  const { state: _, ...rest } = outcome
  return errors.length > 0
    ? { outcome: { ...outcome, errors }, warnings }
    : { outcome: { ...rest, state: "ok", errors, readToEnd: false }, warnings }
}
