/**
 * A backup's id: the time it was started, in UTC and to the second, and eight characters: the millisecond in base
 * 36, and six random ones. So ids sort by time, and two backups started at once stay apart:
 * `20260102T030000Z-b3v9x2ab`.
 */
export type BackupId = string

const idPattern = /^(.*)-[0-9a-z]{8}$/
const timestampPattern = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/
const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"

/** @param random six values, each from 0 (inclusive) to 1 (exclusive) */
export function backupId(startedAt: Date, random: readonly number[]): BackupId {
  const millisecond = startedAt.getUTCMilliseconds().toString(36).padStart(2, "0")
  return `${formatTimestamp(startedAt)}-${millisecond}${randomSuffix(random.slice(0, 6))}`
}

export function isBackupId(text: string): boolean {
  return parseTimestamp(idPattern.exec(text)?.[1] ?? "") !== undefined
}

/** When the backup of this id was started. Throws a RangeError where `id` is none. */
export function startOf(id: BackupId): Date {
  const time = parseTimestamp(idPattern.exec(id)?.[1] ?? "")
  if (!time) throw new RangeError(`not a backup id: ${id}`)
  return time
}

/** A character of 0-9a-z for each value, which is from 0 (inclusive) to 1 (exclusive). */
export function randomSuffix(random: readonly number[]): string {
  return random.map((value) => alphabet[Math.floor(value * alphabet.length)]).join("")
}

/** "20260102T030000Z": as in names that sort by time. */
export function formatTimestamp(time: Date): string {
  return `${time.toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`
}

/** The time of what `formatTimestamp` wrote; undefined where `text` is not that, or no time there is. */
export function parseTimestamp(text: string): Date | undefined {
  const fields = timestampPattern.exec(text)
  if (!fields) return undefined
  const [, year, month, day, hour, minute, second] = fields
  const time = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  // Date takes the 31st of a shorter month for the 1st of the next.
  return Number.isNaN(time.getTime()) || formatTimestamp(time) !== text ? undefined : time
}
