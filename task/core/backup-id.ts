/**
 * A backup's id: the time it was started (UTC, to the second) and eight random characters, so that ids sort by
 * time and two backups started in the same second stay apart: `20260102T030000Z-k3v9x2ab`.
 */
export type BackupId = string

const idPattern = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z-[0-9a-z]{8}$/
const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"

/** @param random eight values, each from 0 (inclusive) to 1 (exclusive) */
export function backupId(startedAt: Date, random: readonly number[]): BackupId {
  const time = `${startedAt.toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`
  const suffix = random
    .slice(0, 8)
    .map((value) => alphabet[Math.floor(value * alphabet.length)])
    .join("")
  return `${time}-${suffix}`
}

export function isBackupId(text: string): boolean {
  return idPattern.test(text)
}

/** When the backup of this id was started. Throws a RangeError where `id` is none. */
export function startOf(id: BackupId): Date {
  const fields = idPattern.exec(id)
  if (!fields) throw new RangeError(`not a backup id: ${id}`)
  const [, year, month, day, hour, minute, second] = fields
  return new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
}
