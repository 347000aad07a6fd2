import { formatRelationName } from "../archive/relation-name.ts"
import { formatName } from "../console/format.ts"
import { type Manifest, partialInWords } from "../core/manifest.ts"

const mostNamed = 5

/** What a partial backup does not bring, a sentence each; none of a whole one. */
export function whatIsMissing(manifest: Pick<Manifest, "partial">): string[] {
  const words = partialInWords(manifest)
  if (words === undefined) return []
  const empty = manifest.partial?.withoutRows.map(({ schema, table }) =>
    formatName(formatRelationName({ schema, name: table })),
  )
  return [`the backup is partial: ${formatName(words)}`, ...emptyTables(empty ?? [])]
}

function emptyTables(names: readonly string[]): string[] {
  if (names.length === 0) return []
  const more = names.length - mostNamed
  return [
    `it has no rows of ${names.slice(0, mostNamed).join(", ")}${more > 0 ? ` and ${more} more tables` : ""}`,
  ]
}
