import { manifestsBefore } from "../catalog/catalog.ts"
import type { Context } from "../context.ts"
import { backupId } from "../core/backup-id.ts"
import { type Manifest, rawBytes, storedBytes } from "../core/manifest.ts"
import { messageOf } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"

/** What is known of a database's last backups in the first storage that tells of any; the newest first. */
export type LastBackups = { readonly storage: string; readonly backups: readonly MeasuredBackup[] }

export type MeasuredBackup = {
  readonly id: string
  readonly storedBytes: number
  /** Before compression. */
  readonly rawBytes: number
  readonly seconds: number
  /** How large the database was. */
  readonly databaseBytes: number
}

const lookedAt = 3
const dayMs = 86_400_000

export async function readLastBackups(
  storages: readonly Storage[],
  database: string,
  signedBy: readonly string[],
  { now, log, signal }: Pick<Context, "now" | "log" | "signal">,
): Promise<LastBackups | undefined> {
  // After every one that there can be.
  const id = backupId(new Date(now().getTime() + dayMs), [0, 0, 0, 0, 0, 0])
  for (const storage of storages)
    try {
      const manifests = await manifestsBefore(storage, { database, id }, lookedAt, signedBy)
      if (manifests.length > 0) return { storage: storage.url, backups: manifests.map(measured) }
    } catch (error) {
      signal.throwIfAborted()
      // Whether it may be listed and read is looked at elsewhere.
      log.debug(`no earlier backups in ${storage.url}: ${messageOf(error)}`)
    }
  return undefined
}

function measured(manifest: Manifest): MeasuredBackup {
  return {
    id: manifest.id,
    storedBytes: storedBytes(manifest),
    rawBytes: rawBytes(manifest),
    seconds: (Date.parse(manifest.finishedAt) - Date.parse(manifest.startedAt)) / 1000,
    databaseBytes: manifest.source.sizeBytes,
  }
}
