import type { RestorePlan } from "../archive/plan-restore.ts"
import { formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import { incompleteName } from "../core/restored-name.ts"
import { PgstowError } from "../errors.ts"
import { withDatabase } from "../postgres/connection.ts"
import { QueryError } from "../postgres/conversation.ts"
import { createDatabase, type OriginalDatabase, type RefusedSetting } from "../postgres/create-database.ts"
import { propertyStatements } from "../postgres/database-properties.ts"
import { inTransaction } from "../postgres/in-transaction.ts"
import { classOf, type RestoreError } from "../postgres/restore-errors.ts"
import { subscriptionsIn } from "../postgres/subscriptions.ts"
import type { Target } from "../postgres/target.ts"
import {
  databaseExists,
  dropDatabase,
  type Made,
  madeAs,
  NotThatDatabaseError,
  renameMade,
} from "../postgres/target-database.ts"
import { detachSubscriptions, dropSubscriptions } from "./detach-subscriptions.ts"
import { endProtocols, extensionStatements } from "./extension-protocols.ts"
import { findLostOperators } from "./find-lost-operators.ts"
import { restoreInStages } from "./in-stages.ts"
import { analyze, findDamage, type MeasuredJob, type RestoreEnd, type RestoreJob } from "./job.ts"
import { keepAmounts } from "./keep-amounts.ts"
import { keepSettings } from "./keep-settings.ts"
import { makeMissingSchemas } from "./make-missing-schemas.ts"
import { makeNotValid } from "./make-not-valid.ts"
import { type Leaves, tellingLeft } from "./name-what-is-left.ts"
import type { Questions } from "./options.ts"
import { dropOutgoing, isConsent, takeNameOf } from "./replace.ts"
import { runFile } from "./run-file.ts"

/**
 * Restores into a database of its own. It has another name until all has gone well: nobody mistakes it for a good
 * one. On errors it stays under that name, and what this rejects with names it.
 */
export async function restoreIntoNew(
  job: MeasuredJob,
  plan: RestorePlan,
  context: Context,
): Promise<RestoreEnd> {
  const statements = extensionStatements(plan, { isNew: true })
  return tellingLeft(context.signal, async (leaves) => {
    const end = await fillAndRename(job, plan, statements.after, context, leaves)
    // Only now: the workers that it starts would be in the way of the rename.
    try {
      await endProtocols(job.target, end.into, statements)
      return end
    } catch (error) {
      if (end.state === "restored" || !(error instanceof PgstowError)) throw error
      return { ...end, warnings: [...end.warnings, [error.message, error.hint].join(". ")] }
    }
  })
}

async function fillAndRename(
  job: MeasuredJob,
  plan: RestorePlan,
  statements: ReadonlyMap<number, string>,
  context: Context,
  leaves: Leaves,
): Promise<RestoreEnd> {
  const { target, manifest, name, options } = job
  const incomplete = incompleteName(name)
  // What is in the way of the name in the end is to be known before hours of work.
  if (options.replace) await dropOutgoing(await target.outside(), name)
  await removeLeftover(target, incomplete, options)
  const { made, refused } = await makeDatabase(target, incomplete, manifest.source, leaves, {
    choice: options.locale,
    owner: typeof options.owners === "string" ? undefined : options.owners.role,
  })
  const filled = await fill(job, plan, statements, incomplete, context, leaves)
  const warnings = [
    ...refused.map(({ setting, reason }) => `the setting ${setting} was not taken: ${reason}`),
    ...filled.warnings,
  ]
  const { outcome } = filled
  if (outcome.state !== "ok") return { plan, into: incomplete, state: "incomplete", outcome, warnings }
  const { warnings: said, failure: refusal } = await runOwn(job, incomplete, context)
  warnings.push(...said)
  if (refusal) {
    const failed = { ...outcome, state: "failed", failure: refusal } as const
    return { plan, into: incomplete, state: "incomplete", outcome: failed, warnings }
  }
  warnings.push(...(await analyze(job, plan, incomplete, context)))
  leaves({ database: incomplete, holds: "all" })
  const { failure, warnings: left } = await giveName(job, made, leaves)
  warnings.push(...left)
  if (!failure) {
    leaves({ database: name, holds: "all" })
    return { plan, into: name, state: "restored", outcome, warnings }
  }
  return {
    plan,
    into: incomplete,
    state: "incomplete",
    outcome: { ...outcome, state: "failed", failure },
    warnings,
  }
}

/** Runs the user's own file, where there is one, and resolves to what was wrong with it. */
async function runOwn(
  { options, clients, target }: MeasuredJob,
  database: string,
  { env, signal, log, progress }: Context,
): Promise<{ readonly warnings: readonly string[]; readonly failure?: PgstowError }> {
  const { run } = options
  if (!run) return { warnings: [] }
  const title = `running ${formatName(run.file)} in ${formatName(database)}`
  log.info(title)
  progress.update({ stage: title, doneBytes: 0 })
  try {
    const there = withDatabase(target.connection, database)
    return { warnings: await runFile(run, { psql: clients.psql, connection: there, env, signal }) }
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof PgstowError)) throw error
    return { warnings: [], failure: error }
  }
}

/** As createDatabase, and says that the database is there, and which one it is. */
export async function makeDatabase(
  target: Target,
  name: string,
  original: OriginalDatabase,
  leaves: Leaves,
  options: Parameters<typeof createDatabase>[3],
): Promise<{ readonly made: Made; readonly refused: readonly RefusedSetting[] }> {
  const session = await target.outside()
  const refused = await createDatabase(session, name, original, options).catch((error: unknown) => {
    // The server may go on with what it was asked for.
    if (session.lost.aborted) leaves({ database: name, holds: "perhaps" })
    throw error
  })
  leaves({ database: name, holds: "part" })
  return { made: await madeAs(await target.outside(), name), refused }
}

/** Drops a database that nobody needs, and resolves to whether it is gone. */
export async function tryDropping(target: Target, database: string): Promise<boolean> {
  try {
    await dropDatabase(await target.outside(), database)
    return true
  } catch {
    // What it is dropped for is what failed.
    return false
  }
}

/** Restores all that is planned into the database, which is new and empty, and looks whether it is what it was. */
async function fill(
  job: MeasuredJob,
  plan: RestorePlan,
  statements: ReadonlyMap<number, string>,
  database: string,
  context: Context,
  leaves: Leaves,
): Promise<Pick<RestoreEnd, "outcome" | "warnings">> {
  const { target, options } = job
  const kept = await keepAmounts(job, database, { isNew: true }).catch(async (error: unknown) => {
    // Nothing is in it yet.
    await target.leave()
    if (await tryDropping(target, database)) leaves(undefined)
    throw error
  })
  const schemas = job.manifest.partial
    ? await makeMissingSchemas(await target.inside(database), job.manifest, plan.entries)
    : []
  const set = await keepSettings(kept.job, database, { isNew: true })
  await target.leave()
  const loaded = await restoreInStages(set.job, plan, database, context, statements)
  const made = options.notValid
    ? await makeNotValid(job, plan, database, loaded)
    : { outcome: loaded, warnings: [] }
  const { outcome } = made
  const bare = schemas.map(formatName).join(", ")
  const notices =
    schemas.length === 0
      ? []
      : [`the backup has tables of schemas, and not these: made, without their owners and grants: ${bare}`]
  const warnings = [...notices, ...kept.warnings, ...set.warnings, ...loaded.warnings, ...made.warnings]
  if (outcome.state === "failed") return { outcome, warnings }
  warnings.push(...(await findLostOperators(job, plan, database)))
  warnings.push(...(await detachSubscriptions(target, plan, database)))
  const failure = outcome.state === "ok" && !outcome.readToEnd ? await findDamage(job, context) : undefined
  if (failure) return { outcome: { ...outcome, state: "failed", failure }, warnings }
  // Also where something was refused: its user may take it as it is.
  const refused = await setProperties(target, options, plan, database)
  if (refused.length === 0) return { outcome, warnings }
  const errors = [...outcome.errors, ...refused]
  return { outcome: { state: "errors", errors, warnings: outcome.warnings }, warnings }
}

/** What an earlier restore under this name has left goes only with its user's consent. */
export async function removeLeftover(target: Target, incomplete: string, options: Questions): Promise<void> {
  if (!(await databaseExists(await target.outside(), incomplete))) return
  const question = `An earlier restore has left the database ${formatName(incomplete)}. Drop it? (yes or no) `
  if (!options.yes && (await options.ask?.(question))?.trim().toLowerCase() !== "yes")
    throw new PgstowError(
      "notConfirmed",
      `an earlier restore has left the database ${formatName(incomplete)}`,
      { hint: "Say --yes to drop it, drop it yourself, or restore into another name (--into)." },
    )
  const session = await target.outside()
  await dropSubscriptions(target, await subscriptionsIn(session, incomplete), incomplete)
  await target.leave()
  await dropDatabase(session, incomplete)
}

/** Gives the database, which is good now, its name, and resolves to what is in the way. */
async function giveName(
  { target, name, options }: MeasuredJob,
  made: Made,
  leaves: Leaves,
): Promise<{ readonly failure?: PgstowError; readonly warnings: readonly string[] }> {
  await target.leave()
  const session = await target.outside()
  try {
    if (options.replace) return { warnings: await takeNameOf(target, made, name) }
    // The server waits some seconds for others to go.
    await inTransaction(session, () => renameMade(session, made, name))
    return { warnings: [] }
  } catch (cause) {
    if (cause instanceof NotThatDatabaseError && cause.database === made.database) {
      // What is there now is for others to drop.
      leaves(undefined)
      throw cause
    }
    if (cause instanceof NotThatDatabaseError || (cause instanceof PgstowError && cause.kind === "usage"))
      return { failure: cause, warnings: [] }
    if (!(cause instanceof QueryError)) throw cause
    const failure = new PgstowError(
      "postgres",
      `all was restored, but the database could not be renamed: ${cause.reason}`,
      { cause, hint: hintOf(cause) },
    )
    return { failure, warnings: [] }
  }
}

function hintOf({ sqlstate }: QueryError): string {
  return sqlstate === "55006"
    ? "Rename it when no session and no prepared transaction (pg_prepared_xacts) is in the way any more."
    : "Rename it when nothing is in the way any more."
}

/** Gives the new database what the old one had beside its contents, and resolves to what was refused. */
async function setProperties(
  target: Target,
  options: RestoreJob["options"],
  plan: RestorePlan,
  database: string,
): Promise<RestoreError[]> {
  const session = await target.outside()
  const errors: RestoreError[] = []
  for (const { entry, sql } of propertyStatements(plan.entries, database, options)) {
    // What was said of the original, which may be a copy for others to work with, is not said of this one.
    if (isConsent(sql)) continue
    try {
      await session.execute(sql)
    } catch (error) {
      if (!(error instanceof QueryError)) throw error
      const { reason } = error
      errors.push({ class: classOf(reason, "ERROR"), message: reason, entry, detail: null, statement: sql })
    }
  }
  return errors
}
