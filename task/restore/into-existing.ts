import { withStatements } from "../archive/added-statements.ts"
import { relateEntries } from "../archive/archive.ts"
import { inOneStream } from "../archive/late-rows.ts"
import type { RestorePlan } from "../archive/plan-restore.ts"
import { copiesInto, rootsByText, withCopiesInto } from "../archive/rows-by-root.ts"
import { schemasFor, withSearchPath } from "../archive/search-path.ts"
import { joinedArchive, tablesAmong } from "../archive/table-data.ts"
import { describeBackup } from "../catalog/describe-backup.ts"
import { formatBytes, formatCount, formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import type { ManifestObject } from "../core/manifest.ts"
import { PgstowError } from "../errors.ts"
import { describe, withDatabase } from "../postgres/connection.ts"
import { type RestoreOutcome, restoreMain } from "../postgres/pg-restore.ts"
import { type Contents, describeContents } from "../postgres/target-database.ts"
import { decompress } from "../streams/decompress.ts"
import { detachSubscriptions } from "./detach-subscriptions.ts"
import { endProtocols, extensionStatements, extensionsTaking } from "./extension-protocols.ts"
import { findLostOperators } from "./find-lost-operators.ts"
import {
  analyze,
  findDamage,
  type MeasuredJob,
  type RestoreEnd,
  type RestoreJob,
  restoringInto,
} from "./job.ts"
import { keepAmounts } from "./keep-amounts.ts"
import { keepSettings } from "./keep-settings.ts"
import type { Questions } from "./options.ts"
import { followSteps } from "./pace.ts"

/**
 * Restores into a database that exists, in one transaction: all of it or nothing. Before that the backup is
 * verified, and where the database holds anything, its user is shown what that is and has to say yes.
 */
export async function restoreIntoExisting(
  job: MeasuredJob,
  plan: RestorePlan,
  context: Context,
): Promise<RestoreEnd> {
  const { name, target } = job
  const damage = await findDamage(job, context)
  if (damage) throw damage
  context.progress.clear()
  const title = describeBackup(job.manifest, job.manifest, context.now())
  await askFirst({ ...job, title }, await describeContents(await target.inside(name)))
  const kept = await keepAmounts(job, name, { isNew: false })
  const set = await keepSettings(kept.job, name, { isNew: false })
  await target.leave()
  const statements = extensionStatements(plan, { isNew: false, taking: extensionsTaking(job, plan) })
  const outcome = await restoreAtOnce(set.job, plan, statements.after, context)
  const warnings = [...set.warnings, ...outcome.warnings]
  if (outcome.state !== "ok") {
    // Their workers do not stand still with the transaction.
    await endProtocols(target, name, statements).catch((error: unknown) => {
      if (!(error instanceof PgstowError)) throw error
      warnings.push([error.message, error.hint].join(". "))
    })
    return { plan, into: name, state: "unchanged", outcome, warnings }
  }
  warnings.push(...(await findLostOperators(job, plan, name)))
  warnings.push(...(await detachSubscriptions(target, plan, name)))
  warnings.push(...(await analyze(job, plan, name, context)))
  await endProtocols(target, name, statements)
  return { plan, into: name, state: "restored", outcome, warnings }
}

/** Restores the planned entries in one transaction, and so in one stream, with the rows of segments put in. */
async function restoreAtOnce(
  job: MeasuredJob,
  plan: RestorePlan,
  statements: ReadonlyMap<number, string>,
  context: Context,
): Promise<RestoreOutcome> {
  const { manifest, main, joined, name, zstd, options, pace } = job
  const { open, show, ...restoring } = restoringInto(job, name, context, context.signal)
  const openRaw = (object: ManifestObject) =>
    decompress(open(object), `${manifest.id} ${object.name}`, object.rawBytes)
  const { entries, sources } = inOneStream(plan.entries, tablesAmong(plan.entries, joined))
  // One stream has one search_path.
  const schemas = schemasFor(entries, manifest.operatorPaths ?? [])
  const byPath = schemas.length > 0 ? withSearchPath(joined.head, schemas) : joined.head
  const archive = relateEntries(plan.entries)
  const copies = copiesInto(archive, rootsByText(archive))
  const head = withStatements(copies.size > 0 ? withCopiesInto(byPath, copies) : byPath, statements)
  const given = { ...joined, head }
  const compressed = sources.length === 1 && head === joined.head
  const stream = compressed ? open(main) : joinedArchive(() => openRaw(main), given, sources, openRaw)
  const follower = followSteps(pace, entries)
  return restoreMain(stream, {
    ...restoring,
    compressed,
    mostBytes: main.rawBytes,
    zstd,
    name: `${manifest.id} ${main.name}`,
    entries,
    partial: options.selection !== undefined || sources.lastIndexOf("archive") > 0,
    mode: options.clean ? "clean" : "rollBack",
    onStep: (step) => show(step.stage, follower.step(step)),
  })
}

/** Shows what is there, and goes on only when the database's name has been typed. */
export async function askFirst(
  {
    name,
    connection,
    options,
    title,
  }: Pick<RestoreJob, "name" | "connection"> & {
    readonly options: Questions & { readonly clean: boolean }
    /** What is to be restored. */
    readonly title: string
  },
  contents: Contents,
): Promise<void> {
  const isEmpty = contents.tables === 0 && contents.largeObjects === 0
  if (isEmpty || options.yes) return
  const what = `${formatCount(contents.tables, "table")}, ${formatBytes(contents.sizeBytes)}`
  const where = formatName(describe(withDatabase(connection, name)))
  if (!options.ask)
    throw new PgstowError("notConfirmed", `${where} exists (${what}), and nobody is here to say yes`, {
      hint: "Say --yes, or leave --into out to restore into a new database.",
    })
  const answer = await options.ask(
    [
      `${where} exists: ${what}${contents.largeObjects > 0 ? `, ${formatCount(contents.largeObjects, "large object")}` : ""}.`,
      ...contents.biggest.map((table) => `  ${formatName(table.name)}  ${formatBytes(table.sizeBytes)}`),
      `To be restored there: ${formatName(title)}.`,
      options.clean
        ? `Everything that is in the backup is dropped there and restored. The rest stays.`
        : "Nothing is dropped there. Where something that is restored exists already, nothing is changed at all.",
      "Type the database's name to go on: ",
    ].join("\n"),
  )
  if (answer?.trim() === name) return
  throw new PgstowError("notConfirmed", `nothing was restored into ${where}: its name was not typed`, {
    hint: "Leave --into out to restore into a new database.",
  })
}
