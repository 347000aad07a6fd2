import { formatProblem, type Problem } from "../core/check.ts"
import type { Manifest, SegmentObject } from "../core/manifest.ts"
import { PgstowError, useAnotherCopyOfChanged } from "../errors.ts"
import { formatRelationName } from "./relation-name.ts"
import { tableColumns } from "./table-columns.ts"
import type { TocEntry } from "./toc.ts"

type Named = { readonly schema?: string | undefined; readonly name: string }

/**
 * Where a manifest does not fit the table of contents of its main object: rows that are missing, twice, of no table
 * there is, or of other columns. What is stored can be as the manifest says, and the manifest changed.
 */
export function manifestProblems(
  entries: readonly TocEntry[],
  { objects, partial }: Pick<Manifest, "objects" | "partial">,
): Problem[] {
  const key = ({ schema = "", name }: Named) => [schema, name].map(inQuotes).join(".")
  const ofKind = (kind: string) =>
    new Map(entries.filter((entry) => entry.kind === kind).map((entry) => [key(entry), entry]))
  const [tables, ownRows] = [ofKind("TABLE"), ofKind("TABLE DATA")]
  const main = objects.find(({ kind }) => kind === "main")?.name ?? ""
  const segments = Map.groupBy(
    objects.filter((object) => object.kind === "segment"),
    ({ schema, table }) => key({ schema, name: table }),
  )
  const leftOut = new Set(partial?.withoutRows.map(({ schema, table }) => key({ schema, name: table })))
  const wrongSegments = [...segments].flatMap(([table, ofTable]) =>
    leftOut.has(table)
      ? ofTable.map(({ name }) => ({
          object: name,
          expected: `no rows of ${table}, which were left out`,
          found: "rows",
        }))
      : segmentProblems(tables.get(table), ownRows.has(table), ofTable),
  )
  // pg_dump has an entry for the rows of every table that it does not leave to segments, empty ones too.
  const missing = [...tables].flatMap(([table, entry]) => {
    if (ownRows.has(table) || segments.has(table) || leftOut.has(table)) return []
    // It leaves an unlogged table's rows out at a replica, and a partitioned table has none.
    if (entry.definition.startsWith("CREATE UNLOGGED") || isPartitioned(entry)) return []
    return [{ object: main, expected: `the rows of ${formatRelationName(entry)}`, found: "none" }]
  })
  return [...wrongSegments, ...missing]
}

const mostTold = 5

/** Throws a PgstowError "damaged" that says the first of them, where there are any. */
export function refuseProblems(id: string, problems: readonly Problem[]): void {
  if (problems.length === 0) return
  const more = problems.length > mostTold ? [`and ${problems.length - mostTold} more`] : []
  throw new PgstowError(
    "damaged",
    `backup ${id} does not fit its table of contents: ${[...problems.slice(0, mostTold).map(formatProblem), ...more].join("; ")}`,
    { hint: useAnotherCopyOfChanged },
  )
}

function segmentProblems(
  table: TocEntry | undefined,
  hasOwnRows: boolean,
  segments: readonly SegmentObject[],
): Problem[] {
  const [first] = segments
  if (!first) return []
  const name = formatRelationName({ schema: first.schema, name: first.table })
  const problem = (expected: string, found: string, { name: object }: SegmentObject = first) => ({
    object,
    expected,
    found,
  })
  if (!table) return [problem("rows of a table", `rows of ${name}, which there is not`)]
  const columns = tableColumns(table.definition)
  return [
    ...(hasOwnRows ? [problem(`the rows of ${name} once`, "the same rows in the dump")] : []),
    ...segments.flatMap((segment) => {
      const at = columns ? firstDifference(columns, segment.columns) : -1
      const column = (names: readonly string[] = []) => names[at] ?? "none"
      return at < 0
        ? []
        : [problem(`${column(columns)} as column ${at + 1} of ${name}`, column(segment.columns), segment)]
    }),
    ...(coverAll(segments)
      ? []
      : [problem(`all pages of ${name}, each once`, segments.map(formatPages).join(", "))]),
  ]
}

/** The place where two lists differ first; -1 where they don't. */
function firstDifference(one: readonly string[], other: readonly string[]): number {
  const longer = one.length > other.length ? one : other
  return longer.findIndex((_, index) => one[index] !== other[index])
}

/** Whether the segments are of all pages from the first to the last one, each once. */
function coverAll(segments: readonly SegmentObject[]): boolean {
  const pages = segments
    .map(({ pages }) => pages ?? { first: 0, end: null })
    .toSorted((a, b) => a.first - b.first || (a.end ?? Infinity) - (b.end ?? Infinity))
  return (
    pages.every(({ first }, index) => first === (index === 0 ? 0 : pages[index - 1]?.end)) &&
    pages.at(-1)?.end === null
  )
}

function formatPages({ pages }: SegmentObject): string {
  return pages ? `${pages.first} to ${pages.end ?? "the last"}` : "all"
}

function isPartitioned({ definition }: TocEntry): boolean {
  return /\nPARTITION BY |\)\s*PARTITION BY /.test(definition)
}

/** Also of what is no name, as a manifest that was changed may have it. */
function inQuotes(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
