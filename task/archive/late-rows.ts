import { type Archive, relateEntries } from "./archive.ts"
import { rowReaders } from "./row-readers.ts"
import type { SegmentedTable } from "./table-data.ts"
import type { TocEntry } from "./toc.ts"

/** Rows that one pass over the archive brings, or those of one table in segments. */
export type LateRows = {
  readonly tables: readonly TocEntry[]
  /** What stands for their rows, in the order of the archive. */
  readonly entries: readonly TocEntry[]
  readonly segmented: SegmentedTable | undefined
}

/**
 * Late tables in their order. What is in the archive takes another pass over all of it, so as many as stand there in
 * this order share one.
 */
export function lateRowsOf(
  archive: Archive,
  lateTables: readonly TocEntry[],
  inSegments: readonly SegmentedTable[],
): LateRows[] {
  const groups: { tables: TocEntry[]; entries: TocEntry[]; segmented: SegmentedTable | undefined }[] = []
  const position = new Map(archive.entries.map((entry, index) => [entry, index]))
  const place = (entry: TocEntry | undefined) => (entry && position.get(entry)) ?? Number.POSITIVE_INFINITY
  const rows = archive.entries.filter(({ kind }) => kind === "TABLE DATA")
  const rowsOf = new Map(rows.map((entry) => [archive.owner(entry), entry]))
  for (const table of lateTables) {
    const segmented = inSegments.find((one) => one.table === table)
    const entry = rowsOf.get(table)
    if (!entry) continue
    const last = groups.at(-1)
    if (segmented || !last || last.segmented || place(last.entries.at(-1)) > place(entry))
      groups.push({ tables: [table], entries: [entry], segmented })
    else {
      last.tables.push(table)
      last.entries.push(entry)
    }
  }
  return groups
}

/** Where rows come from: once more from the archive itself, or from the segments of a table. */
export type RowSource = "archive" | SegmentedTable

/**
 * What one stream must hold for entries to be restored one after the other, and their order: rows that functions read
 * come before the tables that these functions are called for.
 */
export function inOneStream(
  entries: readonly TocEntry[],
  inSegments: readonly SegmentedTable[],
): { readonly entries: readonly TocEntry[]; readonly sources: readonly RowSource[] } {
  const archive = relateEntries(entries)
  const groups = lateRowsOf(archive, rowReaders(archive).lateTables, inSegments)
  const late = new Set(groups.flatMap((group) => group.entries))
  const early = inSegments.filter(({ entry }) => !late.has(entry))
  const afterRows = entries.findIndex(({ section }) => section === "post-data")
  const end = afterRows === -1 ? entries.length : afterRows
  const isEarly = (entry: TocEntry) => !late.has(entry)
  return {
    entries: [...entries.slice(0, end).filter(isEarly), ...late, ...entries.slice(end).filter(isEarly)],
    sources: ["archive", ...early, ...groups.map(({ segmented }) => segmented ?? "archive")],
  }
}
