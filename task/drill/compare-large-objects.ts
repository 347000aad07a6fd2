import * as z from "zod"
import type { TocEntry } from "../archive/toc.ts"
import { type Findings, nothingFound, type Restored, type RestoredArchive } from "./restored.ts"

/** Compares the number of large objects with that of the table of contents. */
export async function compareLargeObjects(
  { session }: Pick<Restored, "session">,
  { entries }: RestoredArchive,
): Promise<Findings> {
  const expected = entries.reduce((sum, entry) => sum + largeObjectsOf(entry), 0)
  const [{ count }] = countRow.parse(
    await session.query("SELECT pg_catalog.count(*) AS count FROM pg_catalog.pg_largeobject_metadata"),
  )
  if (count === expected) return nothingFound
  const problem = { object: "large objects", expected: String(expected), found: String(count) }
  return { problems: [problem], notes: [] }
}

const countRow = z.tuple([z.object({ count: z.int() })])

/** PostgreSQL 17 and newer have one entry for many, which lists their oids. */
function largeObjectsOf({ kind, definition }: TocEntry): number {
  if (kind === "BLOB") return 1
  return kind === "BLOB METADATA"
    ? definition.split("\n").filter((line) => /^\d+$/.test(line.trim())).length
    : 0
}
