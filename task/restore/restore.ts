import { findBackup, readCatalog, warnOfPassedOver } from "../catalog/find-backup.ts"
import { openObject } from "../catalog/open-object.ts"
import { formatCount, formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import { startOf } from "../core/backup-id.ts"
import { type Manifest, type ManifestObject, rawBytes, storedBytes } from "../core/manifest.ts"
import { defaultJobs } from "../core/plan.ts"
import { identifier } from "../core/quote.ts"
import { restoredName } from "../core/restored-name.ts"
import { type FailureKind, messageOf, PgstowError } from "../errors.ts"
import { type LegacyKeys, openLegacy } from "../legacy/open-legacy.ts"
import { recognise } from "../legacy/recognise.ts"
import { chooseForRestore, findClients, newestClients } from "../postgres/clients.ts"
import type { Connection } from "../postgres/connection.ts"
import { openMaintenanceSession } from "../postgres/maintenance.ts"
import { groupErrors, type RestoreErrorGroup } from "../postgres/restore-errors.ts"
import { countFreeConnections } from "../postgres/server.ts"
import type { Session } from "../postgres/session.ts"
import { settingsOfRestore } from "../postgres/session-settings.ts"
import { checkDatabaseName, databaseExists } from "../postgres/target-database.ts"
import { machine } from "../processes/machine.ts"
import type { Storage } from "../storage/storage.ts"
import { decompress } from "../streams/decompress.ts"
import { findZstd } from "../streams/zstd.ts"
import { createRoles } from "./create-roles.ts"
import { restoreIntoExisting } from "./into-existing.ts"
import { restoreIntoNew } from "./into-new.ts"
import type { RestoreEnd, RestoreJob, RestoreJobOptions } from "./job.ts"
import { restorePlain } from "./plain.ts"
import { readArchive } from "./read-archive.ts"

export type RestoreOptions = RestoreJobOptions & {
  readonly storages: readonly Storage[]
  /** As findBackup takes it. */
  readonly backup: string | Date
  readonly database: string | undefined
  /** The target's server; its database is used where no other one can be connected to. */
  readonly connection: Connection
  /** Folders with client programs, searched first. */
  readonly clientFolders: readonly string[]
  /** The database to restore into; undefined makes a new one, named after the original. */
  readonly into: string | undefined
  /** Whether to make those of the backup's roles that the server lacks. */
  readonly createRoles: boolean
  /** How many streams at once into a new database, each with a connection; `auto` is what both sides bear. */
  readonly jobs: number | "auto"
}

export type RestoreResult = {
  readonly id: string
  /** The name in the catalog. */
  readonly database: string
  readonly storage: string
  /** The database that holds what was restored. */
  readonly into: string
  /** What `into` is to be called when it is complete. */
  readonly name: string
  /** `incomplete`: the database is new and must not be used as it is. `unchanged`: it is as it was before. */
  readonly state: "restored" | "incomplete" | "unchanged"
  readonly tables: number
  readonly storedBytes: number
  readonly rawBytes: number
  readonly seconds: number
  /** What PostgreSQL refused, by classes. */
  readonly errors: readonly RestoreErrorGroup[]
  /** What belongs to the tables that were asked for, but not without others. */
  readonly leftOut: readonly string[]
  readonly warnings: readonly string[]
  /** Why it did not come to its end. */
  readonly failure: {
    readonly kind: FailureKind
    readonly message: string
    readonly hint: string | null
  } | null
}

/**
 * Restores a backup, or some of it, into a new database or one that exists.
 *
 * Resolves also where PostgreSQL refused some of it, or where it failed midway: `restoreFailure` reports it.
 * Rejects where nothing was restored.
 */
export async function restore(options: RestoreOptions, context: Context): Promise<RestoreResult> {
  const { env, log, now, progress, signal } = context
  const startedAt = now()
  const { storages, connection } = options
  const catalog = await readCatalog(storages, { database: options.database, warn: log.warn })
  const { entry, passedOver } = findBackup(catalog, options.backup, options.database)
  const { storage, manifest } = entry
  warnOfPassedOver(passedOver, log.warn)
  const plain = manifest.objects.find(({ kind }) => kind === "plain")
  if (plain) return restoreImported(storage, manifest, plain, options, context)
  const [main] = manifest.objects.filter(({ kind }) => kind === "main")
  // The manifest's schema has made sure that there is one.
  if (!main) throw new TypeError(`backup ${manifest.id} has no main object`)
  const name = options.into ?? restoredName(manifest.source.database, startOf(manifest.id))
  checkDatabaseName(name)

  const installed = await findClients(env, options.clientFolders)
  const session = await openMaintenanceSession(newestClients(installed), connection, name, {
    env,
    signal,
    settings: settingsOfRestore,
  })
  try {
    const exists = await databaseExists(session, name)
    if (options.clean && !exists)
      throw new PgstowError("usage", `there is no database ${formatName(name)} to clean`, {
        hint: "Leave --clean out: a new database has nothing to drop.",
      })
    const { serverVersion, clientVersion } = manifest.source
    const archiveMajor = Number.parseInt(clientVersion, 10)
    if (Number.parseInt(serverVersion, 10) > session.serverMajor)
      log.warn(
        `the backup is of PostgreSQL ${serverVersion}, and the server is the older ${session.serverMajor}: what it can't take is reported`,
      )
    const joined = await readArchive(storage, manifest, main, { identities: options.identities, signal })
    const job: RestoreJob = {
      storage,
      manifest,
      main,
      archive: joined.entries,
      joined,
      name,
      session,
      connection: session.connection,
      clients: chooseForRestore(installed, archiveMajor, session.serverMajor),
      zstd: await findZstd(env),
      jobs: options.jobs === "auto" ? await jobsFor(session) : options.jobs,
      options,
    }
    log.info(`restoring ${manifest.id} of ${formatName(manifest.database)} from ${storage.url}`, {
      into: name,
      exists,
      jobs: exists ? 1 : job.jobs,
    })
    const { identities } = options
    const notices = options.createRoles
      ? await createRoles(storage, manifest, session, { identities, signal })
      : []
    const end = await (exists ? restoreIntoExisting(job, context) : restoreIntoNew(job, context))
    const { warnings } = end
    const told = { ...end, warnings: [...notices, ...warnings] }
    return resultOf(job, told, (now().getTime() - startedAt.getTime()) / 1000)
  } finally {
    progress.clear()
    await session.close()
  }
}

async function jobsFor(session: Session): Promise<number> {
  return defaultJobs({ ...machine(), freeConnections: await countFreeConnections(session) })
}

/** Restores what was imported: SQL, all of it or nothing. */
async function restoreImported(
  storage: Storage,
  manifest: Manifest,
  object: ManifestObject,
  options: RestoreOptions,
  context: Context,
): Promise<RestoreResult> {
  const { identities, into } = options
  refuseChoices(options)
  if (options.createRoles)
    throw new PgstowError("usage", `backup ${manifest.id} was imported, and holds no roles`, {
      hint: "Leave --create-roles out, and make them by hand.",
    })
  const startedAt = context.now()
  const name = into ?? restoredName(manifest.source.database, startOf(manifest.id))
  const title = `${manifest.id} ${object.name}`
  const dump = () =>
    decompress(
      openObject(storage, manifest, object, { identities, signal: context.signal }),
      title,
      object.rawBytes,
    )
  const end = await restorePlain({ ...options, title, dump, totalBytes: object.rawBytes, name }, context)
  return {
    ...wholly,
    ...end,
    id: manifest.id,
    database: manifest.database,
    storage: storage.url,
    into: name,
    name,
    storedBytes: object.sizeBytes,
    seconds: (context.now().getTime() - startedAt.getTime()) / 1000,
  }
}

/** What a restore comes to that can only succeed. */
const wholly = { state: "restored", errors: [], leftOut: [], warnings: [], failure: null } as const

export type RestoreFileOptions = Omit<
  RestoreOptions,
  "storages" | "backup" | "database" | "identities" | "jobs" | "createRoles"
> & {
  readonly keys: LegacyKeys
}

/** Restores a file of Emiti or Sentinel from where it lies. */
export async function restoreFile(
  path: string,
  options: RestoreFileOptions,
  context: Context,
): Promise<RestoreResult> {
  refuseChoices(options)
  const startedAt = context.now()
  const file = await recognise(path)
  const name = options.into ?? restoredName(file.title, file.madeAt)
  const dump = () => openLegacy(file, options.keys)
  const end = await restorePlain({ ...options, title: path, dump, totalBytes: undefined, name }, context)
  return {
    ...wholly,
    ...end,
    id: path,
    database: file.title,
    storage: path,
    into: name,
    name,
    storedBytes: file.sizeBytes,
    seconds: (context.now().getTime() - startedAt.getTime()) / 1000,
  }
}

/** Throws where more is asked for than all of the SQL as it is. */
function refuseChoices({
  selection,
  clean,
  owners,
}: Pick<RestoreOptions, "selection" | "clean" | "owners">): void {
  if (selection === undefined && !clean && typeof owners === "string") return
  throw new PgstowError(
    "usage",
    "a plain dump is restored as it is: --table, --schema, --clean and --role can't be",
    {
      hint: "Restore all of it into a new database, and take from there what you need.",
    },
  )
}

function resultOf({ storage, manifest, name }: RestoreJob, end: RestoreEnd, seconds: number): RestoreResult {
  const { plan, into, state, outcome } = end
  const { withoutRows = [] } = manifest
  const warnings = [
    ...(withoutRows.length > 0
      ? [`the backup, of a standby, has no rows of unlogged tables: ${withoutRows.join(", ")}`]
      : []),
    ...end.warnings,
  ]
  const failure = outcome.state === "failed" ? outcome.failure : undefined
  return {
    id: manifest.id,
    database: manifest.database,
    storage: storage.url,
    into,
    name,
    state,
    tables: plan.entries.filter(({ kind }) => kind === "TABLE").length,
    storedBytes: storedBytes(manifest),
    rawBytes: rawBytes(manifest),
    seconds,
    errors: groupErrors(outcome.errors),
    leftOut: plan.leftOut.map(({ kind, schema, name }) => `${kind.toLowerCase()} ${schema ?? ""}.${name}`),
    warnings,
    failure: failure ? { kind: failure.kind, message: messageOf(failure), hint: failure.hint ?? null } : null,
  }
}

/** What is to be said, and exited with, of a restore that is not complete. */
export function restoreFailure(result: RestoreResult): PgstowError | undefined {
  const { id, into, name, state, errors, failure } = result
  if (state === "restored") return undefined
  const [from, to] = [identifier(into), identifier(name)].map(formatName)
  const left =
    state === "unchanged"
      ? `Nothing was changed in ${formatName(into)}.`
      : `What is there is in ${formatName(into)}: inspect it, accept it as it is (ALTER DATABASE ${from} RENAME TO ${to};), or drop it (DROP DATABASE ${from};).`
  if (failure)
    return new PgstowError(failure.kind, failure.message, {
      hint: [failure.hint, left].filter((part) => part !== null).join(" "),
    })
  const what = errors.map(({ title, count }) => `${title} (${count})`).join(", ")
  return new PgstowError(
    "restoreErrors",
    `${id} was restored with ${formatCount(countOf(errors), "error")}: ${what}`,
    { hint: left },
  )
}

export function countOf(errors: readonly RestoreErrorGroup[]): number {
  return errors.reduce((sum, { count }) => sum + count, 0)
}
