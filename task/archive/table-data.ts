import type { SegmentObject } from "../core/manifest.ts"
import { identifier } from "../core/quote.ts"
import { PgstowError, useAnotherCopy } from "../errors.ts"
import { numberOf, type Toc, type TocEntry, version } from "./toc.ts"

/** A table whose rows are not in the archive. */
export type SegmentedTable = {
  readonly table: TocEntry
  /** The entry that stands for its rows. */
  readonly entry: TocEntry
  readonly segments: readonly SegmentObject[]
}

/** An archive whose table of contents also has the tables of segments. */
export type JoinedToc = {
  readonly entries: readonly TocEntry[]
  /** Stands in place of the archive's own head. */
  readonly head: Buffer
  /** The archive's own head. */
  readonly ownHead: Buffer
  /** In the order in which their rows must follow the archive's own. */
  readonly tables: readonly SegmentedTable[]
}

/**
 * Puts the tables of segments into the table of contents of the archive that they belong to, as pg_dump would
 * have done with their rows. The layout is that of WriteToc in PostgreSQL's pg_backup_archiver.c.
 *
 * Throws a PgstowError "damaged" where the archive lacks such a table.
 */
export function joinToc({ entries, head }: Toc, segments: readonly SegmentObject[]): JoinedToc {
  let dumpId = Math.max(0, ...entries.map((entry) => entry.dumpId))
  const byTable = Map.groupBy(segments, ({ schema, table }) => `${identifier(schema)}.${identifier(table)}`)
  const tables = [...byTable].map(([name, segments]): SegmentedTable => {
    const [first] = segments
    const table = entries.find(
      (entry) => entry.kind === "TABLE" && entry.schema === first?.schema && entry.name === first?.table,
    )
    if (!table || !first)
      throw new PgstowError("damaged", `the backup has rows of ${name}, and no such table`, {
        hint: useAnotherCopy,
      })
    dumpId += 1
    const { name: tag, schema, owner } = table
    const rows = { kind: "TABLE DATA", section: "data", name: tag, schema, owner } as const
    const none = { tableOid: 0, oid: 0, definition: "" }
    const entry = { ...rows, ...none, dumpId, hasData: true, dependsOn: [table.dumpId] }
    return { table, entry, segments }
  })
  const added = tables.map(({ entry }) => entry)
  return {
    entries: [...entries.slice(0, head.beforePostData), ...added, ...entries.slice(head.beforePostData)],
    head: Buffer.concat([
      head.bytes.subarray(0, head.countAt),
      integer(entries.length + added.length),
      head.bytes.subarray(head.countAt + integerBytes, head.postDataAt),
      ...tables.map((table) => tocEntry(table, head.version)),
      head.bytes.subarray(head.postDataAt),
    ]),
    ownHead: head.bytes,
    tables,
  }
}

/** Those of the tables whose rows are among these entries. */
export function tablesAmong(entries: readonly TocEntry[], { tables }: JoinedToc): SegmentedTable[] {
  const chosen = new Set(entries)
  return tables.filter(({ entry }) => chosen.has(entry))
}

/**
 * The archive with rows from `sources`, one after the other. What `openMain` and `open` give is decompressed; the
 * stream fails where they do. pg_restore passes over what it does not look for, and so over rows that come twice.
 */
export async function* joinedArchive(
  openMain: () => AsyncIterable<Buffer>,
  { head, ownHead }: Pick<JoinedToc, "head" | "ownHead">,
  sources: readonly ("archive" | SegmentedTable)[],
  open: (segment: SegmentObject) => AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  yield head
  for (const source of sources) {
    if (source === "archive") {
      let skip = ownHead.length
      for await (const chunk of openMain()) {
        if (skip < chunk.length) yield chunk.subarray(skip)
        skip = Math.max(0, skip - chunk.length)
      }
      continue
    }
    const { entry, segments } = source
    yield Buffer.concat([Buffer.from([dataBlock]), integer(entry.dumpId)])
    for (const segment of segments)
      for await (const chunk of open(segment)) if (chunk.length > 0) yield* [integer(chunk.length), chunk]
    yield Buffer.concat([integer(endOfRows.length), endOfRows, integer(0)])
  }
}

const integerBytes = 5
const dataBlock = 1
const offsetNotSet = 1
const endOfRows = Buffer.from("\\.\n\n\n")

function tocEntry({ entry, segments }: SegmentedTable, archive: number): Buffer {
  const columns = segments[0]?.columns.map(identifier).join(", ")
  const name = `${identifier(entry.schema ?? "")}.${identifier(entry.name)}`
  const missing = text(undefined)
  return Buffer.concat([
    integer(entry.dumpId),
    integer(1), // rows follow
    text("0"), // the system table and the oid
    text("0"),
    text(entry.name),
    text(entry.kind),
    integer(numberOf("data")),
    text(""), // how to make it, and how to drop it
    text(""),
    text(`COPY ${name} (${columns}) FROM stdin;\n`),
    text(entry.schema),
    missing, // the tablespace and the access method
    missing,
    ...(archive >= version.withRelationKind ? [integer(0)] : []),
    text(entry.owner),
    text("false"), // whether the table has oids
    ...entry.dependsOn.map((id) => text(String(id))),
    missing,
    Buffer.from([offsetNotSet, 0, 0, 0, 0, 0, 0, 0, 0]),
  ])
}

/** A sign and four bytes, the lowest first. */
function integer(value: number): Buffer {
  const bytes = Buffer.alloc(integerBytes)
  bytes.writeUInt8(value < 0 ? 1 : 0)
  bytes.writeUInt32LE(Math.abs(value), 1)
  return bytes
}

function text(value: string | undefined): Buffer {
  if (value === undefined) return integer(-1)
  const bytes = Buffer.from(value)
  return Buffer.concat([integer(bytes.length), bytes])
}
