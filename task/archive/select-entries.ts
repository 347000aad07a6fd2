import { nearest } from "../core/nearest.ts"
import { PgstowError } from "../errors.ts"
import { type Archive, isTable, relateEntries, relationKinds } from "./archive.ts"
import { formatRelationName, parseRelationName, quoteIfNeeded } from "./relation-name.ts"
import type { TocEntry } from "./toc.ts"

/** What to restore of a backup: tables (views, sequences) and whole schemas. */
export type Selection = {
  /** As `parseRelationName` reads them. */
  readonly tables: readonly string[]
  /** As they are in the database, without quotes. */
  readonly schemas: readonly string[]
}

export type SelectedEntries = {
  /** What to restore, in the order of the archive. */
  readonly entries: readonly TocEntry[]
  /**
   * What belongs to a selected table but can't be restored, because it needs what is not selected: foreign keys,
   * the place in a partitioned table, the rows of a materialized view.
   */
  readonly leftOut: readonly TocEntry[]
}

export type SelectOptions = {
  readonly withDependencies: boolean
  /** Those of the database to restore into; every one, where it is undefined. */
  readonly schemasThere?: ReadonlySet<string> | undefined
}

/**
 * The entries that restore tables and schemas whole. `pg_restore --table` would leave out indexes, constraints,
 * triggers, defaults, the sequences that a table owns, comments, grants and policies.
 *
 * A table comes with all that hangs on it, with its partitions and with the tables that inherit from it. A foreign
 * key comes where both its tables do. Large objects and publications never come.
 *
 * With dependencies, for a database that has nothing yet: also the schemas, types, functions, extensions and
 * sequences that these need, and the bare columns of tables without which something can't be made. The rows of a
 * materialized view then come only with those of all its tables. Without dependencies all of these must be
 * there, but for the schemas that the chosen lie in: they come where `schemasThere` has not got them.
 *
 * Throws a PgstowError of kind "usage" for a name that the archive does not have, or has in several schemas.
 */
export function selectEntries(
  entries: readonly TocEntry[],
  selection: Selection,
  { withDependencies, schemasThere }: SelectOptions,
): SelectedEntries {
  const archive = relateEntries(entries)
  const chosen = new Set([
    ...selection.tables.map((name) => findRelation(entries, name)),
    ...selection.schemas.flatMap((name) => standingInSchema(archive, name, withDependencies)),
  ])
  // The loop also comes to what is added meanwhile.
  for (const entry of chosen) for (const child of archive.children(entry)) chosen.add(child)

  const leftOut: TocEntry[] = []
  for (const entry of entries) {
    const hosts = archive.hosts(entry)
    if (!hosts.some((host) => chosen.has(host))) continue
    const comes = hosts.every((host) => chosen.has(host))
    const isEmpty = withDependencies && isRefresh(entry) && !allRowsCome(archive, hosts, chosen)
    const owner = archive.owner(entry)
    if (comes && !isEmpty) chosen.add(entry)
    else if (owner && chosen.has(owner)) leftOut.push(entry)
  }

  if (withDependencies) addDependencies(archive, chosen)
  else if (schemasThere) addSchemas(archive, chosen, schemasThere)
  return { entries: entries.filter((entry) => chosen.has(entry)), leftOut }
}

/**
 * The same entries in an order in which `pg_restore --clean` can drop them, which it does from the last to the
 * first: an index or a key of a partition can't be dropped before the parent's, and is gone with that.
 */
export function inCleanOrder(entries: readonly TocEntry[]): TocEntry[] {
  const archive = relateEntries(entries)
  const tied = new Set<TocEntry>()
  for (const entry of entries)
    for (const parent of archive.dependencies(entry))
      if (entry.kind !== "TABLE" && archive.isAttached(entry, parent)) tied.add(entry).add(parent)
  const first = entries.findIndex((entry) => tied.has(entry))
  return [
    ...entries.slice(0, Math.max(first, 0)),
    ...entries.filter((entry) => tied.has(entry)).reverse(),
    ...entries.slice(Math.max(first, 0)).filter((entry) => !tied.has(entry)),
  ]
}

/** The text of a file for `pg_restore --use-list`. */
export function useList(entries: readonly TocEntry[]): string {
  return entries.map(({ dumpId }) => `${dumpId};\n`).join("")
}

function findRelation(entries: readonly TocEntry[], text: string): TocEntry {
  const { schema, name } = parseRelationName(text)
  const relations = entries.filter(({ kind }) => relationKinds.has(kind))
  const sameName = relations.filter((one) => one.name === name)
  const found = sameName.filter((one) => schema === undefined || one.schema === schema)
  const [relation] = found
  if (relation && found.length === 1) return relation
  if (relation)
    throw new PgstowError("usage", `the backup has several tables ${quoteIfNeeded(name)}`, {
      hint: `Name one of them: ${found.map(formatRelationName).join(", ")}.`,
    })
  const near = schema
    ? nearest(`${schema}.${name}`, relations, (one) => `${one.schema}.${one.name}`)
    : nearest(name, relations, (one) => one.name)
  throw new PgstowError("usage", `the backup has no table ${formatRelationName({ schema, name })}`, {
    hint: didYouMean([...new Set([...sameName, ...near].map(formatRelationName))]),
  })
}

/** What stands alone in a schema, and the schema itself where it must be made. */
function standingInSchema(archive: Archive, name: string, make: boolean): TocEntry[] {
  const isSchema = (entry: TocEntry) => entry.kind === "SCHEMA" && entry.name === name
  const found = archive.entries.filter((entry) => entry.schema === name || isSchema(entry))
  if (found.length > 0)
    return found
      .filter((entry) => make || !isSchema(entry))
      .filter((entry) => archive.hosts(entry).length === 0 && !entry.kind.startsWith("PUBLICATION"))
  const schemas = archive.entries.flatMap((entry) =>
    entry.kind === "SCHEMA" ? entry.name : (entry.schema ?? []),
  )
  throw new PgstowError("usage", `the backup has no schema ${quoteIfNeeded(name)}`, {
    hint: didYouMean(nearest(name, [...new Set(schemas)], (one) => one).map(quoteIfNeeded)),
  })
}

function didYouMean(near: readonly string[]): string {
  if (near.length === 0) return "Write names as they are in the database: upper and lower case count."
  return `Did you mean ${near.join(" or ")}?`
}

function isRefresh({ kind }: TocEntry): boolean {
  return kind === "MATERIALIZED VIEW DATA"
}

/** Whether all tables that these materialized views read are chosen, as far as the archive knows them. */
function allRowsCome(archive: Archive, views: readonly TocEntry[], chosen: ReadonlySet<TocEntry>): boolean {
  const readers = new Set(views)
  for (const reader of readers)
    for (const needed of [reader, ...archive.rules(reader)].flatMap(archive.dependencies)) {
      if (isTable(needed) && !chosen.has(needed)) return false
      if (needed.kind !== "TABLE") readers.add(needed)
    }
  return true
}

/** Adds what the chosen entries can't be made without, and the remarks, values and rules that go with that. */
function addDependencies(archive: Archive, chosen: Set<TocEntry>): void {
  let sizeBefore: number
  do {
    sizeBefore = chosen.size
    for (const entry of chosen) for (const needed of archive.needs(entry)) chosen.add(needed)
    for (const entry of archive.entries)
      if (archive.isInherent(entry) && archive.hosts(entry).every((host) => chosen.has(host)))
        chosen.add(entry)
  } while (chosen.size > sizeBefore)
}

/** Adds the schemas that the chosen entries lie in and are not there, with what is said of them. */
function addSchemas(archive: Archive, chosen: Set<TocEntry>, there: ReadonlySet<string>): void {
  const wanted = new Set([...chosen].map(({ schema }) => schema))
  const missing = new Set(
    archive.entries.filter(({ kind, name }) => kind === "SCHEMA" && wanted.has(name) && !there.has(name)),
  )
  for (const entry of missing) chosen.add(entry)
  for (const entry of archive.entries)
    if (archive.isInherent(entry) && archive.hosts(entry).some((host) => missing.has(host))) chosen.add(entry)
}
