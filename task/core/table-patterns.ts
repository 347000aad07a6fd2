/** Which tables a backup holds, by patterns as `pg_dump` has them. Without any, all. */
export type TablePatterns = {
  /** Only these tables, views and sequences, and nothing else of the database. */
  readonly tables: readonly string[]
  /** Only these schemas, with what is in them. */
  readonly schemas: readonly string[]
  readonly excludeTables: readonly string[]
  readonly excludeSchemas: readonly string[]
  /** Their definitions, and none of their rows. */
  readonly excludeTableData: readonly string[]
}

export const noPatterns: TablePatterns = {
  tables: [],
  schemas: [],
  excludeTables: [],
  excludeSchemas: [],
  excludeTableData: [],
}

/** In their order on the command line, in settings and in words. */
export const patternFlags: Readonly<Record<keyof TablePatterns, string>> = {
  tables: "--table",
  schemas: "--schema",
  excludeTables: "--exclude-table",
  excludeSchemas: "--exclude-schema",
  excludeTableData: "--exclude-table-data",
}

/** Each pattern, with the flag that gives it to `pg_dump`. */
export function patternsWithFlags(
  patterns: TablePatterns,
): { readonly kind: keyof TablePatterns; readonly flag: string; readonly pattern: string }[] {
  const kinds = Object.keys(noPatterns) as (keyof TablePatterns)[] // The type has no other keys.
  return kinds.flatMap((kind) =>
    patterns[kind].map((pattern) => ({ kind, flag: patternFlags[kind], pattern })),
  )
}

/** Whether anything may be left out. */
export function leavesOut(patterns: TablePatterns): boolean {
  return patternsWithFlags(patterns).length > 0
}

/** Splits a text at white space that is not in double quotes. */
export function splitPatterns(text: string): string[] {
  return text.match(/(?:"[^"]*(?:"|$)|[^\s"])+/g) ?? []
}

/** What a backup holds and what not, in words: "only tables audit.*; without the rows of log_*". */
export function patternsInWords(patterns: TablePatterns): string {
  const listed = (before: string, some: readonly string[]) =>
    some.length > 0 ? [`${before} ${some.join(", ")}`] : []
  return [
    ...listed("only tables", patterns.tables),
    ...listed("only schemas", patterns.schemas),
    ...listed("without schemas", patterns.excludeSchemas),
    ...listed("without tables", patterns.excludeTables),
    ...listed("without the rows of", patterns.excludeTableData),
  ].join("; ")
}
