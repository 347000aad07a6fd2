import { findBackup, readCatalog, warnOfPassedOver } from "../catalog/find-backup.ts"
import { formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import { startOf } from "../core/backup-id.ts"
import type { Manifest, ManifestObject } from "../core/manifest.ts"
import { defaultJobs } from "../core/plan.ts"
import { restoredName } from "../core/restored-name.ts"
import { PgstowError } from "../errors.ts"
import { type Clients, chooseForRestore, findClients, newestClients } from "../postgres/clients.ts"
import { countFreeConnections } from "../postgres/server.ts"
import { takingSystemRoots } from "../postgres/system-roots.ts"
import { openTarget, type Target } from "../postgres/target.ts"
import { checkDatabaseName, databaseExists } from "../postgres/target-database.ts"
import { machine } from "../processes/machine.ts"
import type { Storage } from "../storage/storage.ts"
import { findZstd } from "../streams/zstd.ts"
import { createRoles } from "./create-roles.ts"
import { restoreImported } from "./from-sql.ts"
import { restoreIntoExisting } from "./into-existing.ts"
import { restoreIntoNew } from "./into-new.ts"
import type { RestoreJob } from "./job.ts"
import type { RestoreOptions } from "./options.ts"
import { readArchive } from "./read-archive.ts"
import { type RestoreResult, resultOf } from "./result.ts"
import { takePlace } from "./take-place.ts"

/**
 * Restores a backup, or some of it, into a new database or one that exists.
 *
 * Resolves also where PostgreSQL refused some of it, or where it failed midway: `restoreFailure` reports it.
 * Rejects where nothing was restored.
 */
export async function restore(options: RestoreOptions, context: Context): Promise<RestoreResult> {
  const { env, log, now, progress, signal } = context
  const startedAt = now()
  const { storages, database, signedBy } = options
  const catalog = await readCatalog(storages, { database, signedBy, warn: log.warn })
  const { entry, passedOver } = findBackup(catalog, options.backup, database)
  const { storage, manifest } = entry
  warnOfPassedOver(passedOver, log.warn)
  const plain = manifest.objects.find(({ kind }) => kind === "plain")
  if (plain) return restoreImported(storage, manifest, plain, options, context)
  const name = options.into ?? restoredName(manifest.source.database, startOf(manifest.id))
  checkDatabaseName(name)

  const found = await findClients(context, options.clientFolders)
  const installed = takingSystemRoots(found, options.connection, env)
  const target = await openTarget(newestClients(installed), options.connection, name, { env, signal })
  try {
    const exists = await databaseExists(await target.outside(), name)
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
    log.info(`restoring ${manifest.id} of ${formatName(manifest.database)} from ${storage.url}`, {
      into: name,
      exists,
      jobs: exists ? 1 : job.jobs,
    })
    const original = options.into === undefined ? manifest.source.database : undefined
    const rename =
      original === undefined || exists ? [] : await takePlace(await target.outside(), name, original, now())
    const { identities } = options
    const notices = options.createRoles
      ? await createRoles(storage, manifest, await target.outside(), { identities, signal })
      : []
    const end = await (exists ? restoreIntoExisting(job, context) : restoreIntoNew(job, context))
    const reported = { ...end, rename, warnings: [...notices, ...end.warnings] }
    return resultOf(job, reported, (now().getTime() - startedAt.getTime()) / 1000)
  } finally {
    progress.clear()
    await target.close()
  }
}

type Chosen = {
  readonly storage: Storage
  readonly manifest: Manifest
  readonly name: string
  readonly target: Target
  readonly installed: readonly Clients[]
}

/** Reads what the backup holds, and chooses what it is restored with. Nothing is made yet. */
async function prepare(
  { storage, manifest, name, target, installed }: Chosen,
  options: RestoreOptions,
  { env, signal }: Context,
): Promise<RestoreJob> {
  const main = mainOf(manifest)
  const joined = await readArchive(storage, manifest, main, { identities: options.identities, signal })
  const archiveMajor = Number.parseInt(manifest.source.clientVersion, 10)
  return {
    storage,
    manifest,
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
