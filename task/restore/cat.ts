import type { Writable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { findBackup, readCatalog, warnOfPassedOver } from "../catalog/find-backup.ts"
import { formatCount } from "../console/format.ts"
import type { Context } from "../context.ts"
import type { Manifest, ManifestObject } from "../core/manifest.ts"
import { codeOf, PgstowError } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { openArchive, openContent } from "./open-content.ts"

export type CatOptions = {
  readonly storages: readonly Storage[]
  /** As findBackup takes it. */
  readonly backup: string | Date
  readonly database: string | undefined
  /** The public keys of which one must have signed it; any backup will do where there are none. */
  readonly signedBy?: readonly string[] | undefined
  /** An object's name, with or without its ends; undefined is all of the database. */
  readonly object: string | undefined
  readonly identities: readonly string[]
  /** Where the bytes go; not ended. */
  readonly output: Writable
}

export type CatResult = {
  readonly id: string
  readonly database: string
  readonly storage: string
  /** Null where it was all of the database. */
  readonly object: string | null
  readonly bytes: number
}

/**
 * Writes what an object of a backup holds; without one, all of the database, as one archive for pg_restore or, of an
 * imported backup, as SQL. Rejects where not all of it was written.
 */
export async function cat(options: CatOptions, context: Context): Promise<CatResult> {
  const { storages, database, signedBy = [], identities, output } = options
  const { log, signal } = context
  const catalog = await readCatalog(storages, { database, signedBy, warn: log.warn })
  const { entry, passedOver } = findBackup(catalog, options.backup, database)
  warnOfPassedOver(passedOver, log.warn)
  const { storage, manifest } = entry
  const object = options.object === undefined ? undefined : objectNamed(manifest, options.object)
  const segments = manifest.objects.filter(({ kind }) => kind === "segment")
  if (object?.kind === "main" && segments.length > 0)
    log.warn(
      `${object.name} lacks the rows of ${formatCount(segments.length, "segment")}: leave the object out to have all in one archive`,
    )
  const rest = { identities, checkFirst: signedBy.length > 0, signal }
  const [whole] = manifest.objects.filter(({ kind }) => kind === "main" || kind === "plain")
  // The manifest's schema has made sure that there is one.
  if (!whole) throw new TypeError(`backup ${manifest.id} has no main object`)
  const content =
    object || whole.kind === "plain"
      ? openContent(storage, manifest, object ?? whole, rest)
      : (await openArchive(storage, manifest, whole, rest)).archive
  let bytes = 0
  async function* counted() {
    for await (const chunk of content) {
      bytes += chunk.length
      yield chunk
    }
  }
  try {
    await pipeline(counted, output, { signal, end: false })
  } catch (cause) {
    signal.throwIfAborted()
    if (cause instanceof PgstowError || codeOf(cause) === undefined) throw cause
    if (codeOf(cause) !== "EPIPE")
      throw new PgstowError("storage", "the output could not be written", { cause })
    throw new PgstowError("unexpected", "the program that reads the output stopped early", {
      hint: "The backup itself is not affected.",
    })
  }
  return {
    id: manifest.id,
    database: manifest.database,
    storage: storage.url,
    object: object?.name ?? null,
    bytes,
  }
}

/** Writes the SQL that makes a backup's roles. Refuses that of pgstow 0.1.0, where a role could hide SQL of its own. */
export async function catGlobals(options: Omit<CatOptions, "object">, context: Context): Promise<CatResult> {
  const { storages, database, signedBy } = options
  const catalog = await readCatalog(storages, { database, signedBy, warn: context.log.warn })
  const { manifest } = findBackup(catalog, options.backup, database).entry
  refuseUnsafeGlobals(manifest)
  return cat({ ...options, backup: manifest.id, database: manifest.database, object: "globals" }, context)
}

/** Throws a PgstowError where what stands for the roles was written by a version that any role could smuggle SQL into. */
export function refuseUnsafeGlobals({ id, writtenBy }: Manifest): void {
  if (writtenBy !== "pgstow 0.1.0") return
  throw new PgstowError(
    "usage",
    `the roles of backup ${id} were written by pgstow 0.1.0, and may hold SQL that is not about roles`,
    {
      hint: `Make the roles by hand, or from a new backup. To read them, and never to run them unread: pgstow cat ${id} globals; FORMAT.md says what to look for.`,
    },
  )
}

/** "main", "globals" and "data/0001" are enough. */
function objectNamed({ id, objects }: Manifest, wanted: string): ManifestObject {
  const found = objects.find(({ name }) => name === wanted || name.startsWith(`${wanted}.`))
  if (found) return found
  const shown = objects.slice(0, 10).map(({ name }) => name)
  const more = objects.length - shown.length
  throw new PgstowError("notFound", `backup ${id} has no object ${JSON.stringify(wanted)}`, {
    hint: `It has ${shown.join(", ")}${more > 0 ? ` and ${more} more` : ""}.`,
  })
}
