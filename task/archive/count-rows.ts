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
  const rows = new Map<number, number>()
  let largeObjects = 0
  const reader = readerOf(archive)
  await reader.skip(headBytes)
  for (let kind = await reader.byteOrEnd(); kind !== undefined; kind = await reader.byteOrEnd()) {
    const dumpId = await reader.integer()
    if (kind === blocks.rows) {
      let lines = 0
      for (let bytes = await reader.integer(); bytes > 0; bytes = await reader.integer())
        lines += await reader.countLines(bytes)
      rows.set(dumpId, Math.max(0, lines - linesOfEnd) + (rows.get(dumpId) ?? 0))
    } else if (kind === blocks.largeObjects) {
      for (let oid = await reader.integer(); oid !== 0; oid = await reader.integer()) {
        largeObjects += 1
        for (let bytes = await reader.integer(); bytes > 0; bytes = await reader.integer())
          await reader.skip(bytes)
      }
    } else throw new PgstowError("damaged", `the dump holds a block of the unknown kind ${kind}`)
  }
  return { rows, largeObjects }
}

function readerOf(archive: AsyncIterable<Buffer>) {
  const chunks = archive[Symbol.asyncIterator]()
  let chunk: Buffer = Buffer.alloc(0)
  let at = 0
  /** Whether there is more, which then stands in `chunk` from `at` on. */
  const more = async (): Promise<boolean> => {
    while (at === chunk.length) {
      const next = await chunks.next()
      if (next.done === true) return false
      chunk = next.value
      at = 0
    }
    return true
  }
  const byteOrEnd = async () => ((await more()) ? chunk[at++] : undefined)
  const byte = async () => {
    const one = await byteOrEnd()
    if (one === undefined) throw tooShort()
    return one
  }
  const each = async (bytes: number, use: (part: Buffer) => void) => {
    for (let left = bytes; left > 0; ) {
      if (!(await more())) throw tooShort()
      const part = chunk.subarray(at, at + left)
      use(part)
      at += part.length
      left -= part.length
    }
  }
  return {
    byteOrEnd,
    /** A sign and four bytes, the lowest first. */
    async integer() {
      const sign = await byte()
      const value =
        (await byte()) + 0x100 * (await byte()) + 0x10000 * (await byte()) + 0x1000000 * (await byte())
      return sign === 0 ? value : -value
    },
    skip: (bytes: number) => each(bytes, () => {}),
    async countLines(bytes: number) {
      let lines = 0
      await each(bytes, (part) => {
        for (let found = part.indexOf(newline); found !== -1; found = part.indexOf(newline, found + 1))
          lines += 1
      })
      return lines
    },
  }
}

function tooShort(): PgstowError {
  return new PgstowError("damaged", "the dump ends within its rows")
}
