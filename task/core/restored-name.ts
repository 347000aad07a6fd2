/** PostgreSQL cuts a longer name off without an error. */
const maxNameBytes = 63

/**
 * What a restored database is called unless its user says: `orders_restored_202601020300`, after the backup's start. With
 * a `number` from 2 on, `orders_restored_202601020300_2`: where there is one of that name.
 */
export function restoredName(database: string, startedAt: Date, number = 1): string {
  return withMinute(database, "_restored_", startedAt, number === 1 ? "" : `_${number}`)
}

/** What a database may be called when a restored one takes its place: `orders_replaced_202601020300`, after that time. */
export function replacedName(database: string, at: Date): string {
  return withMinute(database, "_replaced_", at)
}

/** What a database is called until it is known to be good. */
export function incompleteName(name: string): string {
  return withPrefix("incomplete_", name)
}

/** What a database is called that another has just taken the name of, until it is dropped. */
export function outgoingName(name: string): string {
  return withPrefix("replaced_", name)
}

function withPrefix(prefix: string, name: string): string {
  return prefix + startOf(name, maxNameBytes - prefix.length)
}

function withMinute(database: string, word: string, time: Date, end = ""): string {
  const suffix = word + time.toISOString().slice(0, 16).replaceAll(/[-:T]/g, "") + end
  return startOf(database, maxNameBytes - suffix.length) + suffix
}

/** As many whole characters as fit. */
function startOf(text: string, maxBytes: number): string {
  let start = ""
  for (const character of text) {
    if (Buffer.byteLength(start + character) > maxBytes) break
    start += character
  }
  return start
}
