import * as z from "zod"
import type { TocEntry } from "../archive/toc.ts"
import { type Findings, nothingFound, type Restored, type RestoredArchive } from "./restored.ts"

/** Compares the large objects, by their numbers, with those of the table of contents. */
export async function compareLargeObjects(
  { session }: Pick<Restored, "session">,
  { entries }: RestoredArchive,
): Promise<Findings> {
  const expected = entries.flatMap(largeObjectsOf)
  const missing: number[] = []
  // There may be millions.
  for (let next = 0; next < expected.length; next += askedAtOnce) {
    const some = expected.slice(next, next + askedAtOnce).join(",")
    const rows = await session.query(`
      SELECT wanted.oid::pg_catalog.int8 AS oid FROM pg_catalog.unnest('{${some}}'::pg_catalog.oid[]) AS wanted (oid)
       WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata m
                          WHERE m.oid OPERATOR(pg_catalog.=) wanted.oid)`)
    missing.push(...oidRows.parse(rows).map(({ oid }) => oid))
  }
  const [{ count }] = countRow.parse(
    await session.query("SELECT pg_catalog.count(*) AS count FROM pg_catalog.pg_largeobject_metadata"),
  )
  if (count === expected.length && missing.length === 0) return nothingFound
  const lacking = missing.length === 0 ? "" : `, without ${inWords(missing)}`
  const problem = {
    object: "large objects",
    expected: String(expected.length),
    found: `${count}${lacking}`,
  }
  return { problems: [problem], notes: [] }
}

const askedAtOnce = 10_000
const namedAtMost = 5

function inWords(missing: readonly number[]): string {
  const more = missing.length - namedAtMost
  return `${missing.slice(0, namedAtMost).join(", ")}${more > 0 ? ` and ${more} more` : ""}`
}

const oidRows = z.array(z.object({ oid: z.int() }))
const countRow = z.tuple([z.object({ count: z.int() })])

/** Their numbers. PostgreSQL 17 and newer have one entry for many, which lists them. */
function largeObjectsOf({ kind, name, definition }: TocEntry): number[] {
  if (kind === "BLOB") return [Number(name)]
  if (kind !== "BLOB METADATA") return []
  return definition
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => /^\d+$/.test(line))
    .map(Number)
}
