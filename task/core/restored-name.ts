/** PostgreSQL cuts a longer name off without an error. */
const maxNameBytes = 63

/** What a restored database is called unless its user says: `orders_restored_202601020300`, after the backup's start. */
export function restoredName(database: string, startedAt: Date): string {
  const suffix = `_restored_${startedAt.toISOString().slice(0, 16).replaceAll(/[-:T]/g, "")}`
  return startOf(database, maxNameBytes - suffix.length) + suffix
}

/** What a database is called until it is known to be good. */
export function incompleteName(name: string): string {
  const prefix = "incomplete_"
  return prefix + startOf(name, maxNameBytes - prefix.length)
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
