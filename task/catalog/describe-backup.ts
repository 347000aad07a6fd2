import { formatBytes, formatDuration, formatName } from "../console/format.ts"
import { startOf } from "../core/backup-id.ts"
import { type Manifest, partialInWords, storedBytes } from "../core/manifest.ts"
import type { BackupName } from "./catalog.ts"

/**
 * Which backup it is, for a person who has named it by `latest` or the beginning of its id: "20260102T030000Z-k3v9x2ab
 * of orders, 5 h 10 min old, 1.4 GiB"; without its size where its manifest can't be read.
 */
export function describeBackup(
  { id, database }: BackupName,
  manifest: Manifest | undefined,
  now: Date,
): string {
  const size = manifest ? [formatBytes(storedBytes(manifest))] : []
  const scope = manifest && partialInWords(manifest)
  const partial = scope === undefined ? [] : [`partial (${formatName(scope)})`]
  return [`${id} of ${formatName(database)}`, formatAge(id, now), ...size, ...partial].join(", ")
}

/** How old a backup is, by when it was started: "5 h 10 min old". */
export function formatAge(id: string, now: Date): string {
  const seconds = (now.getTime() - startOf(id).getTime()) / 1000
  return seconds < 0 ? "dated in the future" : `${formatDuration(seconds)} old`
}
