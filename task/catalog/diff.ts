import type { Context } from "../context.ts"
import { type BackupDiff, diffBackups } from "../core/diff-backups.ts"
import type { Storage } from "../storage/storage.ts"
import type { ReadOptions } from "./catalog.ts"
import { findBackup, readCatalog, warnOfPassedOver } from "./find-backup.ts"

export type DiffResult = BackupDiff & { readonly before: ComparedBackup; readonly after: ComparedBackup }

export type ComparedBackup = {
  readonly id: string
  readonly database: string
  readonly storage: string
  readonly startedAt: string
}

/** Compares two backups by their manifests: `before` and `after` as findBackup takes them, which also says what is thrown. */
export async function diff(
  storages: readonly Storage[],
  { before, after, ...options }: ReadOptions & { readonly before: string; readonly after: string },
  { log }: Pick<Context, "log">,
): Promise<DiffResult> {
  const catalog = await readCatalog(storages, { ...options, warn: log.warn })
  const find = (wanted: string) => {
    const { entry, passedOver } = findBackup(catalog, wanted, options.database)
    warnOfPassedOver(passedOver, log.warn)
    return entry
  }
  const [one, other] = [find(before), find(after)]
  const described = ({ storage, manifest }: typeof one): ComparedBackup => ({
    id: manifest.id,
    database: manifest.database,
    storage: storage.url,
    startedAt: manifest.startedAt,
  })
  return { before: described(one), after: described(other), ...diffBackups(one.manifest, other.manifest) }
}
