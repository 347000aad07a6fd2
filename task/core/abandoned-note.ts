import { formatTimestamp, parseTimestamp, randomSuffix } from "./backup-id.ts"

/**
 * The name, among a backup's checks, of the note that its folder has no manifest. No finding: it says nothing of a
 * backup that has one.
 *
 * @param random eight values, each from 0 (inclusive) to 1 (exclusive)
 */
export function abandonedNoteName(at: Date, random: readonly number[]): string {
  return `${formatTimestamp(at)}-abandoned-${randomSuffix(random)}.json`
}

/** When the note of this name was written; undefined where it is none. */
export function abandonedNoteTime(name: string): Date | undefined {
  return parseTimestamp(/^(\w+)-abandoned-[0-9a-z]{8}\.json$/.exec(name)?.[1] ?? "")
}
