import { relateEntries } from "../archive/archive.ts"
import { copiesInto, rootsByText } from "../archive/rows-by-root.ts"
import { tableColumns } from "../archive/table-columns.ts"
import type { TocEntry } from "../archive/toc.ts"
import type { Manifest } from "../core/manifest.ts"
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
  const archive = relateEntries(entries)
  // A partition that could not be attached is attached first: then its rows go in by the root, too.
  const roots = copiesInto(archive, rootsByText(archive))
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
    const root = roots.get(entry.dumpId)
    if (segment) {
      const columns = segment.columns
      const copy = copyInto(
        root ?? { schema: segment.schema, name: segment.table },
        columns,
        source.encoding,
        into,
      )
      return { ...about, in: "shell", run: `pgstow cat ${id} ${segment.name} | ${copy}` }
    }
    if (kind === "TABLE DATA") {
      const columns = root && tableColumns(archive.owner(entry)?.definition ?? "")
      const run =
        root && columns
          ? rowsAlone(id, entry, copyInto(root, columns, source.encoding, into))
          : rowsOf(id, entry, into)
      return { ...about, in: "shell", run }
    }
    const sql = wholeStatement(statement, entry)
    return sql === undefined ? undefined : { ...about, in: "sql", run: sql }
  })
  return found.filter((one) => one !== undefined)
}

/** What was refused may be another statement than the entry's own: one that gives it its owner. */
function wholeStatement(statement: string | null, { definition }: TocEntry): string | undefined {
  const own = definition.trim()
  const isOwn = statement === null || own.startsWith(statement.trim().slice(0, own.length))
  const sql = withoutGaps(isOwn || statement.endsWith("…") ? own : statement.trim())
  return sql === "" || /\bpassword\b/i.test(sql) ? undefined : sql
}

/** pg_dump writes default privileges by the words for a table's, with nothing where its name would be. */
function withoutGaps(sql: string): string {
  const tidy = (text: string) =>
    text.replaceAll(
      /\b(ON (?:TABLES|SEQUENCES|FUNCTIONS|TYPES|SCHEMAS|LARGE OBJECTS)) {2}(?=TO |FROM )/g,
      "$1 ",
    )
  // Names between quotes stay as they are.
  return sql
    .split('"')
    .map((text, index) => (index % 2 === 0 ? tidy(text) : text))
    .join('"')
}

/** What takes rows in COPY's text format. */
function copyInto(
  { schema = "", name }: Pick<TocEntry, "schema" | "name">,
  columns: readonly string[],
  encoding: string,
  into: string,
): string {
  const list = columns.map(identifier).join(", ")
  const copy = `COPY ${identifier(schema)}.${identifier(name)} (${list}) FROM STDIN WITH (ENCODING ${identifier(encoding)})`
  return ["psql", "-X", `--dbname=${into}`, `--command=${copy}`].map(shellWord).join(" ")
}

function rowsOf(id: string, entry: TocEntry, into: string): string {
  return rowsFrom(id, entry, `--dbname=${into}`)
}

/** By what they are written as: from the statement, whose end no comment before it has, to the line that ends them. */
function rowsAlone(id: string, entry: TocEntry, taker: string): string {
  const rows = rowsFrom(id, entry, "--file=-")
  return `${rows} | sed '/ FROM stdin;$/,/^\\\\\\.$/!d' | sed '1d;$d' | ${taker}`
}

function rowsFrom(id: string, { schema = "", name }: TocEntry, where: string): string {
  const options = ["--data-only", `--schema=${schema}`, `--table=${name}`, where]
  // It stops reading where it has these rows, which is no success to what writes.
  return `pgstow cat ${id} main | { ${["pg_restore", ...options].map(shellWord).join(" ")} && cat >/dev/null; }`
}
