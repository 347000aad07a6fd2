import { planRestore, type RestorePlan } from "../archive/plan-restore.ts"
import { formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import { incompleteName } from "../core/restored-name.ts"
import { PgstowError } from "../errors.ts"
import { QueryError } from "../postgres/conversation.ts"
import { createDatabase } from "../postgres/create-database.ts"
import { propertyStatements } from "../postgres/database-properties.ts"
import { classOf, type RestoreError } from "../postgres/restore-errors.ts"
import type { Session } from "../postgres/session.ts"
import { subscriptionsIn } from "../postgres/subscriptions.ts"
import { databaseExists, dropDatabase, renameDatabase } from "../postgres/target-database.ts"
import { inspectTarget } from "../postgres/target-server.ts"
import { detachSubscriptions, dropSubscriptions } from "./detach-subscriptions.ts"
import { findLostOperators } from "./find-lost-operators.ts"
import { restoreInStages } from "./in-stages.ts"
import {
  analyze,
  findDamage,
  missingExtensions,
  type Questions,
  type RestoreEnd,
  type RestoreJob,
  refuseMissingRoles,
  refuseRole,
  restoresAsSuperuser,
  withoutMissingTablespaces,
  withSession,
} from "./job.ts"
import { keepAmounts } from "./keep-amounts.ts"
import { makeNotValid } from "./make-not-valid.ts"

/**
 * Restores into a database of its own. It has another name until all has gone well: nobody mistakes it for a good
 * one. On errors it stays under that name.
 */
export async function restoreIntoNew(job: RestoreJob, context: Context): Promise<RestoreEnd> {
  const { archive, session, manifest, name, options } = job
  const target = await inspectTarget(session)
  const plan = planRestore(archive, {
    selection: options.selection,
    leaveOut: options.leaveOut,
    target: { isNew: true },
    clean: false,
    asSuperuser: restoresAsSuperuser(options, target),
  })
  refuseRole(job, target)
  refuseMissingRoles(job, plan, target)
  const lacking = missingExtensions(plan, target)
  if (lacking)
    context.log.warn(`${lacking}: what needs them will fail, unless it is left out by --skip-extension`)

  const incomplete = incompleteName(name)
  await removeLeftover(job, incomplete, context)
  const refused = await createDatabase(session, incomplete, manifest.source, {
    choice: options.locale,
    owner: typeof options.owners === "string" ? undefined : options.owners.role,
  })
  const warnings = refused.map(({ setting, reason }) => `the setting ${setting} was not taken: ${reason}`)
  try {
    const placed = withoutMissingTablespaces(job, plan, target)
    warnings.push(...placed.warnings)
    const kept = await keepAmounts(placed.job, incomplete, { isNew: true }, context).catch(
      async (error: unknown) => {
        // Nothing is in it yet.
        await dropDatabase(session, incomplete)
        throw error
      },
    )
    let outcome = await restoreInStages(kept.job, plan, incomplete, context)
    warnings.push(...kept.warnings, ...outcome.warnings)
    if (options.notValid) {
      const made = await makeNotValid(kept.job, plan, incomplete, outcome, context)
      outcome = made.outcome
      warnings.push(...made.warnings)
    }
    if (outcome.state !== "failed")
      warnings.push(...(await findLostOperators(job, plan, incomplete, context)))
    if (outcome.state !== "failed")
      warnings.push(...(await detachSubscriptions(job, plan, incomplete, context)))
    if (outcome.state === "ok" && !outcome.readToEnd) {
      const failure = await findDamage(job, context)
      if (failure) outcome = { ...outcome, state: "failed", failure }
    }
    const refusedProperties =
      outcome.state === "ok"
        ? await withSession(job, context, (session) => setProperties(session, options, plan, incomplete))
        : []
    if (refusedProperties.length > 0) outcome = { ...outcome, state: "errors", errors: refusedProperties }
    if (outcome.state !== "ok") return { plan, into: incomplete, state: "incomplete", outcome, warnings }
    warnings.push(...(await analyze(job, plan, incomplete, context)))
    const failure = await withSession(job, context, (session) => rename(session, incomplete, name))
    if (!failure) return { plan, into: name, state: "restored", outcome, warnings }
    return {
      plan,
      into: incomplete,
      state: "incomplete",
      outcome: { ...outcome, state: "failed", failure },
      warnings,
    }
  } catch (error) {
    context.log.warn(`what was restored so far is in the database ${formatName(incomplete)}: do not use it`)
    throw error
  }
}

/** What an earlier restore under this name has left goes only with its user's consent. */
export async function removeLeftover(
  job: Pick<RestoreJob, "session" | "clients" | "connection"> & { readonly options: Questions },
  incomplete: string,
  context: Pick<Context, "env" | "signal">,
): Promise<void> {
  const { session, options } = job
  if (!(await databaseExists(session, incomplete))) return
  const question = `An earlier restore has left the database ${formatName(incomplete)}. Drop it? (yes or no) `
  if (!options.yes && (await options.ask?.(question))?.trim().toLowerCase() !== "yes")
    throw new PgstowError(
      "notConfirmed",
      `an earlier restore has left the database ${formatName(incomplete)}`,
      { hint: "Say --yes to drop it, drop it yourself, or restore into another name (--into)." },
    )
  await dropSubscriptions(job, await subscriptionsIn(session, incomplete), incomplete, context)
  await dropDatabase(session, incomplete)
}

/** Gives the database, which is good now, its name, and resolves to what is in the way. */
async function rename(session: Session, incomplete: string, name: string): Promise<PgstowError | undefined> {
  try {
    // The server waits some seconds for others to go.
    await renameDatabase(session, incomplete, name)
    return undefined
  } catch (cause) {
    if (!(cause instanceof QueryError)) throw cause
    return new PgstowError(
      "postgres",
      `all was restored, but the database could not be renamed: ${cause.reason}`,
      {
        cause,
        hint: "Rename it when nothing is in the way any more.",
      },
    )
  }
}

/** Gives the new database what the old one had beside its contents, and resolves to what was refused. */
async function setProperties(
  session: Session,
  options: RestoreJob["options"],
  plan: RestorePlan,
  database: string,
): Promise<RestoreError[]> {
  const errors: RestoreError[] = []
  for (const { entry, sql } of propertyStatements(plan.entries, database, options)) {
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
