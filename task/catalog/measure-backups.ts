import { isBackupId, startOf } from "../core/backup-id.ts"
import { rawBytes, storedBytes } from "../core/manifest.ts"
import type { BackupState } from "../core/retention.ts"
import { type CatalogEntry, isAheadOf } from "./catalog.ts"

/** What there is to measure of one database's backups in one storage. Those dated in the future count for nothing. */
export type BackupMeasures = {
  /** How many there are of each state, readable or not. */
  readonly count: Readonly<Record<BackupState, number>>
  /** How many of them have a manifest, or checks, that can't be read. */
  readonly unreadable: number
  /** What all of them take up, but for those whose manifest can't be read. */
  readonly storedBytes: number
  /** The newest that can be read, whatever checks found. */
  readonly newest: NewestBackup | null
  /** When the newest was started that was restored by a good drill. */
  readonly newestDrilledAt: string | null
  /** When the last good drill ended, whatever was found later. */
  readonly lastGoodDrillAt: string | null
}

export type NewestBackup = {
  readonly id: string
  readonly startedAt: string
  /** How long it took. */
  readonly seconds: number
  readonly storedBytes: number
  /** Before compression. */
  readonly rawBytes: number
  /** Of the database on its server. */
  readonly sourceBytes: number
  /** About how many its largest tables had; null where that is not known. */
  readonly rows: number | null
}

/** @param backups of one database, newest first */
export function measureBackups(backups: readonly CatalogEntry[], now: Date): BackupMeasures {
  const past = backups.filter((backup) => !isAheadOf(backup, now))
  const dated = past.filter(({ id }) => isBackupId(id))
  const manifests = past.flatMap(({ manifest }) => manifest ?? [])
  const [newest] = dated.flatMap(({ manifest }) => manifest ?? [])
  const drilled = dated.find(({ drill }) => drill?.kind === "drilled")
  const goodDrills = past.flatMap(({ findings }) => findings.filter(({ kind }) => kind === "drilled"))
  const lastGoodDrill = goodDrills.toSorted((a, b) => b.at.getTime() - a.at.getTime())[0]
  const countOf = (wanted: BackupState) => past.filter(({ state }) => state === wanted).length
  return {
    count: { verified: countOf("verified"), unverified: countOf("unverified"), failed: countOf("failed") },
    unreadable: past.filter(({ problem }) => problem !== undefined).length,
    storedBytes: manifests.reduce((sum, manifest) => sum + storedBytes(manifest), 0),
    newest: newest
      ? {
          id: newest.id,
          startedAt: startOf(newest.id).toISOString(),
          seconds: Math.max(0, Date.parse(newest.finishedAt) - Date.parse(newest.startedAt)) / 1000,
          storedBytes: storedBytes(newest),
          rawBytes: rawBytes(newest),
          sourceBytes: newest.source.sizeBytes,
          rows: newest.tableRows?.reduce((sum, { rows }) => sum + rows, 0) ?? null,
        }
      : null,
    newestDrilledAt: drilled ? startOf(drilled.id).toISOString() : null,
    lastGoodDrillAt: lastGoodDrill?.at.toISOString() ?? null,
  }
}
