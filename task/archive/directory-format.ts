import { PgstowError, useAnotherCopy } from "../errors.ts"
import { parseToc, version } from "./toc.ts"

/** A piece of a file of a directory as `pg_dump --format=directory` makes it: what comes next in it. */
export type FilePiece = { readonly file: string; readonly bytes: Buffer }

/** The name of the file that makes a directory an archive, and so must be written last. */
export const tocFile = "toc.dat"

// The table of contents of a directory bears tar's number: pg_backup_directory.c.
const tarFormat = 3
const formatAt = 10

/**
 * Takes an archive in the custom format apart into the files of the directory format, which needs no more than its own
 * table of contents: rows are the same in both. The layouts are those of PostgreSQL's pg_backup_custom.c and
 * pg_backup_directory.c. The pieces of a file follow each other; the last is all of `toc.dat`.
 *
 * @param head what the archive begins with, up to the rows
 * @param archive all of it, the head included
 *
 * The stream fails with a PgstowError "damaged" where the archive does not keep to the format.
 */
export async function* directoryFiles(
  head: Buffer,
  archive: AsyncIterable<Buffer>,
): AsyncGenerator<FilePiece> {
  const toc = parseToc(head)
  if (!toc) throw damaged("its table of contents is cut short")
  const { isCompressed, extrasAt, version: layout } = toc.head
  if (isCompressed)
    throw new PgstowError("usage", "the rows of this archive are compressed in themselves", {
      hint: "Export it as one file: --format custom.",
    })
  const blobs = new Map<number, string>()
  const parser = new BlockParser()
  let skip = head.length
  for await (const chunk of archive) {
    const rest = chunk.subarray(Math.min(skip, chunk.length))
    skip -= chunk.length - rest.length
    for (const { dumpId, oid, bytes } of parser.parse(rest)) {
      if (oid !== undefined) {
        const known = blobs.get(dumpId) ?? ""
        const line = `${oid} blob_${oid}.dat\n`
        if (!known.endsWith(line)) blobs.set(dumpId, known + line)
        yield { file: `blob_${oid}.dat`, bytes }
      } else yield { file: `${dumpId}.dat`, bytes }
    }
  }
  if (!parser.isAtEnd()) throw damaged("it ends within its rows")
  for (const entry of toc.entries)
    if (entry.kind === "BLOBS" && entry.hasData)
      yield {
        file: blobsFile(entry.dumpId, layout),
        bytes: Buffer.from(blobs.get(entry.dumpId) ?? ""),
      }
  const pieces: Buffer[] = [head.subarray(0, formatAt), Buffer.from([tarFormat])]
  let at = formatAt + 1
  for (const [index, { dumpId, kind, hasData }] of toc.entries.entries()) {
    const extraAt = extrasAt[index] ?? head.length
    const file = hasData ? (kind === "BLOBS" ? blobsFile(dumpId, layout) : `${dumpId}.dat`) : ""
    const length = Buffer.alloc(integerBytes)
    length.writeUInt32LE(file.length, 1)
    pieces.push(head.subarray(at, extraAt), length, Buffer.from(file))
    at = extraAt + extraBytes
  }
  yield { file: tocFile, bytes: Buffer.concat([...pieces, head.subarray(at)]) }
}

const integerBytes = 5
/** Of an entry in the custom format: whether there is an offset, and that. */
const extraBytes = 9

/** Before PostgreSQL 17 there is one entry for all large objects, and pg_restore knows its file's name. */
function blobsFile(dumpId: number, layout: number): string {
  return layout < version.withRelationKind ? "blobs.toc" : `blobs_${dumpId}.toc`
}

const rowsBlock = 1
const blobsBlock = 3

type Content = { readonly dumpId: number; readonly oid: number | undefined; readonly bytes: Buffer }

/** Takes the blocks after the head apart, in chunks as they come. Each content begins with a piece, which may be empty. */
class BlockParser {
  #state: "block" | "id" | "oid" | "length" | "bytes" = "block"
  #pending = Buffer.alloc(0)
  #isOfBlobs = false
  #dumpId = 0
  #oid: number | undefined
  #left = 0

  isAtEnd(): boolean {
    return this.#state === "block" && this.#pending.length === 0
  }

  *parse(chunk: Buffer): Generator<Content> {
    const input = this.#pending.length > 0 ? Buffer.concat([this.#pending, chunk]) : chunk
    let at = 0
    while (at < input.length) {
      if (this.#state === "bytes") {
        const end = Math.min(input.length, at + this.#left)
        yield this.#content(input.subarray(at, end))
        this.#left -= end - at
        at = end
        if (this.#left === 0) this.#state = "length"
        continue
      }
      const bytes = this.#state === "block" ? 1 : integerBytes
      if (input.length - at < bytes) break
      if (this.#state === "block") this.#begin(input.readUInt8(at))
      else {
        const value = input.readUInt32LE(at + 1)
        const number = input.readUInt8(at) === 0 ? value : -value
        const content = this.#take(number)
        if (content) yield content
      }
      at += bytes
    }
    this.#pending = Buffer.from(input.subarray(at))
  }

  #begin(type: number): void {
    if (type !== rowsBlock && type !== blobsBlock) throw damaged(`it has a block of the unknown type ${type}`)
    this.#isOfBlobs = type === blobsBlock
    this.#oid = undefined
    this.#state = "id"
  }

  /** Takes a number; gives the empty piece that a content begins with. */
  #take(number: number): Content | undefined {
    if (this.#state === "id") {
      this.#dumpId = number
      this.#state = this.#isOfBlobs ? "oid" : "length"
      return this.#isOfBlobs ? undefined : this.#content(Buffer.alloc(0))
    }
    if (this.#state === "oid") {
      // An oid is unsigned, and written as if it had a sign.
      this.#oid = number >>> 0
      this.#state = number === 0 ? "block" : "length"
      return number === 0 ? undefined : this.#content(Buffer.alloc(0))
    }
    if (number < 0) throw damaged("it has rows of a negative length")
    this.#left = number
    this.#state = number > 0 ? "bytes" : this.#isOfBlobs ? "oid" : "block"
    return undefined
  }

  #content(bytes: Buffer): Content {
    return { dumpId: this.#dumpId, oid: this.#oid, bytes }
  }
}

function damaged(how: string): PgstowError {
  return new PgstowError("damaged", `the archive can't be taken apart: ${how}`, { hint: useAnotherCopy })
}
