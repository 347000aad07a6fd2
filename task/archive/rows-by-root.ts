import { identifier } from "../core/quote.ts"
import { type Archive, withoutQuoted } from "./archive.ts"
import { parseToc, type TocEntry } from "./toc.ts"

/**
 * Partitions, each with the topmost of the tables that it is a part of. Their rows go in by that one, as with pg_dump's
 * --load-via-partition-root, since the server may place them elsewhere than the backup's did.
 */
export type Roots = ReadonlyMap<TocEntry, TocEntry>

/**
 * Finds the partitions by keys that may hold text, which another collation, another version of it or another encoding
 * sorts, compares and hashes otherwise.
 *
 * @param refused what could not be attached, by its dump id, and so stands alone
 */
export function rootsByText(archive: Archive, refused: ReadonlySet<number> = new Set()): Roots {
  const parents = new Map<TocEntry, TocEntry>()
  for (const entry of archive.entries) {
    if (entry.kind !== "TABLE ATTACH" || refused.has(entry.dumpId)) continue
    const child = archive.owner(entry)
    const parent = archive.dependencies(entry).find((one) => one.kind === "TABLE" && one !== child)
    if (child && parent) parents.set(child, parent)
  }
  const rootOf = (table: TocEntry): TocEntry => {
    const parent = parents.get(table)
    return parent ? rootOf(parent) : table
  }
  const byText = new Set([...parents.values()].filter(mayBeByText).map(rootOf))
  return new Map(
    [...parents.keys()]
      .map((table) => [table, rootOf(table)] as const)
      .filter(([, root]) => byText.has(root)),
  )
}

/** By the dump ids of the entries that stand for rows: the tables to copy them into. */
export type Copies = ReadonlyMap<number, TocEntry>

export function copiesInto(archive: Archive, roots: Roots): Copies {
  const rows = archive.entries.filter(({ kind }) => kind === "TABLE DATA")
  return new Map(
    rows.flatMap((entry) => {
      const owner = archive.owner(entry)
      const root = owner && roots.get(owner)
      return root ? [[entry.dumpId, root] as const] : []
    }),
  )
}

/** The head of an archive that has pg_restore copy rows into these tables. */
export function withCopiesInto(head: Buffer, copies: Copies): Buffer {
  const toc = parseToc(head)
  if (!toc) throw new RangeError("this is no head of an archive")
  const pieces: Buffer[] = []
  let done = 0
  for (const [index, { dumpId }] of toc.entries.entries()) {
    const root = copies.get(dumpId)
    const at = toc.head.copiesAt[index]
    // Rows as INSERT statements have no such statement, and a negative length.
    if (!root || at === undefined || head[at] !== 0) continue
    const end = at + lengthBytes + head.readUInt32LE(at + 1)
    const statement = head.toString("utf8", at + lengthBytes, end)
    const text = Buffer.from(
      statement.replace(ofTable, () => `COPY ${identifier(root.schema ?? "")}.${identifier(root.name)} `),
    )
    const length = Buffer.alloc(lengthBytes)
    length.writeUInt32LE(text.length, 1)
    pieces.push(head.subarray(done, at), length, text)
    done = end
  }
  return Buffer.concat([...pieces, head.subarray(done)])
}

/** A sign and four bytes. */
const lengthBytes = 5

const ofTable = /^COPY (?:"(?:[^"]|"")*"|[^"\s])+ /

/** Where a column has one of these types, its values are the same in each database. */
const firm =
  "smallint|integer|bigint|numeric|real|double precision|date|time|timestamp|interval|uuid|boolean|inet|oid"
/** Equal are those of the same bytes. */
const firmInLists = `${firm}|text|character varying`

function mayBeByText({ definition }: TocEntry): boolean {
  // A name that needs quotes is no longer there, and is taken for one of text.
  const sql = withoutQuoted(definition)
  const [, how, key = ""] = /^PARTITION BY (RANGE|LIST|HASH) \((.*)\);?$/m.exec(sql) ?? []
  const types = how === "LIST" ? firmInLists : firm
  return key
    .split(", ")
    .some(
      (column) =>
        !/^\w+$/.test(column) || !new RegExp(`^ {4}${column} (?:${types})\\b(?!.* COLLATE )`, "m").test(sql),
    )
}
