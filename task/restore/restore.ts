import { describeBackup } from "../catalog/describe-backup.ts"
import { findBackup, readCatalog, warnOfPassedOver } from "../catalog/find-backup.ts"
import { formatBytes, formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import type { Manifest, ManifestObject } from "../core/manifest.ts"
import { defaultJobs } from "../core/plan.ts"
import { restoredName } from "../core/restored-name.ts"
import { PgstowError } from "../errors.ts"
import { type Clients, chooseForRestore, findClients, newestClients } from "../postgres/clients.ts"
import { countFreeConnections } from "../postgres/server.ts"
import { sizeOfTables } from "../postgres/size-of-tables.ts"
import { takingSystemRoots } from "../postgres/system-roots.ts"
import type { Target } from "../postgres/target.ts"
import { databaseExists } from "../postgres/target-database.ts"
import { machine } from "../processes/machine.ts"
import { placeFile } from "../processes/place-file.ts"
import type { Storage } from "../storage/storage.ts"
import { findZstd } from "../streams/zstd.ts"
import { createRoles } from "./create-roles.ts"
import { rehearseImported, restoreImported } from "./from-sql.ts"
import { restoreIntoExisting } from "./into-existing.ts"
import { restoreIntoNew } from "./into-new.ts"
import { type RestoreEnd, type RestoreJob, tablesOf } from "./job.ts"
import { askOfForeseen, lookAhead } from "./look-ahead.ts"
import { namedAfter, openNamedTarget } from "./open-named-target.ts"
import type { RestoreChosenOptions, RestoreOptions } from "./options.ts"
import { openPace, paceItems } from "./pace.ts"
import { type Prospect, prospectOf } from "./prospect.ts"
import { questionsOf } from "./questions-of.ts"
import { readArchive } from "./read-archive.ts"
import { refuseToReplace } from "./replace.ts"
import { type RestoreResult, resultOf } from "./result.ts"
import { takePlace } from "./take-place.ts"
import { whatIsMissing } from "./what-is-missing.ts"

/**
 * Restores a backup, or some of it, into a new database or one that exists.
 *
 * Resolves also where PostgreSQL refused some of it, or where it failed midway: `restoreFailure` reports it.
 * Rejects where nothing was restored: also where something is foreseen to fail, unless that is wanted anyway.
 */
export async function restore(options: RestoreOptions, context: Context): Promise<RestoreResult> {
  return restoreChosen(await choose(options, context), options, context)
}

/** One copy of a backup. */
export type Copy = { readonly storage: Storage; readonly manifest: Manifest }

/** The same, of the backup that was chosen already. */
export async function restoreChosen(
  { storage, manifest }: Copy,
  options: RestoreChosenOptions,
  context: Context,
): Promise<RestoreResult> {
  const { log, now } = context
  const startedAt = now()
  const plain = manifest.objects.find(({ kind }) => kind === "plain")
  if (plain) return restoreImported(storage, manifest, plain, options, context)
  return withTarget(storage, manifest, options, context, async (job, exists) => {
    const { name, target } = job
    const asking = { ...options, ask: askingOf(manifest, options.ask, now()) }
    for (const missing of whatIsMissing(manifest)) log.warn(missing)
    const first = await lookAhead(job, { exists, createRoles: options.createRoles }, context)
    await askOfForeseen(first.foreseen, asking, context)
    log.info(`restoring ${manifest.id} of ${formatName(manifest.database)} from ${storage.url}`, {
      into: name,
      exists,
      jobs: exists ? 1 : job.jobs,
    })
    for (const difference of first.differences) log.info(difference)
    for (const lookup of first.lookups) log.warn(lookup)
    const original = options.replace
      ? name
      : options.into === undefined
        ? manifest.source.database
        : undefined
    const rename =
      original === undefined || exists ? () => [] : await takePlace(await target.outside(), original, now())
    return withRoles(job, options.createRoles, context, async (notices) => {
      const outlook = options.createRoles
        ? await lookAhead(job, { exists, createRoles: false }, context)
        : first
      if (options.createRoles && first.foreseen.length === 0)
        await askOfForeseen(outlook.foreseen, asking, context)
      const run = exists ? restoreIntoExisting : restoreIntoNew
      const items = paceItems(outlook.job, outlook.plan, !exists)
      const pace = openPace(items, exists ? 1 : job.jobs, () => performance.now() / 1000)
      const end = await run({ ...outlook.job, pace }, outlook.plan, context)
      const restoredBytes = end.state === "restored" ? await sizeOfSelection(outlook.job, end) : undefined
      const reported = {
        ...end,
        rename: options.replace && end.state === "restored" ? [] : rename(end.into),
        phases: pace.phases(),
        restoredBytes,
        warnings: [...notices, ...outlook.notes, ...outlook.lookups, ...end.warnings],
      }
      return resultOf(job, reported, (now().getTime() - startedAt.getTime()) / 1000)
    })
  })
}

/**
 * Makes the backup's roles where that is asked for, and does `work` with what there is to say of them. Where either is
 * stopped, says it now: roles stay when a database is dropped.
 */
async function withRoles<T>(
  { storage, manifest, target, options: { identities }, checkFirst }: RestoreJob,
  isAsked: boolean,
  { signal, log }: Context,
  work: (notices: readonly string[]) => Promise<T>,
): Promise<T> {
  const tell = (notices: readonly string[]) => {
    for (const notice of notices) log.warn(notice)
  }
  const notices = isAsked
    ? await createRoles(storage, manifest, await target.outside(), {
        identities,
        checkFirst,
        signal,
        onStop: tell,
      })
    : []
  try {
    return await work(notices)
  } catch (error) {
    tell(notices)
    throw error
  }
}

/** Says with each question which backup it is about. */
function askingOf(manifest: Manifest, ask: RestoreOptions["ask"], now: Date): RestoreOptions["ask"] {
  if (!ask) return undefined
  return (question) => ask(`To be restored: ${describeBackup(manifest, manifest, now)}.\n${question}`)
}

/** What the tables asked for take up, where some were and the target says so. */
async function sizeOfSelection(
  { target, options }: RestoreJob,
  { plan, into }: RestoreEnd,
): Promise<number | undefined> {
  if (options.selection === undefined) return undefined
  try {
    return await sizeOfTables(await target.inside(into), tablesOf(plan))
  } catch {
    // The restore is good without it.
    return undefined
  }
}

/** Tells what a restore would do and what of it would fail, and does none of it. Rejects as a restore that can't begin. */
export async function rehearse(options: RestoreOptions, context: Context): Promise<Prospect> {
  return rehearseChosen(await choose(options, context), options, context)
}

/** The same, of the backup that was chosen already. */
export async function rehearseChosen(
  { storage, manifest }: Copy,
  options: RestoreChosenOptions,
  context: Context,
): Promise<Prospect> {
  const plain = manifest.objects.find(({ kind }) => kind === "plain")
  if (plain) return rehearseImported(storage, manifest, plain, options, context)
  return withTarget(storage, manifest, options, context, async (job, exists) => {
    const outlook = await lookAhead(job, { exists, createRoles: options.createRoles }, context)
    const { run, replace } = options
    const then = [
      ...(run
        ? [
            `when all is there, ${formatName(run.file)} runs in it (${formatBytes(run.sql.length)}), which is not looked into`,
          ]
        : []),
      ...(replace
        ? [
            `it takes the place of ${formatName(job.name)}, if that is there: it is dropped, and its sessions ended`,
          ]
        : []),
    ]
    return prospectOf(job, outlook, { exists, questions: [...(await questionsOf(job, exists)), ...then] })
  })
}

async function choose(
  { storages, database, signedBy, backup }: RestoreOptions,
  { log }: Context,
): Promise<Copy> {
  const catalog = await readCatalog(storages, { database, signedBy, warn: log.warn })
  const { entry, passedOver } = findBackup(catalog, backup, database)
  warnOfPassedOver(passedOver, log.warn)
  return entry
}

/** Connects to the target, prepares, and hands both on, with whether the database to restore into is there. */
async function withTarget<T>(
  storage: Storage,
  manifest: Manifest,
  options: RestoreChosenOptions,
  context: Context,
  use: (job: RestoreJob, exists: boolean) => Promise<T>,
): Promise<T> {
  const { env, log, progress, signal } = context
  const after = namedAfter(manifest)
  // What is to be cleaned is there.
  const into = options.into ?? (options.clean ? restoredName(after.database, after.startedAt) : undefined)
  const found = await findClients(context, options.clientFolders)
  const installed = takingSystemRoots(found, options.connection, env)
  const named = { into, after }
  const { target, name } = await openNamedTarget(newestClients(installed), options.connection, named, {
    env,
    signal,
  })
  try {
    const isThere = await databaseExists(await target.outside(), name)
    const exists = isThere && !options.replace
    if (options.replace) await refuseToReplace(await target.outside(), name)
    if (exists) refuseForExisting(options, name)
    if (options.clean && !exists)
      throw new PgstowError("usage", `there is no database ${formatName(name)} to clean`, {
        hint: "Leave --clean out: a new database has nothing to drop.",
      })
    const { serverVersion } = manifest.source
    if (Number.parseInt(serverVersion, 10) > target.serverMajor)
      log.warn(
        `the backup is of PostgreSQL ${serverVersion}, and the server is the older ${target.serverMajor}: what it can't take is reported`,
      )
    const job = await prepare({ storage, manifest, name, target, installed }, options, context)
    await tryTemporaryFolder(job, context)
    return await use(job, exists)
  } finally {
    progress.clear()
    await target.close()
  }
}

/** The archive's head goes to a temporary file: that there is room for it is to be known before anything is made. */
async function tryTemporaryFolder(
  { clients: { pgRestore }, joined }: RestoreJob,
  { env }: Context,
): Promise<void> {
  // Behind a prefix it would start one more program, which may take seconds.
  if (pgRestore.prefix !== undefined) return
  const placed = await placeFile(joined.ownHead, { prefix: undefined, env })
  await placed.remove()
}

/** What there is no way to do in a database that exists. */
function refuseForExisting(options: RestoreChosenOptions, name: string): void {
  const { searchPath, run, notValid = false, locale } = options
  const given: readonly (readonly [isGiven: boolean, flag: string, instead: string])[] = [
    [searchPath !== undefined, "--search-path", "Leave it out"],
    [run !== undefined, "--run", "Run the file by psql when the restore is done"],
    [notValid, "--not-valid", "Leave it out"],
    [locale !== "original", "--locale", "Leave it out: a database keeps its locale"],
  ]
  for (const [isGiven, flag, instead] of given)
    if (isGiven)
      throw new PgstowError("usage", `${flag} is for a new database, and ${formatName(name)} exists`, {
        hint: `${instead}, or give --into another name to restore into a new one.`,
      })
}

type Chosen = Copy & {
  readonly name: string
  readonly target: Target
  readonly installed: readonly Clients[]
}

/** Reads what the backup holds, and chooses what it is restored with. Nothing is made yet. */
async function prepare(
  { storage, manifest, name, target, installed }: Chosen,
  options: RestoreChosenOptions,
  { env, signal }: Context,
): Promise<RestoreJob> {
  const main = mainOf(manifest)
  const { identities, signedBy = [] } = options
  const checkFirst = signedBy.length > 0
  const joined = await readArchive(storage, manifest, main, { identities, checkFirst, signal })
  const archiveMajor = Number.parseInt(manifest.source.clientVersion, 10)
  return {
    storage,
    manifest,
    checkFirst,
    main,
    archive: joined.entries,
    joined,
    name,
    target,
    connection: target.connection,
    clients: chooseForRestore(installed, archiveMajor, target.serverMajor),
    zstd: await findZstd(env),
    jobs: options.jobs === "auto" ? await jobsFor(target) : options.jobs,
    options,
  }
}

function mainOf({ id, objects }: Manifest): ManifestObject {
  const main = objects.find(({ kind }) => kind === "main")
  // The manifest's schema has made sure that there is one.
  if (!main) throw new TypeError(`backup ${id} has no main object`)
  return main
}

async function jobsFor(target: Target): Promise<number> {
  const freeConnections = await countFreeConnections(await target.outside())
  return defaultJobs({ ...machine(), freeConnections })
}
