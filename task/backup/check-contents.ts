import { formatRelationName } from "../archive/relation-name.ts"
import { parseToc, type Toc } from "../archive/toc.ts"
import { PgstowError } from "../errors.ts"
import type { PlannedTable } from "../postgres/tables.ts"

/** Takes an archive's bytes as they pass, and keeps its table of contents. */
export function tocKeeper(): { readonly take: (chunk: Buffer) => void; readonly toc: () => Toc | undefined } {
  let chunks: Buffer[] = []
  let sizeBytes = 0
  let tryAtBytes = 0
  let toc: Toc | undefined
  const look = () => {
    toc = parseToc(Buffer.concat(chunks))
    if (toc) chunks = []
  }
  return {
    take(chunk) {
      if (toc) return
      chunks.push(chunk)
      sizeBytes += chunk.length
      if (sizeBytes < tryAtBytes) return
      look()
      // Only when twice as much is there: starting over with each chunk would take quadratic time.
      tryAtBytes = 2 * sizeBytes
    },
    toc() {
      if (!toc) look()
      return toc
    },
  }
}

/**
 * Refuses a dump that does not hold what was planned: `pg_dump` and pgstow have understood the patterns apart, and rows
 * would be missing, or be there that nobody wanted. Throws a PgstowError that names the first such table.
 *
 * @param tables every table that could be in it
 * @param inSegments the tables whose rows are elsewhere, by schema and name
 */
export function checkContents(
  toc: Toc | undefined,
  tables: readonly PlannedTable[],
  inSegments: readonly { readonly schema: string; readonly name: string }[],
): void {
  if (!toc) throw new PgstowError("postgres", "pg_dump ended within its table of contents")
  const ofKind = (kind: string) =>
    new Set(toc.entries.filter((entry) => entry.kind === kind).map(({ oid }) => oid))
  const [defined, filled] = [ofKind("TABLE"), ofKind("TABLE DATA")]
  const elsewhere = new Set(inSegments.map(formatRelationName))
  for (const table of tables) {
    const name = formatRelationName(table)
    const wanted = { isIn: table.isIn, hasRows: table.hasRows && !elsewhere.has(name) }
    const found = { isIn: defined.has(table.oid), hasRows: filled.has(table.oid) }
    if (elsewhere.has(name) && !(table.isIn && table.hasRows))
      throw apart("pgstow", true, `the rows of ${name}`)
    if (found.isIn !== wanted.isIn) throw apart("pg_dump", found.isIn, name)
    if (found.hasRows !== wanted.hasRows) throw apart("pg_dump", found.hasRows, `the rows of ${name}`)
  }
}

function apart(program: string, isThere: boolean, what: string): PgstowError {
  const words = isThere ? ["stored", "leave out"] : ["left out", "choose"]
  return new PgstowError("postgres", `${program} has ${words[0]} ${what}, which the patterns ${words[1]}`, {
    hint: "Nothing is stored. Write the pattern in another way, and report this: it is a fault of pgstow's.",
  })
}
