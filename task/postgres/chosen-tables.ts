import * as z from "zod"
import { literal } from "../core/quote.ts"
import { leavesOut, patternsWithFlags, type TablePatterns } from "../core/table-patterns.ts"
import { PgstowError } from "../errors.ts"
import { QueryError } from "./conversation.ts"
import { type NamePattern, schemaPattern, tablePattern } from "./name-pattern.ts"
import type { Session } from "./session.ts"

/** What patterns choose, as conditions in SQL on a row `c` of pg_class. */
export type ChosenTables = {
  /** That the relation is in the backup. */
  readonly isIn: string
  /** That its rows are, too. */
  readonly hasRows: string
  /** What a person should know of the choice: sentences. */
  readonly notes: readonly string[]
}

export const allTables: ChosenTables = { isIn: "true", hasRows: "true", notes: [] }

/**
 * What pg_dump is given beside the patterns: by its own rules `p*` is also pg_class, and `--schema '*'` pg_catalog, which
 * no server takes back.
 */
export function withoutSystem(patterns: TablePatterns): TablePatterns {
  const { tables, schemas } = patterns
  return {
    ...patterns,
    excludeTables: [
      ...patterns.excludeTables,
      ...(tables.length > 0 ? ["pg_*.*", "information_schema.*"] : []),
    ],
    excludeSchemas: [
      ...patterns.excludeSchemas,
      ...(schemas.length > 0 ? ["pg_*", "information_schema"] : []),
    ],
  }
}

/**
 * Resolves patterns in the session's transaction, by the rules of pg_dump (expand_schema_name_patterns,
 * expand_table_name_patterns, selectDumpableTable and makeTableDataInfo in its pg_dump.c).
 *
 * The transaction's search_path is empty afterwards, as a snapshot has it.
 *
 * Throws a PgstowError of kind "usage" where a pattern is none, names another database, or is to choose and
 * matches nothing.
 */
export async function chooseTables(session: Session, patterns: TablePatterns): Promise<ChosenTables> {
  if (!leavesOut(patterns)) return allTables
  refuseSchemasBesideTables(patterns)
  const notes: string[] = []
  const found: Record<keyof TablePatterns, Set<number>> = {
    tables: new Set(),
    schemas: new Set(),
    excludeTables: new Set(),
    excludeSchemas: new Set(),
    excludeTableData: new Set(),
  }
  await refuseUnwritable(session, patterns)
  // Names without a schema are those that the user's own search_path shows: what is asked meanwhile says of all where it is.
  await session.execute("SET LOCAL search_path TO DEFAULT")
  for (const { kind, flag, pattern } of patternsWithFlags(patterns)) {
    const ofSchemas = kind === "schemas" || kind === "excludeSchemas"
    const oids = await matching(session, flag, pattern, ofSchemas)
    if (oids.length === 0) {
      const what = `no ${ofSchemas ? "schema" : "table"} matches ${flag} ${pattern}`
      if (kind === "tables" || kind === "schemas")
        throw new PgstowError("usage", what, {
          hint: `Write it as pg_dump takes it: schema.table, lower case unless in double quotes, * for anything.`,
        })
      notes.push(what)
    }
    for (const oid of oids) found[kind].add(oid)
  }
  await session.execute("SET LOCAL search_path TO ''")
  const { tables, schemas, excludeTables, excludeSchemas, excludeTableData } = found
  const isChosen =
    patterns.tables.length > 0
      ? isAmong("c.oid", tables)
      : `${patterns.schemas.length > 0 ? isAmong("c.relnamespace", schemas) : "true"} AND NOT ${isAmong("c.relnamespace", excludeSchemas)}`
  const isIn = `(${isChosen} AND NOT ${isAmong("c.oid", excludeTables)})`
  const chosen = { isIn, hasRows: `(${isIn} AND NOT ${isAmong("c.oid", excludeTableData)})` }
  return { ...chosen, notes: [...notes, ...(await notesOnPartitions(session, chosen, excludeTableData))] }
}

/** pg_dump passes over the one beside the other, and stores more, or less, than was meant. */
function refuseSchemasBesideTables({ tables, schemas, excludeSchemas }: TablePatterns): void {
  if (tables.length === 0 || schemas.length + excludeSchemas.length === 0) return
  throw new PgstowError(
    "usage",
    `${schemas.length > 0 ? "--schema" : "--exclude-schema"} has no effect beside --table`,
    { hint: "Put the schema into the table's pattern: --table 'app.*', --exclude-table 'audit.*'." },
  )
}

/** pg_dump takes its arguments for text in the encoding that it writes, which here is the database's. */
async function refuseUnwritable(session: Session, patterns: TablePatterns): Promise<void> {
  const beyond = patternsWithFlags(patterns).find(({ pattern }) => /[^\x20-\x7e]/.test(pattern))
  if (!beyond) return
  const [{ encoding }] = z
    .tuple([z.object({ encoding: z.string() })])
    .parse(await session.query("SELECT pg_catalog.getdatabaseencoding() AS encoding"))
  if (encoding === "UTF8") return
  throw new PgstowError(
    "usage",
    `${beyond.flag} ${beyond.pattern} has letters beyond ASCII, and the database's encoding is ${encoding}`,
    { hint: "Write ? in place of each such letter." },
  )
}

const oidRows = z.array(z.object({ oid: z.int() }))

/** The oids of what a pattern matches, but for the system's own. Every name in it is qualified: the search_path is the user's. */
async function matching(
  session: Session,
  flag: string,
  pattern: string,
  ofSchemas: boolean,
): Promise<number[]> {
  const meant = ofSchemas ? schemaPattern(pattern) : tablePattern(pattern)
  await refuseOtherDatabase(session, `${flag} ${pattern}`, meant)
  const isOwn = `n.nspname OPERATOR(pg_catalog.!~) '^pg_' AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema'`
  const query = ofSchemas
    ? `SELECT n.oid::pg_catalog.int8 AS oid FROM pg_catalog.pg_namespace n
        WHERE ${isOwn} AND ${matches("n.nspname", meant.name)}`
    : `SELECT c.oid::pg_catalog.int8 AS oid
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
        WHERE c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'S', 'v', 'm', 'f', 'p']::pg_catalog."char"[])
          AND ${isOwn} AND ${matches("c.relname", meant.name)}
          AND ${meant.schema === undefined ? "pg_catalog.pg_table_is_visible(c.oid)" : matches("n.nspname", meant.schema)}`
  try {
    return oidRows.parse(await session.query(query)).map(({ oid }) => oid)
  } catch (error) {
    const invalidRegularExpression = "2201B"
    if (!(error instanceof QueryError) || error.sqlstate !== invalidRegularExpression) throw error
    throw new PgstowError("usage", `${flag} ${pattern} is no pattern: ${error.reason}`, {
      hint: "Put what is no sign for others in double quotes: '\"a(b\"'.",
    })
  }
}

async function refuseOtherDatabase(
  session: Session,
  pattern: string,
  { database }: NamePattern,
): Promise<void> {
  if (database === undefined) return
  const [{ name }] = z
    .tuple([z.object({ name: z.string() })])
    .parse(await session.query("SELECT pg_catalog.current_database() AS name"))
  if (database === name) return
  throw new PgstowError("usage", `${pattern} names the database ${database}, and this one is ${name}`, {
    hint: "Leave the database out of the pattern, or put a name that has dots in double quotes.",
  })
}

function matches(column: string, regex: string): string {
  return `${column} OPERATOR(pg_catalog.~) ${literal(regex)} COLLATE pg_catalog.default`
}

function isAmong(column: string, oids: ReadonlySet<number>): string {
  return oids.size === 0 ? "false" : `${column} = ANY ('{${[...oids].join(",")}}'::oid[])`
}

/**
 * By pg_dump's rules a pattern that matches a partitioned table says nothing of its partitions, which hold its rows. Where
 * it is the same for none of them, that was hardly meant.
 */
async function notesOnPartitions(
  session: Session,
  { isIn, hasRows }: Pick<ChosenTables, "isIn" | "hasRows">,
  excludeTableData: ReadonlySet<number>,
): Promise<string[]> {
  const partitions = `FROM pg_partition_tree(p.oid) AS t JOIN pg_class c ON c.oid = t.relid WHERE t.isleaf AND c.relkind = 'r'`
  const rows = await session.query(`
    SELECT format('%I.%I', n.nspname, p.relname) AS name,
           EXISTS (SELECT ${partitions}) AND NOT EXISTS (SELECT ${partitions} AND ${isIn}) AS "isWithout",
           p.oid = ANY ('{${[...excludeTableData].join(",")}}'::oid[]) AND EXISTS (SELECT ${partitions} AND ${hasRows})
             AND NOT EXISTS (SELECT ${partitions} AND ${isIn} AND NOT ${hasRows}) AS "isFull"
      FROM (SELECT c.oid, c.relname, c.relnamespace FROM pg_class c WHERE c.relkind = 'p' AND ${isIn}) AS p
      JOIN pg_namespace n ON n.oid = p.relnamespace
     WHERE n.nspname !~ '^pg_' ORDER BY 1`)
  return z
    .array(z.object({ name: z.string(), isWithout: z.boolean(), isFull: z.boolean() }))
    .parse(rows)
    .flatMap(({ name, isWithout, isFull }) => [
      ...(isWithout
        ? [
            `the partitioned table ${name} is in the backup without its partitions: a pattern must match them, too`,
          ]
        : []),
      ...(isFull
        ? [`the partitions of ${name} are in the backup with their rows: a pattern must match them, too`]
        : []),
    ])
}
