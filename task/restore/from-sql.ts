import { openObject } from "../catalog/open-object.ts"
import type { Context } from "../context.ts"
import type { Manifest, ManifestObject } from "../core/manifest.ts"
import { PgstowError } from "../errors.ts"
import { type LegacyKeys, openLegacy } from "../legacy/open-legacy.ts"
import { recognise } from "../legacy/recognise.ts"
import { findClients, newestClients } from "../postgres/clients.ts"
import { databaseExists } from "../postgres/target-database.ts"
import { inspectTarget } from "../postgres/target-server.ts"
import type { Storage } from "../storage/storage.ts"
import { decompress } from "../streams/decompress.ts"
import { foreseeNewDatabase, refusalOf } from "./foresee.ts"
import { namedAfter, openNamedTarget } from "./open-named-target.ts"
import type { RestoreChosenOptions, RestoreOptions } from "./options.ts"
import { restorePlain } from "./plain.ts"
import type { Prospect } from "./prospect.ts"
import { questionsOf } from "./questions-of.ts"
import type { RestoreResult } from "./result.ts"

/** Restores what was imported: SQL, all of it or nothing. */
export async function restoreImported(
  storage: Storage,
  manifest: Manifest,
  object: ManifestObject,
  options: RestoreChosenOptions,
  context: Context,
): Promise<RestoreResult> {
  const { identities, signedBy = [], into } = options
  refuseForImported(manifest, options)
  const startedAt = context.now()
  const title = `${manifest.id} ${object.name}`
  const dump = () =>
    decompress(
      openObject(storage, manifest, object, {
        identities,
        checkFirst: signedBy.length > 0,
        signal: context.signal,
      }),
      title,
      object.rawBytes,
    )
  const original = into === undefined ? manifest.source.database : undefined
  const end = await restorePlain(
    { ...options, title, dump, totalBytes: object.rawBytes, after: namedAfter(manifest), original },
    context,
  )
  return {
    ...wholly,
    ...end,
    id: manifest.id,
    database: manifest.database,
    storage: storage.url,
    into: end.name,
    storedBytes: object.sizeBytes,
    seconds: (context.now().getTime() - startedAt.getTime()) / 1000,
  }
}

function refuseForImported({ id }: Manifest, options: RestoreChosenOptions): void {
  refuseChoices(options)
  if (options.createRoles)
    throw new PgstowError("usage", `backup ${id} was imported, and holds no roles`, {
      hint: "Leave --create-roles out, and make them by hand.",
    })
}

/** Tells what a restore of imported SQL would do, as far as that is known without reading it. Makes nothing. */
export async function rehearseImported(
  storage: Storage,
  manifest: Manifest,
  object: ManifestObject,
  options: RestoreChosenOptions,
  context: Context,
): Promise<Prospect> {
  refuseForImported(manifest, options)
  const { env, signal } = context
  const clients = newestClients(await findClients(context, options.clientFolders))
  const named = { into: options.into, after: namedAfter(manifest) }
  const { target, name } = await openNamedTarget(clients, options.connection, named, { env, signal })
  try {
    const outside = await target.outside()
    const exists = await databaseExists(outside, name)
    const foreseen = exists ? [] : foreseeNewDatabase(await inspectTarget(outside))
    const refusal = refusalOf(foreseen)
    return {
      id: manifest.id,
      database: manifest.database,
      storage: storage.url,
      into: name,
      exists,
      serverVersion: manifest.source.serverVersion,
      targetMajor: target.serverMajor,
      objects: null,
      tables: manifest.source.tables,
      rows: null,
      rawBytes: object.rawBytes,
      // It is read to its end before anything is made, and then again.
      downloadBytes: 2 * object.sizeBytes,
      expected: null,
      rolesToMake: [],
      foreseen,
      notes: [
        "it was imported as SQL, which is not looked into: whether it goes well shows when it is restored, all of it or nothing",
        ...(await questionsOf({ target, name }, exists)),
      ],
      refusal: refusal ? { kind: refusal.kind, message: refusal.message, hint: refusal.hint } : null,
    }
  } finally {
    await target.close()
  }
}

/** What a restore comes to that can only succeed. */
const wholly = {
  state: "restored",
  errors: [],
  byHand: [],
  leftOut: [],
  warnings: [],
  ran: null,
  renameAsItIs: [],
  failure: null,
} as const

export type RestoreFileOptions = Omit<
  RestoreOptions,
  "storages" | "backup" | "database" | "identities" | "jobs" | "createRoles" | "anyway"
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
  const dump = () => openLegacy(file, options.keys)
  // A file's name need not tell what the database was called.
  const original = undefined
  const after = { database: file.title, startedAt: file.madeAt }
  const end = await restorePlain(
    { ...options, title: path, dump, totalBytes: undefined, after, original },
    context,
  )
  return {
    ...wholly,
    ...end,
    id: path,
    database: file.title,
    storage: path,
    into: end.name,
    storedBytes: file.sizeBytes,
    seconds: (context.now().getTime() - startedAt.getTime()) / 1000,
  }
}

/** Throws where more is asked for than all of the SQL as it is. */
function refuseChoices({
  selection,
  clean,
  owners,
  searchPath,
  run,
  replace = false,
}: Pick<RestoreOptions, "selection" | "clean" | "owners" | "searchPath" | "run" | "replace">): void {
  if (run !== undefined)
    throw new PgstowError("usage", "--run is for backups that pgstow made, and this is a plain dump", {
      hint: "Restore it, and run the file by psql.",
    })
  if (replace)
    throw new PgstowError("usage", "--replace is for backups that pgstow made, and this is a plain dump", {
      hint: "Restore it into a new database, and rename it.",
    })
  if (selection === undefined && !clean && typeof owners === "string" && searchPath === undefined) return
  throw new PgstowError(
    "usage",
    "a plain dump is restored as it is: --table, --schema, --clean, --role and --search-path can't be",
    {
      hint: "Restore all of it into a new database, and take from there what you need.",
    },
  )
}
