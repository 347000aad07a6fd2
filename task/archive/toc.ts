import { PgstowError } from "../errors.ts"

/** One entry of the table of contents of an archive that pg_dump wrote in its custom format. */
export type TocEntry = {
  /** The entry's number: what `pg_restore --use-list` and `dependsOn` call it. */
  readonly dumpId: number
  /** The system table that the object is a row of, and the row's oid; 0 where it is none. */
  readonly tableOid: number
  readonly oid: number
  /** What it is, in pg_dump's words: "TABLE", "TABLE DATA", "FK CONSTRAINT", … */
  readonly kind: string
  /**
   * What it is called. Of an object that hangs on a table, but for indexes: the table's name, a space and its own.
   * Of a comment, a grant or a security label: what that is on, in SQL.
   */
  readonly name: string
  readonly schema: string | undefined
  readonly owner: string
  /** When it is to be restored. A remark or a grant, which has no section of its own, is in that of what it is on. */
  readonly section: Section
  readonly definition: string
  /** Where it lies, if not in the database's own tablespace. */
  readonly tablespace?: string | undefined
  /** Whether rows or large objects follow for it. */
  readonly hasData: boolean
  /** In the order in which pg_dump wrote them; some are named twice, some are in no archive. */
  readonly dependsOn: readonly number[]
}

export type Section = "pre-data" | "data" | "post-data"

/** The head of an archive. The entries stand in the order in which they must be restored. */
export type Toc = {
  /** The name of the database that was dumped, and the versions of its server and of pg_dump. */
  readonly database: string
  readonly serverVersion: string
  readonly dumpVersion: string
  readonly entries: readonly TocEntry[]
  /** The head itself, and what of it `withTableData` changes. */
  readonly head: Head
}

export type Head = {
  readonly bytes: Buffer
  /** The version of the archive's layout: 0x010f is 1.15. */
  readonly version: number
  /** Where the number of the entries stands. */
  readonly countAt: number
  /** Where the entries that come after all rows begin, and the number of those before. */
  readonly postDataAt: number
  readonly beforePostData: number
  /** Where each entry's definition stands: a sign, four bytes for its length, and itself. */
  readonly definitionsAt: readonly number[]
  /** Where each entry's last nine bytes stand, which only this format has: whether an offset follows, and that. */
  readonly extrasAt: readonly number[]
  /** Where each entry's COPY statement stands, with its length before it. */
  readonly copiesAt: readonly number[]
  /** Whether rows are compressed within the archive. */
  readonly isCompressed: boolean
}

/**
 * Reads the table of contents at the head of an archive, and leaves the rest unread.
 *
 * Rejects with a PgstowError "damaged" where the stream holds no such archive, or ends too early.
 */
export async function readToc(archive: AsyncIterable<Uint8Array>): Promise<Toc> {
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  let tryAtBytes = 0
  for await (const chunk of archive) {
    chunks.push(chunk)
    sizeBytes += chunk.length
    if (sizeBytes < tryAtBytes) continue
    const toc = parseToc(Buffer.concat(chunks))
    if (toc) return toc
    // Only when twice as much is there: starting over with each chunk would take quadratic time.
    tryAtBytes = 2 * sizeBytes
  }
  const toc = parseToc(Buffer.concat(chunks))
  if (toc) return toc
  throw new PgstowError("damaged", "the dump ends within its table of contents")
}

/**
 * The table of contents of an archive that begins with `bytes`; undefined where more bytes are needed. The layout
 * is that of ReadHead and ReadToc in PostgreSQL's src/bin/pg_dump/pg_backup_archiver.c; it is the same in the
 * archives of PostgreSQL 12 to 18 but for what their versions say.
 */
export function parseToc(bytes: Buffer): Toc | undefined {
  try {
    return parseHead(new Cursor(bytes))
  } catch (error) {
    if (error instanceof MoreBytesNeeded) return undefined
    throw error
  }
}

const customFormat = 1
export const version = { oldest: 0x010e, withAlgorithm: 0x010f, withRelationKind: 0x0110, newest: 0x0110 }

function parseHead(cursor: Cursor): Toc {
  if (cursor.bytes(5).toString("latin1") !== "PGDMP")
    throw new PgstowError("damaged", "the dump is not in pg_dump's custom format")
  const archive = 0x100 * cursor.byte() + cursor.byte()
  cursor.byte()
  if (archive < version.oldest || archive > version.newest)
    throw new PgstowError(
      "usage",
      `the dump's table of contents has version ${archive >> 8}.${archive & 0xff}, which pgstow cannot read`,
      { hint: "Restore all of it: only choosing tables or schemas needs the table of contents." },
    )
  const [integerBytes, offsetBytes, format] = [cursor.byte(), cursor.byte(), cursor.byte()]
  if (integerBytes !== 4 || offsetBytes !== 8 || format !== customFormat)
    throw new PgstowError("damaged", "the dump is not in pg_dump's custom format")

  const isCompressed = (archive >= version.withAlgorithm ? cursor.byte() : cursor.integer()) !== 0
  const timeFields = 7
  for (let field = 0; field < timeFields; field++) cursor.integer()
  const [database = "", serverVersion = "", dumpVersion = ""] = [cursor.text(), cursor.text(), cursor.text()]
  const countAt = cursor.at
  const entries: TocEntry[] = []
  const definitionsAt: number[] = []
  const extrasAt: number[] = []
  const copiesAt: number[] = []
  let postData: { readonly at: number; readonly before: number } | undefined
  for (let left = cursor.integer(); left > 0; left--) {
    const { at } = cursor
    const { entry, definitionAt, copyAt } = parseEntry(cursor, archive, entries.at(-1)?.section)
    if (entry.section === "post-data") postData ??= { at, before: entries.length }
    entries.push(entry)
    definitionsAt.push(definitionAt)
    extrasAt.push(cursor.at - offsetBytes - 1)
    copiesAt.push(copyAt)
  }
  const { at = cursor.at, before = entries.length } = postData ?? {}
  const head = {
    bytes: cursor.before(),
    version: archive,
    countAt,
    postDataAt: at,
    beforePostData: before,
    definitionsAt,
    extrasAt,
    copiesAt,
    isCompressed,
  }
  return { database, serverVersion, dumpVersion, entries, head }
}

/** By pg_dump's numbers. Those without a section, 1, come after what they belong to. */
const sections: readonly (Section | undefined)[] = [undefined, undefined, "pre-data", "data", "post-data"]

export function numberOf(section: Section): number {
  return sections.indexOf(section)
}

function parseEntry(
  cursor: Cursor,
  archive: number,
  before: Section = "pre-data",
): { readonly entry: TocEntry; readonly definitionAt: number; readonly copyAt: number } {
  const dumpId = cursor.integer()
  const hasData = cursor.integer() !== 0
  const [tableOid, oid] = [Number(cursor.text()), Number(cursor.text())]
  const [name = "", kind = ""] = [cursor.text(), cursor.text()]
  const section = sections[cursor.integer()] ?? before
  const definitionAt = cursor.at
  const definition = cursor.text() ?? ""
  cursor.skipText() // how to drop it
  const copyAt = cursor.at
  cursor.skipText() // the COPY command
  const schema = cursor.text()
  const tablespace = cursor.text()
  cursor.skipText() // the access method
  if (archive >= version.withRelationKind) cursor.integer()
  const owner = cursor.text() ?? ""
  cursor.skipText() // whether the table has oids, long gone
  const dependsOn: number[] = []
  for (let id = cursor.text(); id !== undefined; id = cursor.text()) dependsOn.push(Number(id))
  cursor.byte() // whether there is an offset, and that
  cursor.bytes(8)
  const entry = {
    section,
    dumpId,
    tableOid,
    oid,
    kind,
    name,
    schema: schema === "" ? undefined : schema,
    owner,
    definition,
    tablespace: tablespace === "" ? undefined : tablespace,
    hasData,
    dependsOn,
  }
  return { entry, definitionAt, copyAt }
}

class MoreBytesNeeded extends Error {}

/** Reads pg_dump's integers and texts, one after the other. */
class Cursor {
  readonly #buffer: Buffer
  #at = 0

  constructor(buffer: Buffer) {
    this.#buffer = buffer
  }

  get at(): number {
    return this.#at
  }

  /** All bytes up to here. */
  before(): Buffer {
    return this.#buffer.subarray(0, this.#at)
  }

  bytes(count: number): Buffer {
    const end = this.#at + count
    if (end > this.#buffer.length) throw new MoreBytesNeeded()
    const bytes = this.#buffer.subarray(this.#at, end)
    this.#at = end
    return bytes
  }

  byte(): number {
    return this.bytes(1).readUInt8()
  }

  /** A sign and four bytes, the lowest first. */
  integer(): number {
    const [sign, value] = [this.byte(), this.bytes(4).readUInt32LE()]
    return sign === 0 ? value : -value
  }

  /** A length and UTF-8 bytes; undefined where the length is -1. */
  text(): string | undefined {
    const length = this.integer()
    return length < 0 ? undefined : this.bytes(length).toString("utf8")
  }
  skipText(): void {
    this.bytes(Math.max(0, this.integer()))
  }
}
