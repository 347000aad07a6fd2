import { isBackupId, startOf } from "../core/backup-id.ts"
import type { CheckKind } from "../core/check.ts"
import { rawBytes, storedBytes } from "../core/manifest.ts"
import type { BackupState } from "../core/retention.ts"
import { messageOf } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { type CatalogEntry, listBackups, newestFirst } from "./catalog.ts"
import { noneOf } from "./find-backup.ts"
import { nothingFound } from "./nothing-found.ts"

/**
 * One backup in one storage. `problem` says why its manifest can't be read: what only that tells is null then; or why
 * what its checks found is not known.
 */
export type ListedBackup = {
  readonly storage: string
  readonly database: string
  readonly id: string
  /** Null where the folder is not named by an id. */
  readonly startedAt: string | null
  readonly seconds: number | null
  readonly storedBytes: number | null
  readonly rawBytes: number | null
  readonly encrypted: boolean | null
  readonly state: BackupState
  /** The check that `state` comes from. */
  readonly lastCheck: { readonly kind: CheckKind; readonly at: string } | null
  readonly problem: string | null
}

/** Newest first. */
export type ListResult = { readonly storages: readonly string[]; readonly backups: readonly ListedBackup[] }

/**
 * Lists the backups in all of `storages`, of one database or of all. Calls `warn` for each that has none; rejects with a
 * PgstowError "notFound" where none has any, and where one of them does not answer.
 */
export async function list(
  storages: readonly Storage[],
  { database, warn }: { readonly database?: string | undefined; readonly warn: (message: string) => void },
): Promise<ListResult> {
  const entries = await Promise.all(storages.map((storage) => listBackups(storage, database)))
  const empty = await Promise.all(
    storages
      .filter((_, index) => entries[index]?.length === 0)
      .map((storage) => nothingFound(storage, database)),
  )
  if (empty.length === storages.length) throw noneOf({ empty })
  for (const { message, hint } of empty) warn(`${message}: ${hint}`)
  return {
    storages: storages.map(({ url }) => url),
    backups: entries.flat().sort(newestFirst).map(describe),
  }
}

function describe({ storage, database, id, state, finding, manifest, problem }: CatalogEntry): ListedBackup {
  return {
    storage: storage.url,
    database,
    id,
    startedAt: isBackupId(id) ? startOf(id).toISOString() : null,
    seconds: manifest ? (Date.parse(manifest.finishedAt) - Date.parse(manifest.startedAt)) / 1000 : null,
    storedBytes: manifest ? storedBytes(manifest) : null,
    rawBytes: manifest ? rawBytes(manifest) : null,
    encrypted: manifest ? manifest.encryption.algorithm !== "none" : null,
    state,
    lastCheck: finding ? { kind: finding.kind, at: finding.at.toISOString() } : null,
    problem: problem ? messageOf(problem) : null,
  }
}
