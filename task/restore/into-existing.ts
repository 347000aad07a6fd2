import { inOneStream } from "../archive/late-rows.ts"
import { planRestore, type RestorePlan } from "../archive/plan-restore.ts"
import { schemasFor, withSearchPath } from "../archive/search-path.ts"
import { joinedArchive, tablesAmong } from "../archive/table-data.ts"
import { formatBytes, formatCount, formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import type { ManifestObject } from "../core/manifest.ts"
import { PgstowError } from "../errors.ts"
import { describe, withDatabase } from "../postgres/connection.ts"
import { type RestoreOutcome, restoreMain } from "../postgres/pg-restore.ts"
import { type Contents, describeContents } from "../postgres/target-database.ts"
import { inspectTarget } from "../postgres/target-server.ts"
import { decompress } from "../streams/decompress.ts"
import { detachSubscriptions } from "./detach-subscriptions.ts"
import { extensionsThere } from "./extensions-there.ts"
import { findLostOperators } from "./find-lost-operators.ts"
import {
  analyze,
  findDamage,
  type RestoreEnd,
  type RestoreJob,
  refuseMissingRoles,
  refuseRole,
  restoresAsSuperuser,
  restoringInto,
  withoutMissingTablespaces,
} from "./job.ts"
import { keepAmounts } from "./keep-amounts.ts"
import type { Questions } from "./options.ts"

/**
 * Restores into a database that exists, in one transaction: all of it or nothing. Before that the backup is
 * verified, and where the database holds anything, its user is shown what that is and has to say yes.
 */
export async function restoreIntoExisting(job: RestoreJob, context: Context): Promise<RestoreEnd> {
  const { archive, name, options, clients, target } = job
  // It sets transaction_timeout, which came with 17, and in one transaction it can't go on without.
  if (clients.major >= 17 && target.serverMajor < 17)
    throw new PgstowError(
      "postgres",
      `pg_restore ${clients.version} can't restore into PostgreSQL ${target.serverMajor} in one transaction`,
      {
        hint: "Restore into a new database (leave --into out), and rename it or take from it what you need.",
      },
    )
  const session = await target.inside(name)
  const server = await inspectTarget(session)
  const contents = await describeContents(session)
  const plan = planRestore(archive, {
    selection: options.selection,
    leaveOut: options.leaveOut,
    target: { isNew: false, extensions: server.installedExtensions },
    clean: options.clean,
    asSuperuser: restoresAsSuperuser(options, server),
  })
  refuseRole(job, server)
  refuseMissingRoles(job, plan, server)
  const extensions = extensionsThere(
    plan.extensions,
    job.manifest.source.extensions,
    server.availableExtensions,
  )
  if (extensions.missing !== undefined)
    throw new PgstowError("postgres", extensions.missing, {
      hint: "Install it there first, leave it out with what needs it (--skip-extension), or choose tables.",
    })
  for (const sentence of extensions.older)
    context.log.warn(`${sentence}: where the newer one is needed, nothing will be restored`)
  for (const sentence of extensions.newer) context.log.info(sentence)

  const damage = await findDamage(job, context)
  if (damage) throw damage
  context.progress.clear()
  await askFirst(job, contents)
  const placed = withoutMissingTablespaces(job, plan, server)
  const kept = await keepAmounts(placed.job, name, { isNew: false })
  await target.leave()
  const outcome = await restoreAtOnce(kept.job, plan, context)
  const warnings = [...placed.warnings, ...outcome.warnings]
  if (outcome.state !== "ok") return { plan, into: name, state: "unchanged", outcome, warnings }
  warnings.push(...(await findLostOperators(job, plan, name)))
  warnings.push(...(await detachSubscriptions(target, plan, name)))
  warnings.push(...(await analyze(job, plan, name, context)))
  return { plan, into: name, state: "restored", outcome, warnings }
}

/** Restores the planned entries in one transaction, and so in one stream, with the rows of segments put in. */
async function restoreAtOnce(job: RestoreJob, plan: RestorePlan, context: Context): Promise<RestoreOutcome> {
  const { manifest, main, joined, name, zstd, options } = job
  const { open, show, ...restoring } = restoringInto(job, name, context, context.signal)
  const openRaw = (object: ManifestObject) =>
    decompress(open(object), `${manifest.id} ${object.name}`, object.rawBytes)
  const { entries, sources } = inOneStream(plan.entries, tablesAmong(plan.entries, joined))
  // One stream has one search_path.
  const schemas = schemasFor(entries, manifest.operatorPaths ?? [])
  const given = schemas.length > 0 ? { ...joined, head: withSearchPath(joined.head, schemas) } : joined
  const compressed = sources.length === 1 && schemas.length === 0
  const stream = compressed ? open(main) : joinedArchive(() => openRaw(main), given, sources, openRaw)
  return restoreMain(stream, {
    ...restoring,
    compressed,
    mostBytes: main.rawBytes,
    zstd,
    name: `${manifest.id} ${main.name}`,
    entries,
    partial: options.selection !== undefined || sources.lastIndexOf("archive") > 0,
    mode: options.clean ? "clean" : "rollBack",
    onStep: ({ stage, kind, object }) => show(stage, `${kind.toLowerCase()} ${object}`),
  })
}

/** Shows what is there, and goes on only when the database's name has been typed. */
export async function askFirst(
  {
    name,
    connection,
    options,
    manifest,
  }: Pick<RestoreJob, "name" | "connection"> & {
    readonly options: Questions & { readonly clean: boolean }
    readonly manifest: { readonly id: string }
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
      options.clean
        ? `What backup ${manifest.id} holds is dropped there, and restored as it was. All else stays.`
        : "Nothing is dropped there. Where something that is restored exists already, nothing is changed at all.",
      "Type the database's name to go on: ",
    ].join("\n"),
  )
  if (answer.trim() === name) return
  throw new PgstowError("notConfirmed", `nothing was restored into ${where}: its name was not typed`, {
    hint: "Leave --into out to restore into a new database.",
  })
}
