import type { TocEntry } from "../archive/toc.ts"
import type { Manifest } from "../core/manifest.ts"
import { identifier } from "../core/quote.ts"
import type { Session } from "../postgres/session.ts"

/**
 * Makes the schemas in a new database that the entries of a partial backup are in and no entry makes, and resolves to
 * their names: pg_dump leaves schemas out where tables were chosen.
 */
export async function makeMissingSchemas(
  session: Session,
  { partial }: Pick<Manifest, "partial">,
  entries: readonly TocEntry[],
): Promise<string[]> {
  const names = partial ? schemasMissing(entries) : []
  for (const name of names) await session.execute(`CREATE SCHEMA ${identifier(name)}`)
  return names
}

function schemasMissing(entries: readonly TocEntry[]): string[] {
  const made = new Set(["public", ...entries.flatMap(({ kind, name }) => (kind === "SCHEMA" ? name : []))])
  const wanted = new Set(entries.flatMap(({ schema }) => schema ?? []))
  return [...wanted].filter((name) => !made.has(name) && !/^(pg_|information_schema$)/.test(name)).sort()
}
