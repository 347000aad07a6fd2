import { putCheck } from "../catalog/catalog.ts"
import { checkManifest } from "../catalog/check-manifest.ts"
import type { Context } from "../context.ts"
import { type Check, type Finding, formatProblem, type Problem } from "../core/check.ts"
import type { Manifest } from "../core/manifest.ts"
import { messageOf, PgstowError } from "../errors.ts"
import { ObjectNotFoundError, type Storage } from "../storage/storage.ts"
import { verify } from "../verify/verify.ts"
import { version } from "../version.ts"

/** What became of the backup in one storage. */
export type BackupCopy = {
  readonly storage: string
  /** "stored" was not read back; "missing" has no manifest, so there is no backup. */
  readonly state: "verified" | "stored" | "damaged" | "missing"
  /** Why it failed, what is damaged, or why it could not be read back. */
  readonly error: string | null
}

export type Written = {
  readonly storages: readonly Storage[]
  /** Why a storage has no manifest. */
  readonly failures: ReadonlyMap<Storage, unknown>
  /** Whether the others are read back. */
  readonly verify: boolean
}

/**
 * Says what became of a backup in each storage, and reads it back. Rejects with the reason of the context's signal, and
 * says that the backup is stored.
 */
export async function copiesOf(
  manifest: Manifest,
  { storages, failures, verify }: Written,
  context: Context,
): Promise<BackupCopy[]> {
  const copies: BackupCopy[] = []
  for (const storage of storages) {
    const failure = failures.get(storage)
    if (failure) copies.push({ storage: storage.url, state: "missing", error: messageOf(failure) })
    else if (!verify) copies.push({ storage: storage.url, state: "stored", error: null })
    else copies.push(await readBack(storage, manifest, context))
    if (context.signal.aborted) throw unread(manifest, context.signal)
  }
  return copies
}

/** Reads back what one storage holds of a backup. */
async function readBack(storage: Storage, manifest: Manifest, context: Context): Promise<BackupCopy> {
  try {
    const problems = await verifyWritten(storage, manifest, context)
    if (problems.length === 0) return { storage: storage.url, state: "verified", error: null }
    return { storage: storage.url, state: "damaged", error: problems.map(formatProblem).join("; ") }
  } catch (error) {
    if (error instanceof ObjectNotFoundError)
      return { storage: storage.url, state: "missing", error: "it took the manifest and does not have it" }
    return { storage: storage.url, state: "stored", error: `could not be read back: ${messageOf(error)}` }
  }
}

/** Verifies a backup, its manifest included. Throws an ObjectNotFoundError where the storage has no manifest. */
async function verifyWritten(
  storage: Storage,
  manifest: Manifest,
  context: Context,
): Promise<readonly Problem[]> {
  // Nobody can have checked it before it was there.
  const seen: readonly Finding[] = []
  const problem = await checkManifest(storage, manifest)
  if (!problem) return (await verify(storage, manifest, { seen }, context)).problems
  const problems = [problem]
  const check: Check = {
    kind: "failed",
    at: context.now().toISOString(),
    by: `pgstow ${version}`,
    problems,
  }
  await putCheck(storage, manifest, check, seen)
  return problems
}

/** What an interruption leaves once the manifests are written. */
function unread({ id }: Manifest, { reason }: AbortSignal): unknown {
  if (!(reason instanceof PgstowError)) return reason
  return new PgstowError(reason.kind, `${reason.message} before all of backup ${id} was read back`, {
    hint: `It is stored: check it by \`pgstow verify ${id}\`.`,
  })
}
