import type { SegmentObject } from "../core/manifest.ts"
import { type Archive, isTable } from "./archive.ts"
import { type LateRows, lateRowsOf } from "./late-rows.ts"
import { rowReaders } from "./row-readers.ts"
import type { Roots } from "./rows-by-root.ts"
import type { Stages } from "./stages.ts"
import type { SegmentedTable } from "./table-data.ts"
import type { TocEntry } from "./toc.ts"

/** What one program does: the rows that are in the archive itself, those of a segment, or indexes and keys. */
export type LoadStep = { readonly after: readonly LoadStep[] } & LoadWork

export type LoadWork = (
  | { readonly kind: "rows"; readonly entries: readonly TocEntry[] }
  | { readonly kind: "keys"; readonly entries: readonly TocEntry[] }
  | { readonly kind: "segment"; readonly segment: SegmentObject; readonly entry: TocEntry }
) & {
  /** Whether functions that it calls may read rows of any table: those it comes after must all be there. */
  readonly readsRows: boolean
}

/** So many for each stream that the last ones end at about the same time. */
const groupsOfEachJob = 2

/**
 * How rows are loaded and keys made, several at once; what stands first is to begin first. A key is made when its
 * tables have their rows, and no two at once that would wait for each other's locks. Each key of a table with segments
 * stands alone; those of all other tables are in some groups. What foreign keys wait for comes early.
 *
 * Rows and keys for which functions are called that may read other tables come after all other rows, and such rows after
 * the other tables' own keys, one table after the other.
 */
export function loadSteps(
  archive: Archive,
  { rows, keys }: Pick<Stages, "rows" | "keys">,
  tables: readonly SegmentedTable[],
  jobs: number,
  roots: Roots = new Map(),
): LoadStep[] {
  // A foreign key hangs on the other table's key as well.
  const tablesOf = (entry: TocEntry) => archive.hosts(entry).filter(isTable)
  const readers = rowReaders(archive)
  const groups = lateRowsOf(archive, readers.lateTables, tables)
  const lateEntries = new Set(groups.flatMap((group) => group.entries))
  const inSegments = new Set(tables.map(({ entry }) => entry))
  const main: LoadStep = {
    kind: "rows",
    entries: rows.filter((entry) => !inSegments.has(entry) && !lateEntries.has(entry)),
    after: [],
    readsRows: false,
  }
  const segmentsOf = new Map(
    tables
      .filter(({ entry }) => !lateEntries.has(entry))
      .map((one) => [one.table, one.segments.map((segment) => loadSegment(one, segment))]),
  )
  const early = [main, ...[...segmentsOf.values()].flat()]
  let lateOf: ReadonlyMap<TocEntry, readonly LoadStep[]> = new Map()
  const families = Map.groupBy([...new Set(roots.values()), ...roots.keys()], (one) => roots.get(one) ?? one)
  /** Rows that go in by a root may come into any of its partitions. */
  const rowsOf = (table: TocEntry) =>
    (families.get(roots.get(table) ?? table) ?? [table]).flatMap(
      (one) => lateOf.get(one) ?? segmentsOf.get(one) ?? [main],
    )
  const keysOf = new Map<TocEntry, LoadStep[]>()
  const bigTables = new Set(tables.map(({ table }) => table))
  const isBig = (entry: TocEntry) => tablesOf(entry).some((table) => bigTables.has(table))

  /** Makes them after the rows of their tables, and after those of the tables' keys that are in the way. */
  const make = (entries: readonly TocEntry[], isInTheWay: (step: LoadStep) => boolean): LoadStep => {
    const of = [...new Set(entries.flatMap(tablesOf))]
    const readsRows = entries.some(readers.callsFunctions)
    const before = of.flatMap((table) => (keysOf.get(table) ?? []).filter(isInTheWay))
    const step: LoadStep = {
      kind: "keys",
      entries,
      after: [
        ...new Set([...(readsRows ? [...early, ...lateOf.values()].flat() : of.flatMap(rowsOf)), ...before]),
      ],
      readsRows,
    }
    for (const table of of) keysOf.set(table, [...(keysOf.get(table) ?? []), step])
    return step
  }

  const makeOwn = (own: readonly TocEntry[]) => {
    // Indexes of a table may be made side by side; all else wants the table for itself.
    const big = own
      .filter(isBig)
      .map((entry) => make([entry], (step) => entry.kind !== "INDEX" || !isIndex(step)))
    const small = own.filter((entry) => !isBig(entry))
    const groups = groupedByTable(small, tablesOf, groupsOfEachJob * jobs)
    return { big, small: groups.map((entries) => make(entries, () => true)) }
  }
  const foreign = keys.filter(isForeign)
  const lateTables = new Set(groups.flatMap((group) => group.tables))
  const isLate = (entry: TocEntry) =>
    readers.callsFunctions(entry) || tablesOf(entry).some((table) => lateTables.has(table))
  const own = keys.filter((entry) => !isForeign(entry))
  const ordinary = makeOwn(own.filter((entry) => !isLate(entry)))
  // What functions look for, they find by these.
  lateOf = lateSteps(groups, [...early, ...ordinary.big, ...ordinary.small])
  const lateRows = [...new Set([...lateOf.values()].flat())]
  const late = makeOwn(own.filter(isLate))
  const big = [...ordinary.big, ...late.big]
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
  return [
    ...new Set([
      main,
      ...lateRows,
      ...bigForeign,
      ...bySegments,
      ...ordinary.small,
      ...late.small,
      ...afterAll,
    ]),
  ]
}

function loadSegment({ entry }: SegmentedTable, segment: SegmentObject): LoadStep {
  return { kind: "segment", segment, entry, after: [], readsRows: false }
}

/** How the rows of the late tables are loaded: in their order, after all of `early`. */
function lateSteps(
  groups: readonly LateRows[],
  early: readonly LoadStep[],
): ReadonlyMap<TocEntry, readonly LoadStep[]> {
  const steps = new Map<TocEntry, readonly LoadStep[]>()
  let after = early
  for (const { tables, entries, segmented } of groups) {
    const begun: LoadStep[] = segmented
      ? segmented.segments.map((segment) => ({ ...loadSegment(segmented, segment), after, readsRows: true }))
      : [{ kind: "rows", entries, after, readsRows: true }]
    for (const table of tables) steps.set(table, begun)
    after = begun
  }
  return steps
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
