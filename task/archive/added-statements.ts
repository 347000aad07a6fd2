import { parseToc } from "./toc.ts"

/**
 * The head of an archive that has pg_restore run a statement, in ASCII, right after it has made what an entry says.
 * The entries are named by their dumpId, and must be of a kind that is made by SQL: not TABLE DATA.
 */
export function withStatements(head: Buffer, statements: ReadonlyMap<number, string>): Buffer {
  const toc = parseToc(head)
  if (!toc || statements.size === 0) return head
  const pieces: Buffer[] = []
  let at = 0
  for (const [index, { dumpId }] of toc.entries.entries()) {
    const statement = statements.get(dumpId)
    const lengthAt = toc.head.definitionsAt[index]
    if (statement === undefined || lengthAt === undefined) continue
    const lengthBytes = head.readUInt32LE(lengthAt + 1)
    const endAt = lengthAt + 5 + lengthBytes
    const added = Buffer.from(`${statement}\n`)
    const length = Buffer.alloc(4)
    length.writeUInt32LE(lengthBytes + added.length)
    pieces.push(head.subarray(at, lengthAt + 1), length, head.subarray(lengthAt + 5, endAt), added)
    at = endAt
  }
  return Buffer.concat([...pieces, head.subarray(at)])
}
