import { identifier, literal } from "../core/quote.ts"
import type { TocEntry } from "./toc.ts"

/** As pg_dump writes it, at the beginning of each archive. */
const emptyPath = "SELECT pg_catalog.set_config('search_path', '', false);\n"

/**
 * The head of an archive that has pg_restore look names up in these schemas, after PostgreSQL's own. The head itself
 * where it has no search_path.
 */
export function withSearchPath(head: Buffer, schemas: readonly string[]): Buffer {
  const at = head.indexOf(emptyPath)
  const lengthAt = at - 4
  // The entry has its length before it: in another place the words are part of a text.
  if (at === -1 || head.readUInt32LE(lengthAt) !== Buffer.byteLength(emptyPath)) return head
  const path = literal(schemas.map(identifier).join(", "))
  const text = Buffer.from(`SELECT pg_catalog.set_config('search_path', ${path}, false);\n`)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(text.length)
  return Buffer.concat([
    head.subarray(0, lengthAt),
    length,
    text,
    head.subarray(at + Buffer.byteLength(emptyPath)),
  ])
}

/** The schemas that an object's operators are in. */
export type PathOfObject = {
  readonly catalog: number
  readonly oid: number
  readonly schemas: readonly string[]
}

/**
 * Entries in runs of those that want the same schemas, in their order but for what pg_restore does last: grants, then
 * what reads rows by them.
 */
export function runsByPath(
  entries: readonly TocEntry[],
  paths: readonly PathOfObject[],
): readonly { readonly schemas: readonly string[]; readonly entries: readonly TocEntry[] }[] {
  const byObject = new Map(paths.map(({ catalog, oid, schemas }) => [`${catalog} ${oid}`, schemas]))
  const schemasOf = ({ tableOid, oid }: TocEntry) => byObject.get(`${tableOid} ${oid}`) ?? []
  if (!entries.some((entry) => schemasOf(entry).length > 0)) return [{ schemas: [], entries }]
  const runs: { schemas: readonly string[]; entries: TocEntry[] }[] = []
  for (const entry of entries.filter((one) => !comesLast(one))) {
    const schemas = schemasOf(entry)
    const last = runs.at(-1)
    if (last && last.schemas.join() === schemas.join()) last.entries.push(entry)
    else runs.push({ schemas, entries: [entry] })
  }
  return [...runs, { schemas: [], entries: entries.filter(comesLast) }].filter(
    (run) => run.entries.length > 0,
  )
}

function comesLast({ kind, name }: TocEntry): boolean {
  return (
    ["ACL", "DEFAULT ACL", "MATERIALIZED VIEW DATA", "EVENT TRIGGER"].includes(kind) ||
    name.startsWith("EVENT TRIGGER ")
  )
}

/** All schemas that any of the entries wants. */
export function schemasFor(entries: readonly TocEntry[], paths: readonly PathOfObject[]): string[] {
  return [...new Set(runsByPath(entries, paths).flatMap(({ schemas }) => schemas))]
}
