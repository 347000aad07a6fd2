import type { SegmentObject } from "../core/manifest.ts"
import { type Archive, isTable } from "./archive.ts"
import type { Stages } from "./stages.ts"
import type { SegmentedTable } from "./table-data.ts"
import type { TocEntry } from "./toc.ts"

/** What one program does: the rows that are in the archive itself, those of a segment, or indexes and keys. */
export type LoadStep =
  | { readonly kind: "rows"; readonly entries: readonly TocEntry[]; readonly after: readonly LoadStep[] }
  | { readonly kind: "keys"; readonly entries: readonly TocEntry[]; readonly after: readonly LoadStep[] }
  | { readonly kind: "segment"; readonly segment: SegmentObject; readonly after: readonly LoadStep[] }

/** So many for each stream that the last ones end at about the same time. */
const groupsOfEachJob = 2

/**
 * How rows are loaded and keys made, several at once; what stands first is to begin first. A key is made when its
 * tables have their rows, and no two at once that would wait for each other's locks. Each key of a table with segments
 * stands alone; those of all other tables are in some groups. What foreign keys wait for comes early.
 */
export function loadSteps(
  archive: Archive,
  { rows, keys }: Pick<Stages, "rows" | "keys">,
  tables: readonly SegmentedTable[],
  jobs: number,
): LoadStep[] {
  // A foreign key hangs on the other table's key as well.
  const tablesOf = (entry: TocEntry) => archive.hosts(entry).filter(isTable)
  const inSegments = new Set(tables.map(({ entry }) => entry))
  const main: LoadStep = { kind: "rows", entries: rows.filter((entry) => !inSegments.has(entry)), after: [] }
  const segmentsOf = new Map(tables.map(({ table, segments }) => [table, segments.map(loadSegment)]))
  const keysOf = new Map<TocEntry, LoadStep[]>()
  const isBig = (entry: TocEntry) => tablesOf(entry).some((table) => segmentsOf.has(table))

  /** Makes them after the rows of their tables, and after those of the tables' keys that are in the way. */
  const make = (entries: readonly TocEntry[], isInTheWay: (step: LoadStep) => boolean): LoadStep => {
    const of = [...new Set(entries.flatMap(tablesOf))]
    const before = of.flatMap((table) => (keysOf.get(table) ?? []).filter(isInTheWay))
    const step: LoadStep = {
      kind: "keys",
      entries,
      after: [...new Set([...of.flatMap((table) => segmentsOf.get(table) ?? [main]), ...before])],
    }
    for (const table of of) keysOf.set(table, [...(keysOf.get(table) ?? []), step])
    return step
  }

  const foreign = keys.filter(isForeign)
  const own = keys.filter((entry) => !isForeign(entry))
  // Indexes of a table may be made side by side; all else wants the table for itself.
  const big = own
    .filter(isBig)
    .map((entry) => make([entry], (step) => entry.kind !== "INDEX" || !isIndex(step)))
  const groups = groupedByTable(
    own.filter((entry) => !isBig(entry)),
    tablesOf,
    groupsOfEachJob * jobs,
  ).map((entries) => make(entries, () => true))
  const smallForeign = foreign.filter((entry) => !isBig(entry))
  const afterAll = smallForeign.length === 0 ? [] : [make(smallForeign, () => true)]
  const bigForeign = foreign.filter(isBig).map((entry) => make([entry], () => true))

  const tied = new Set(foreign.flatMap(tablesOf))
  const inOrder = tables.toSorted(
    (a, b) => Number(tied.has(b.table)) - Number(tied.has(a.table)) || bytesOf(b) - bytesOf(a),
  )
  const bySegments = inOrder.flatMap(({ table }) => [
    ...(segmentsOf.get(table) ?? []),
    ...big.filter((step) => keysOf.get(table)?.includes(step)),
  ])
  // A key may belong to two tables.
  return [...new Set([main, ...bigForeign, ...bySegments, ...groups, ...afterAll])]
}

function loadSegment(segment: SegmentObject): LoadStep {
  return { kind: "segment", segment, after: [] }
}

function isForeign({ kind }: TocEntry): boolean {
  return kind === "FK CONSTRAINT"
}

function isIndex(step: LoadStep): boolean {
  return step.kind === "keys" && step.entries.every(({ kind }) => kind === "INDEX")
}

function bytesOf({ segments }: SegmentedTable): number {
  return segments.reduce((sum, { rawBytes }) => sum + rawBytes, 0)
}

/** At most `most` groups; all of a table in one. */
function groupedByTable(
  entries: readonly TocEntry[],
  tablesOf: (entry: TocEntry) => readonly TocEntry[],
  most: number,
): readonly (readonly TocEntry[])[] {
  const byTable = [...Map.groupBy(entries, (entry) => tablesOf(entry)[0]).values()]
  const groups = Map.groupBy(byTable, (_, index) => index % most)
  return [...groups.values()].map((tables) => tables.flat())
}
