import * as z from "zod"
import { relateEntries } from "../archive/archive.ts"
import { countRows } from "../archive/count-rows.ts"
import { formatRelationName } from "../archive/relation-name.ts"
import { rootsByText } from "../archive/rows-by-root.ts"
import { tablesAmong } from "../archive/table-data.ts"
import { parseToc, type TocEntry } from "../archive/toc.ts"
import { formatCount } from "../console/format.ts"
import type { Problem } from "../core/check.ts"
import type { Manifest } from "../core/manifest.ts"
import { QueryError } from "../postgres/conversation.ts"
import type { NamesThere } from "./names-there.ts"
import type { Findings, Restored, RestoredArchive } from "./restored.ts"
import { withSessions } from "./with-sessions.ts"

export type RowFindings = Findings & {
  /** All that were counted in the restored tables. */
  readonly rows: number
}

/** A table, and the rows that it must have, with those of its partitions where `isRoot`. */
type Expected = { readonly table: TocEntry; readonly isRoot: boolean; rows: number }

/**
 * Counts the rows of every table, and compares: with those of its segments in the manifest, or in the dump, where they
 * are counted as well. Rows that may go to any partition are counted in the topmost table.
 */
export async function compareRows(
  restored: Restored,
  archive: RestoredArchive,
  names: NamesThere,
): Promise<RowFindings> {
  const { manifest } = restored
  const [all, notes] = await rowsExpected(manifest, archive)
  // What is not there, the comparison of definitions has found.
  const expected = all.filter(({ table }) => names(table) !== undefined)
  const counts = await withSessions(restored, expected, async ({ table, isRoot }, session) => {
    try {
      const [{ rows }] = countRow.parse(
        await session.query(
          `SELECT pg_catalog.count(*) AS rows FROM ${isRoot ? "" : "ONLY "}${names(table)}`,
        ),
      )
      return rows
    } catch (error) {
      if (error instanceof QueryError) return error
      throw error
    }
  })
  const problems = expected.flatMap(({ table, rows }, index): Problem[] => {
    const found = counts[index]
    if (found === undefined || found === rows) return []
    const words = found instanceof QueryError ? found.reason : formatCount(found, "row")
    return [
      { object: `table ${formatRelationName(table)}`, expected: formatCount(rows, "row"), found: words },
    ]
  })
  return {
    problems: [...problems, ...emptied(manifest, expected, counts)],
    notes,
    rows: counts.reduce<number>((sum, one) => sum + (one instanceof QueryError ? 0 : one), 0),
  }
}

const countRow = z.tuple([z.object({ rows: z.int() })])

async function rowsExpected(
  { objects }: Manifest,
  { joined, entries, open }: RestoredArchive,
): Promise<[Expected[], string[]]> {
  const relations = relateEntries(entries)
  const roots = rootsByText(relations)
  const byTable = new Map<TocEntry, Expected>()
  const expect = (table: TocEntry, rows: number) => {
    const root = roots.get(table)
    const key = root ?? table
    const known = byTable.get(key)
    if (known) known.rows += rows
    else byTable.set(key, { table: key, isRoot: root !== undefined, rows })
  }
  for (const { table, segments } of tablesAmong(entries, joined))
    expect(
      table,
      segments.reduce((sum, segment) => sum + segment.rows, 0),
    )
  const main = objects.find(({ kind }) => kind === "main")
  if (!main) return [[...byTable.values()], []]
  if (parseToc(joined.ownHead)?.head.isCompressed)
    return [[...byTable.values()], ["the dump is compressed in itself: its rows were not counted"]]
  const counted = await countRows(open(main), joined.ownHead.length)
  const elsewhere = new Set(joined.tables.map(({ entry }) => entry))
  for (const entry of entries) {
    if (entry.kind !== "TABLE DATA" || elsewhere.has(entry)) continue
    // Of an extension's own table the dump has the rows alone, and not those that the extension brings.
    const table = relations.owner(entry)
    if (table?.kind === "TABLE") expect(table, counted.rows.get(entry.dumpId) ?? 0)
  }
  return [[...byTable.values()], []]
}

/** A guess of the statistics may be wrong by some rows, and hardly by all of so many. */
const manyRows = 1_000

/** Tables that are empty by what is stored, and were not by the statistics of the server that was backed up. */
function emptied(
  { tableRows = [] }: Manifest,
  expected: readonly Expected[],
  counts: readonly (number | QueryError)[],
): Problem[] {
  const before = new Map(tableRows.map(({ table, rows }) => [table, rows]))
  return expected.flatMap(({ table, rows }, index): Problem[] => {
    const guess = before.get(formatRelationName(table)) ?? 0
    if (counts[index] !== 0 || rows !== 0 || guess < manyRows) return []
    return [
      {
        object: `table ${formatRelationName(table)}`,
        expected: `about ${guess} rows, as the server's statistics had it`,
        found: "0 rows",
      },
    ]
  })
}
