import { type BackupName, newestFirst } from "../catalog/catalog.ts"
import { findBackup, noneOf, readCatalog } from "../catalog/find-backup.ts"
import { formatCount } from "../console/format.ts"
import type { Context } from "../context.ts"
import { PgstowError } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { type CopiesResult, type VerifyChoice, verifyCopiesOf, verifyFailure } from "./verify.ts"

export type SeveralChoice = Omit<VerifyChoice, "backup"> & {
  /** Each as findBackup takes it; or every one there is, of `database` where that is given. */
  readonly backups: readonly string[] | "all"
  /** Called with each as it is done. */
  readonly onBackup: (verified: VerifiedBackup) => void
}

/** What became of one backup's verification: `failure` also where a copy of it is damaged. */
export type VerifiedBackup = BackupName & {
  /** Undefined where nothing was found out about any copy. */
  readonly copies: CopiesResult | undefined
  readonly failure: PgstowError | undefined
}

/**
 * Verifies several backups, every copy of each. One that is damaged, or can't be read, does not stop the others:
 * `severalFailure` reports it. Throws, before anything is read of any, where one of them is not there.
 */
export async function verifySeveral(
  storages: readonly Storage[],
  { backups, onBackup, ...choice }: SeveralChoice,
  context: Context,
): Promise<VerifiedBackup[]> {
  const { database, deep } = choice
  const catalog = await readCatalog(storages, { ...choice, warn: context.log.warn })
  if (catalog.entries.length === 0) throw catalog.unlisted[0]?.problem ?? noneOf(catalog)
  const chosen =
    backups === "all" ? catalog.entries : backups.map((backup) => findBackup(catalog, backup, database).entry)
  const names = new Map(chosen.map((entry) => [`${entry.id} ${entry.database}`, entry]))
  const verified: VerifiedBackup[] = []
  for (const name of [...names.values()].toSorted(newestFirst)) {
    const one = await verifyOne(
      name,
      async () => verifyCopiesOf({ ...catalog, unread: [] }, name, deep, context),
      context,
    )
    onBackup(one)
    verified.push(one)
  }
  // Of these, not even the ids are known.
  for (const { database, problem } of backups === "all" ? catalog.unlisted : []) {
    const one = { database, id: "*", copies: undefined, failure: problem }
    onBackup(one)
    verified.push(one)
  }
  // They may have a copy of each. That is said once, and not with every backup.
  for (const failure of catalog.unread) {
    const one = { database: database ?? "*", id: "*", copies: undefined, failure }
    onBackup(one)
    verified.push(one)
  }
  return verified
}

async function verifyOne(
  { database, id }: BackupName,
  verify: () => Promise<CopiesResult>,
  { signal }: Pick<Context, "signal">,
): Promise<VerifiedBackup> {
  try {
    const copies = await verify()
    return { database, id, copies, failure: verifyFailure(copies) }
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof PgstowError)) throw error
    return { database, id, copies: undefined, failure: error }
  }
}

/** What is to be said, and exited with, of several verifications: damage goes before what else is wrong. */
export function severalFailure(
  verified: readonly { readonly failure: PgstowError | undefined }[],
): PgstowError | undefined {
  const failures = verified.flatMap(({ failure }) => failure ?? [])
  const worst = failures.find(({ kind }) => kind === "damaged") ?? failures[0]
  if (worst === undefined) return undefined
  const count = `${failures.length} of ${formatCount(verified.length, "backup")}`
  return new PgstowError(worst.kind, `${count} could not be verified as good`, {
    hint: "What is wrong with each is said above.",
  })
}
