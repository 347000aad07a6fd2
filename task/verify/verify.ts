import { type BackupName, type CatalogEntry, proveThere, putCheck } from "../catalog/catalog.ts"
import { type Catalog, findBackup, readCatalog } from "../catalog/find-backup.ts"
import type { Context } from "../context.ts"
import type { Check, CheckKind, Finding, Problem } from "../core/check.ts"
import { type Manifest, partialInWords, storedBytes } from "../core/manifest.ts"
import { type FailureKind, messageOf, PgstowError } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { version } from "../version.ts"
import { type ReadThroughOptions, readThrough } from "./read-through.ts"
import { verifyBackup } from "./verify-backup.ts"

export type VerifyResult = {
  readonly storage: string
  readonly database: string
  readonly id: string
  /** What the backup holds and what not, in words, where something was left out. */
  readonly partial: string | null
  /** What the check found: "failed" and "deep-failed" have problems. */
  readonly kind: CheckKind
  readonly problems: readonly Problem[]
  readonly objects: number
  readonly bytes: number
  readonly seconds: number
}

export type CheckOptions = {
  /** What is known to have been found of the backup: a good check clears the failures among these, and no others. */
  readonly seen: readonly Finding[]
  /**
   * Makes the check deep: opens and reads every object to its end, is called once the checksums are right, and
   * gives what is wrong.
   */
  readonly readThrough?: ((storage: Storage, manifest: Manifest) => Promise<readonly Problem[]>) | undefined
}

/**
 * Verifies one backup and puts the finding beside it. Throws a PgstowError of kind "notFound", and puts nothing, where
 * the backup is removed meanwhile.
 */
export async function verify(
  storage: Storage,
  manifest: Manifest,
  { seen, readThrough }: CheckOptions,
  context: Pick<Context, "now" | "progress" | "signal">,
): Promise<VerifyResult> {
  const { now, progress, signal } = context
  const startedAt = now()
  const damage = await verifyBackup(storage, manifest, {
    signal,
    onProgress: (update) => progress.update(update),
  })
  const deep = readThrough !== undefined && damage.length === 0
  const problems = deep ? await readThrough(storage, manifest) : damage
  const kind = problems.length > 0 ? (deep ? "deep-failed" : "failed") : deep ? "deep-verified" : "verified"
  // Beside a backup that was removed meanwhile a record would say what is not so, and lie there alone.
  await proveThere(storage, manifest)
  const at = now()
  const check: Check = { kind, at: at.toISOString(), by: `pgstow ${version}`, problems }
  await putCheck(storage, manifest, check, seen)
  return {
    storage: storage.url,
    database: manifest.database,
    id: manifest.id,
    partial: partialInWords(manifest) ?? null,
    kind,
    problems,
    objects: manifest.objects.length,
    bytes: storedBytes(manifest),
    seconds: (at.getTime() - startedAt.getTime()) / 1000,
  }
}

export type VerifyChoice = {
  /** As findBackup takes it. */
  readonly backup: string | Date
  readonly database: string | undefined
  /** The public keys of which one must have signed it; any backup will do where there are none. */
  readonly signedBy?: readonly string[] | undefined
  /** Also decrypt and read to the end what the objects hold. */
  readonly deep: ReadThroughOptions | undefined
}

export type CopiesResult = {
  readonly results: readonly VerifyResult[]
  /** The copies that nothing was found out about, and why. */
  readonly unknown: readonly (BackupName & { readonly why: PgstowError })[]
}

/** Verifies every copy of one backup. Throws where nothing could be found out about any of them. */
export async function verifyCopies(
  storages: readonly Storage[],
  { backup, database, signedBy, deep }: VerifyChoice,
  context: Context,
): Promise<CopiesResult> {
  const catalog = await readCatalog(storages, { database, signedBy, warn: context.log.warn })
  const { entry } = findBackup(catalog, backup, database)
  return verifyCopiesOf(catalog, entry, deep, context)
}

/**
 * Verifies all copies of one backup. Where a storage can't be read, nothing was found out about the copy that it may have.
 * Throws where nothing could be found out about any.
 */
export async function verifyCopiesOf(
  { entries, unread }: Catalog,
  { id, database }: BackupName,
  deep: ReadThroughOptions | undefined,
  context: Context,
): Promise<CopiesResult> {
  const copies = entries.filter((entry) => entry.id === id && entry.database === database)
  const results: VerifyResult[] = []
  const unknown: CopiesResult["unknown"][number][] = []
  for (const copy of copies) {
    try {
      results.push(await verifyCopy(copy, deep, context))
    } catch (error) {
      if (!(error instanceof PgstowError) || !ofOneCopy.has(error.kind)) throw error
      unknown.push({ database: copy.database, id: copy.id, why: error })
    }
  }
  const [first] = unknown
  if (first && results.length === 0) throw first.why
  for (const { why } of unknown) context.log.warn(messageOf(why))
  return { results, unknown: [...unknown, ...unread.map((why) => ({ database, id, why }))] }
}

/** What one copy may have and the others not. */
const ofOneCopy = new Set<FailureKind>(["damaged", "notFound", "signature", "storage"])

async function verifyCopy(
  { storage, manifest, problem, findings }: CatalogEntry,
  deep: ReadThroughOptions | undefined,
  context: Context,
): Promise<VerifyResult> {
  if (manifest === undefined) throw problem
  const readDeep =
    deep && ((storage: Storage, manifest: Manifest) => readThrough(storage, manifest, deep, context))
  return verify(storage, manifest, { seen: findings, readThrough: readDeep }, context)
}

/** What is to be said, and exited with, of copies that are damaged, or that nothing was found out about. */
export function verifyFailure({ results, unknown }: CopiesResult): PgstowError | undefined {
  const damaged = results.filter(({ problems }) => problems.length > 0)
  if (damaged.length === 0) return unknown[0]?.why
  const where = damaged.map(({ id, storage }) => `${id} in ${storage}`).join(", ")
  return new PgstowError("damaged", `damaged: ${where}`, {
    hint:
      damaged.length < results.length
        ? "Another copy is good: restore from that one."
        : "Use another backup.",
  })
}
