import type { Archive } from "./archive.ts"
import type { TocEntry } from "./toc.ts"

/** What of an archive may look into rows of other tables, as far as its definitions tell. */
export type RowReaders = {
  /** Whether to make this index or key calls a function that is not PostgreSQL's own. */
  readonly callsFunctions: (key: TocEntry) => boolean
  /**
   * The tables whose rows can't be taken, or not be computed, before what their functions read is there: by checks,
   * those of domains, stored generated columns and keys of partitions. In the order to load them in: what one is
   * known to read stands before it, and all else in pg_dump's order.
   */
  readonly lateTables: readonly TocEntry[]
}

/**
 * Finds them by the archive's dependencies and by the words of definitions, since the catalog knows nothing of what
 * the text of a function names. Where in doubt, it reads.
 */
export function rowReaders(archive: Archive): RowReaders {
  const { entries, dependencies } = archive
  const functions = Map.groupBy(entries.filter(isRoutine), nameInBodies)
  const relations = Map.groupBy(entries.filter(isRelation), nameInBodies)
  const parents = new Map<TocEntry, readonly TocEntry[]>()
  for (const entry of entries)
    if (entry.kind === "TABLE ATTACH") {
      const [child, ...others] = [archive.owner(entry), ...dependencies(entry)]
      if (child)
        parents.set(
          child,
          others.filter((one) => one !== undefined && one !== child),
        )
    }
  const extensionsWithRows = new Set(
    entries
      .filter(({ kind }) => kind === "TABLE DATA")
      .flatMap(dependencies)
      .filter(({ kind }) => kind === "EXTENSION"),
  )
  const routinesIn = (words: readonly string[]) => words.flatMap((word) => functions.get(word) ?? [])
  const definers = (entry: TocEntry) => dependencies(entry).filter(({ kind }) => definerKinds.has(kind))

  const madeOf = (entry: TocEntry) => {
    // Its default does not count.
    if (entry.kind === "DOMAIN" && !entry.definition.includes("CHECK")) return definers(entry).filter(isType)
    return isRoutine(entry) ? [...definers(entry), ...routinesIn(wordsOf(entry.definition))] : definers(entry)
  }
  const readsItself = (entry: TocEntry) =>
    extensionsWithRows.has(entry) || (isRoutine(entry) && bodyReads(entry))
  const reads = (entry: TocEntry) => withAllOf(entry, madeOf).some(readsItself)
  // In a function's body, these are signs and names of types.
  const areHidden =
    extensionsWithRows.size > 0 ||
    entries.some((entry) => ["OPERATOR", "CAST", "DOMAIN"].includes(entry.kind) && reads(entry))
  const mayRead = (entry: TocEntry) => (areHidden && isRoutine(entry)) || reads(entry)

  /** What is called for each row of a table. */
  const calledBy = (table: TocEntry): TocEntry[] => {
    const computed = wordsOf(computedExpressions(table.definition).join(" "))
    const all = new Set(wordsOf(withoutStrings(table.definition)))
    const isCalled = (entry: TocEntry) => {
      if (isType(entry)) return true
      if (computed.length === 0) return false
      // What casts stands nowhere by its name.
      const name = nameInBodies(entry)
      return !isRoutine(entry) || computed.includes(name) || !all.has(name)
    }
    return [...definers(table).filter(isCalled), ...routinesIn(computed)]
  }
  /** Tables whose checks and columns are also this one's: parents, and those whose rows are values in it. */
  const patternsOf = (table: TocEntry) => [
    ...dependencies(table).filter(({ kind }) => kind === "TABLE"),
    ...(parents.get(table) ?? []),
  ]
  const isLate = (table: TocEntry) => withAllOf(table, patternsOf).some((one) => calledBy(one).some(mayRead))
  const tables = entries.filter(({ kind }) => kind === "TABLE")
  const late = new Set(tables.filter(isLate).toSorted(inDumpOrder))

  const named = (entry: TocEntry): readonly TocEntry[] => {
    if (entry.kind === "TABLE") return archive.children(entry)
    const words = isRoutine(entry) ? wordsOf(entry.definition) : []
    const known = [entry, ...archive.rules(entry)].flatMap(dependencies)
    return [...known, ...routinesIn(words), ...words.flatMap((word) => relations.get(word) ?? [])]
  }
  const readBy = (table: TocEntry): TocEntry[] => {
    const called = withAllOf(table, patternsOf).flatMap(calledBy)
    const found = new Set(called.flatMap((entry) => withAllOf(entry, named)))
    return [...late].filter((one) => found.has(one))
  }
  const lateTables = new Set<TocEntry>()
  const begun = new Set<TocEntry>()
  const place = (table: TocEntry) => {
    if (begun.has(table)) return
    begun.add(table)
    for (const other of readBy(table)) place(other)
    lateTables.add(table)
  }
  for (const table of late) place(table)

  return {
    lateTables: [...lateTables],
    callsFunctions(key) {
      const { definition } = key
      return (
        definers(key).some((entry) => entry.kind !== "EXTENSION" || extensionsWithRows.has(entry)) ||
        // The archive does not say what the expressions of a key depend on.
        (definition.includes(" EXCLUDE ") &&
          (definition.includes("OPERATOR(") || routinesIn(wordsOf(withoutStrings(definition))).length > 0))
      )
    },
  }
}

const routineKinds = new Set(["FUNCTION", "PROCEDURE", "AGGREGATE"])
const typeKinds = new Set(["TYPE", "DOMAIN"])
/** What an expression is made of. */
const definerKinds = new Set([
  ...routineKinds,
  ...typeKinds,
  "OPERATOR",
  "OPERATOR CLASS",
  "OPERATOR FAMILY",
  "CAST",
  "EXTENSION",
])

function isRoutine({ kind }: TocEntry): boolean {
  return routineKinds.has(kind)
}

function isType({ kind }: TocEntry): boolean {
  return typeKinds.has(kind)
}

function isRelation({ kind }: TocEntry): boolean {
  return ["TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW"].includes(kind)
}

/** As it may be written without quotes; of a routine without its arguments. */
function nameInBodies(entry: TocEntry): string {
  const name = isRoutine(entry) ? entry.name.replace(/\(.*$/s, "") : entry.name
  return name.toLowerCase()
}

/** By bytes, as pg_dump sorts. */
function inDumpOrder(a: TocEntry, b: TocEntry): number {
  return (
    Buffer.compare(Buffer.from(a.schema ?? ""), Buffer.from(b.schema ?? "")) ||
    Buffer.compare(Buffer.from(a.name), Buffer.from(b.name))
  )
}

const harmless = /\bextract\s*\(\s*\w+\s+from\b|\bis\s+(not\s+)?distinct\s+from\b/gi
const readingWords =
  /\b(from|join|table|execute|select\s+into|insert|update|delete|merge|copy|open|fetch|lo_\w+|\w+_to_xml\w*|ts_stat|ts_rewrite|dblink\w*|crosstab\w*)\b/i

/** Whether a routine may read rows by itself: what it calls is another matter. */
function bodyReads({ kind, definition }: TocEntry): boolean {
  if (kind === "AGGREGATE") return false
  const [, language = ""] = /\bLANGUAGE "?(\w+)"?/.exec(definition) ?? []
  if (language === "internal") return false
  if (language !== "sql" && language !== "plpgsql") return true
  return readingWords.test(definition.replaceAll(harmless, " "))
}

/** All that may be names, in lower case, as they are in quotes or without them. */
function wordsOf(text: string): string[] {
  const words = text.matchAll(/"((?:[^"]|"")+)"|[\p{L}_][\p{L}\p{N}_$]*/gu)
  return [...words].map(([word, quoted]) => (quoted?.replaceAll('""', '"') ?? word).toLowerCase())
}

/** SQL as pg_dump writes it, with nothing in its strings. */
function withoutStrings(sql: string): string {
  return sql.replaceAll(/'(?:[^']|'')*'/g, "''")
}

/** What of a table's definition is computed as rows come in, each without its parentheses' beginning. */
function computedExpressions(definition: string): string[] {
  const sql = withoutStrings(definition)
  return [...sql.matchAll(/\b(?:CHECK|GENERATED ALWAYS AS|PARTITION BY \w+) \(/g)].map(
    ({ index, 0: { length } }) => balanced(sql.slice(index + length)),
  )
}

/** Up to where a parenthesis closes that was open before. */
function balanced(sql: string): string {
  let depth = 1
  for (const { index, 0: sign } of sql.matchAll(/"(?:[^"]|"")*"|[()]/g)) {
    if (sign === "(") depth += 1
    if (sign === ")") depth -= 1
    if (depth === 0) return sql.slice(0, index)
  }
  return sql
}

/** An entry, and all that it leads to by `next`. */
function withAllOf(entry: TocEntry, next: (entry: TocEntry) => readonly TocEntry[]): TocEntry[] {
  const found = new Set([entry])
  // The loop also comes to what is added meanwhile.
  for (const one of found) for (const other of next(one)) found.add(other)
  return [...found]
}
