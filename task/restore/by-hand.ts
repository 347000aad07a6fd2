import type { TocEntry } from "../archive/toc.ts"
import type { Manifest, SegmentObject } from "../core/manifest.ts"
import { identifier } from "../core/quote.ts"
import type { RestoreError } from "../postgres/restore-errors.ts"
import { shellWord } from "../processes/shell-word.ts"

/** One thing that a restore has not brought, and how to bring it when what it was refused for is right. */
export type ByHand = {
  /** "constraint public.orders orders_total_check" */
  readonly what: string
  /** Why the server refused it: with the table and the constraint, where it names them. */
  readonly message: string
  /** The row, as far as the server shows it. */
  readonly row: string | null
  /** Where to run it: `sql` in the restored database, `shell` where pgstow and PostgreSQL's programs are. */
  readonly in: "sql" | "shell"
  /** All of it. */
  readonly run: string
}

/**
 * What of the errors is to be finished by hand in the database `into`, in the order to do it in. What has a password in
 * it is left out.
 */
export function byHand(
  errors: readonly RestoreError[],
  entries: readonly TocEntry[],
  { id, objects, source }: Pick<Manifest, "id" | "objects" | "source">,
  into: string,
): ByHand[] {
  const byId = new Map(entries.map((entry) => [entry.dumpId, entry]))
  const segments = new Map(objects.flatMap((one) => (one.kind === "segment" ? [[one.name, one]] : [])))
  const found = errors.map((error): ByHand | undefined => {
    const { message, detail, statement, dumpId, object } = error
    const entry = dumpId === undefined ? undefined : byId.get(dumpId)
    if (!entry) return undefined
    const [, row = null] = /^DETAIL: +(.*)$/m.exec(detail ?? "") ?? []
    const { kind, schema, name } = entry
    const what = `${kind.toLowerCase()} ${schema === undefined ? "" : `${schema}.`}${name}`
    const about = { what, message, row }
    const segment = object === undefined ? undefined : segments.get(object)
    if (segment) return { ...about, in: "shell", run: copyOf(id, segment, source.encoding, into) }
    if (kind === "TABLE DATA") return { ...about, in: "shell", run: rowsOf(id, entry, into) }
    const sql = wholeStatement(statement, entry)
    return sql === undefined ? undefined : { ...about, in: "sql", run: sql }
  })
  return found.filter((one) => one !== undefined)
}

/** What was refused may be another statement than the entry's own: one that gives it its owner. */
function wholeStatement(statement: string | null, { definition }: TocEntry): string | undefined {
  const own = definition.trim()
  const isOwn = statement === null || own.startsWith(statement.trim().slice(0, own.length))
  const sql = isOwn || statement.endsWith("…") ? own : statement.trim()
  return sql === "" || /\bpassword\b/i.test(sql) ? undefined : sql
}

function copyOf(id: string, segment: SegmentObject, encoding: string, into: string): string {
  const { schema, table, columns, name } = segment
  const list = columns.map(identifier).join(", ")
  const copy = `COPY ${identifier(schema)}.${identifier(table)} (${list}) FROM STDIN WITH (ENCODING ${identifier(encoding)})`
  const words = ["psql", "-X", `--dbname=${into}`, `--command=${copy}`].map(shellWord)
  return `pgstow cat ${id} ${name} | ${words.join(" ")}`
}

function rowsOf(id: string, { schema = "", name }: TocEntry, into: string): string {
  const options = ["--data-only", `--schema=${schema}`, `--table=${name}`, `--dbname=${into}`]
  // It stops reading where it has these rows, which is no success to what writes.
  return `pgstow cat ${id} main | { ${["pg_restore", ...options].map(shellWord).join(" ")} && cat >/dev/null; }`
}
