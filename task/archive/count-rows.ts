import { PgstowError } from "../errors.ts"

/** What an archive holds, by the dump ids of the entries that stand for it. */
export type ArchiveCounts = {
  /** Of each table whose rows are in there. */
  readonly rows: ReadonlyMap<number, number>
  readonly largeObjects: number
}

const blocks = { rows: 1, largeObjects: 3 }
const newline = 0x0a
/** What stands behind the rows of each table: `\.` and two empty lines. */
const linesOfEnd = 3

/**
 * Counts the rows in an archive of pg_dump's custom format, whose head has so many bytes and whose rows are not compressed in
 * it: in COPY's text format a row is a line. The layout is that of _PrintTocData in PostgreSQL's pg_backup_custom.c.
 *
 * Rejects with a PgstowError "damaged" where the archive ends too early, or is none.
 */
export async function countRows(archive: AsyncIterable<Buffer>, headBytes: number): Promise<ArchiveCounts> {
  const counter = openCounter(headBytes)
  for await (const chunk of archive) counter.push(chunk)
  return counter.end()
}

/** What the next bytes are: pg_dump writes each row as a piece of its own, with its length before it. */
type Next = "kind" | "dumpId" | "oid" | "length" | "content"

const integerBytes = 5

/** Takes the archive as it comes, piece by piece: there are too many rows to wait for each. */
function openCounter(headBytes: number) {
  const rows = new Map<number, number>()
  let largeObjects = 0
  let next: Next = "kind"
  /** So many bytes of a content, or of the head, are still to come. */
  let left = headBytes
  let kind = 0
  let dumpId = 0
  let lines = 0
  /** The beginning of an integer that goes on in the next chunk. */
  let begun = Buffer.alloc(0)

  const comes = (one: Next) => next === one
  const take = (value: number) => {
    if (next === "dumpId") {
      dumpId = value
      lines = 0
      next = kind === blocks.rows ? "length" : "oid"
    } else if (next === "oid") {
      if (value === 0) next = "kind"
      else {
        largeObjects += 1
        next = "length"
      }
    } else if (value > 0) {
      left = value
      next = "content"
    } else if (kind === blocks.rows) {
      rows.set(dumpId, Math.max(0, lines - linesOfEnd))
      next = "kind"
    } else next = "oid"
  }
  return {
    push(chunk: Buffer) {
      let at = Math.min(left, chunk.length)
      if (next === "content" && kind === blocks.rows) lines += linesIn(chunk, 0, at)
      left -= at
      while (at < chunk.length) {
        if (next === "content") next = "length"
        if (next === "kind") {
          kind = chunk[at] ?? 0
          at += 1
          if (kind !== blocks.rows && kind !== blocks.largeObjects)
            throw new PgstowError("damaged", `the dump holds a block of the unknown kind ${kind}`)
          next = "dumpId"
          continue
        }
        const wanted = integerBytes - begun.length
        if (begun.length > 0 || at + wanted > chunk.length) {
          begun = Buffer.concat([begun, chunk.subarray(at, at + wanted)])
          at += Math.min(wanted, chunk.length - at)
          if (begun.length < integerBytes) return
          take(integerAt(begun, 0))
          begun = Buffer.alloc(0)
        } else {
          take(integerAt(chunk, at))
          at += integerBytes
        }
        if (!comes("content")) continue
        const end = Math.min(at + left, chunk.length)
        if (kind === blocks.rows) lines += linesIn(chunk, at, end)
        left -= end - at
        at = end
      }
    },
    end(): ArchiveCounts {
      if (next !== "kind" || left > 0) throw new PgstowError("damaged", "the dump ends within its rows")
      return { rows, largeObjects }
    },
  }
}

/** A sign and four bytes, the lowest first. */
function integerAt(bytes: Buffer, at: number): number {
  const value = bytes.readUInt32LE(at + 1)
  return bytes[at] === 0 ? value : -value
}

/** From here on, looking for the next one costs less than looking at each byte. */
const longBytes = 256

function linesIn(bytes: Buffer, from: number, to: number): number {
  let lines = 0
  if (to - from < longBytes) {
    for (let at = from; at < to; at++) if (bytes[at] === newline) lines += 1
    return lines
  }
  const part = bytes.subarray(from, to)
  for (let found = part.indexOf(newline); found !== -1; found = part.indexOf(newline, found + 1)) lines += 1
  return lines
}
