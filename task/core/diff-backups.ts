import { type Manifest, partialInWords, rawBytes, storedBytes } from "./manifest.ts"

/** One table in two backups; null where it is not there, or not known. */
export type TableChange = {
  /** As SQL writes it. */
  readonly table: string
  /** Counted where the table was cut into segments, else the server's estimate. */
  readonly rows: Pair
  /** Before compression; known of tables in segments alone. */
  readonly bytes: Pair
}

export type Pair = { readonly before: number | null; readonly after: number | null }

/** Something with a name and a value: an extension with its version, a setting. */
export type ValueChange = {
  readonly name: string
  readonly before: string | null
  readonly after: string | null
}

export type BackupDiff = {
  /** What each holds and what not, in words; null of a whole one. */
  readonly partial: { readonly before: string | null; readonly after: string | null }
  readonly storedBytes: Pair
  readonly rawBytes: Pair
  /** Of the database on its server. */
  readonly databaseBytes: Pair
  /** How many tables there are. */
  readonly tables: Pair
  readonly came: readonly TableChange[]
  readonly went: readonly TableChange[]
  readonly grew: readonly TableChange[]
  readonly shrank: readonly TableChange[]
  /** How many tables the other backup alone lists, where this one is partial: it may have left them out. */
  readonly leftOut: { readonly before: number; readonly after: number }
  /** How many tables are as large as they were. */
  readonly unchanged: number
  readonly extensions: readonly ValueChange[]
  readonly settings: readonly ValueChange[]
  /** Server, encoding, locale. */
  readonly properties: readonly ValueChange[]
  readonly roles: { readonly came: readonly string[]; readonly went: readonly string[] }
  /** What the manifests do not tell: sentences. */
  readonly notKnown: readonly string[]
}

/** So many tables at most has a manifest's `tableRows`: a smaller one may be there and not be listed. */
const mostTables = 500

/** What differs between two backups, as far as their manifests tell. The tables that changed most come first. */
export function diffBackups(before: Manifest, after: Manifest): BackupDiff {
  const [old, now] = [tablesIn(before), tablesIn(after)]
  const isListed = before.tableRows !== undefined && after.tableRows !== undefined
  const names = [...new Set([...old.keys(), ...now.keys()])]
  const changes = names.map((name): TableChange => {
    const [one, other] = [old.get(name), now.get(name)]
    return {
      table: other?.table ?? one?.table ?? name,
      rows: { before: one?.rows ?? null, after: other?.rows ?? null },
      bytes: { before: one?.bytes ?? null, after: other?.bytes ?? null },
    }
  })
  const both = changes.filter(({ rows }) => rows.before !== null && rows.after !== null)
  const partial = { before: partialInWords(before) ?? null, after: partialInWords(after) ?? null }
  // By the same patterns both have left out the same.
  const isLike = partial.before === partial.after
  const missing = (side: "before" | "after", manifest: Manifest) => {
    const other = side === "before" ? "after" : "before"
    const found = isListed
      ? changes.filter(({ rows }) => rows[side] === null && isMissing(rows[other], manifest))
      : []
    return isLike || partial[side] === null
      ? { gone: found, leftOut: 0 }
      : { gone: [], leftOut: found.length }
  }
  const [notBefore, notAfter] = [missing("before", before), missing("after", after)]
  const [came, went] = [notBefore.gone, notAfter.gone]
  const leftOut = { before: notBefore.leftOut, after: notAfter.leftOut }
  const grew = both.filter((change) => growthOf(change) > 0)
  const shrank = both.filter((change) => growthOf(change) < 0)
  const untold = changes.length - both.length - came.length - went.length - leftOut.before - leftOut.after
  const pairOf = (measure: (manifest: Manifest) => number): Pair => ({
    before: measure(before),
    after: measure(after),
  })
  return {
    partial,
    storedBytes: pairOf(storedBytes),
    rawBytes: pairOf(rawBytes),
    databaseBytes: pairOf(({ source }) => source.sizeBytes),
    tables: pairOf(({ source }) => source.tables),
    came: largestFirst(came),
    went: largestFirst(went),
    grew: largestFirst(grew),
    shrank: largestFirst(shrank),
    leftOut,
    unchanged: both.length - grew.length - shrank.length,
    extensions: changesOf(extensionsIn(before), extensionsIn(after)),
    settings: changesOf(settingsIn(before), settingsIn(after)),
    properties: changesOf(propertiesIn(before), propertiesIn(after)),
    roles: {
      came: after.source.roles.filter((role) => !before.source.roles.includes(role)),
      went: before.source.roles.filter((role) => !after.source.roles.includes(role)),
    },
    notKnown: [
      ...(isLike ? [] : partialNotes(partial, leftOut)),
      ...(isListed
        ? [
            "Rows are the server's estimates, but of tables in segments, which are counted. A table of which the server has no statistics is not seen.",
          ]
        : ["Which tables came and went is not known: at least one of these backups lists none."]),
      ...(isListed && untold > 0
        ? [
            `Small tables of which it is not known whether they came or went: ${untold}. A backup lists the ${mostTables} with the most rows.`,
          ]
        : []),
      "Bytes are known of tables in segments alone. Columns, indexes, views, functions and grants are not in the manifest: `pgstow export` and pg_restore --list show them.",
      "Roles are those that own something or were granted something; their attributes and memberships are in the backup's globals.",
    ],
  }
}

function partialNotes(partial: BackupDiff["partial"], leftOut: BackupDiff["leftOut"]): string[] {
  const sides = [
    { side: "before", counted: "new" },
    { side: "after", counted: "gone" },
  ] as const
  const parts = sides.flatMap(({ side, counted }) => {
    const words = partial[side]
    if (words === null) return []
    const which = `The ${side === "before" ? "first" : "second"} backup is partial (${words})`
    return [`${which}: tables that it does not list are not counted as ${counted}: ${leftOut[side]}.`]
  })
  return [...parts, "Sizes are of what each of them holds, so they can't be compared."]
}

type Table = { readonly table: string; readonly rows: number; readonly bytes: number | null }

/** What is known of each table, by its schema and name. */
function tablesIn({ tableRows = [], objects }: Manifest): Map<string, Table> {
  const tables = new Map<string, Table>()
  for (const { table, rows } of tableRows) tables.set(keyOfName(table), { table, rows, bytes: null })
  const segments = objects.filter((object) => object.kind === "segment")
  const bySegments = Map.groupBy(segments, ({ schema, table }) => JSON.stringify([schema, table]))
  for (const [key, own] of bySegments) {
    const [first] = own
    if (!first) continue
    tables.set(key, {
      table: tables.get(key)?.table ?? `${quoted(first.schema)}.${quoted(first.table)}`,
      rows: own.reduce((sum, { rows }) => sum + rows, 0),
      bytes: own.reduce((sum, segment) => sum + segment.rawBytes, 0),
    })
  }
  return tables
}

const part = /(?:"((?:[^"]|"")*)"|([^".]+))/.source
const sqlName = new RegExp(`^${part}\\.${part}$`)

/** `app."Odd"` as schema and name without quotes; what is no such name stands for itself. */
function keyOfName(table: string): string {
  const match = sqlName.exec(table)
  if (!match) return table
  const [, quotedSchema, schema, quotedName, name] = match
  const plain = (inQuotes: string | undefined, bare: string | undefined) =>
    inQuotes?.replaceAll('""', '"') ?? bare
  return JSON.stringify([plain(quotedSchema, schema), plain(quotedName, name)])
}

function quoted(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`
}

/** Whether a table with so many rows would be listed in the backup if it were there. */
function isMissing(rows: number | null, { tableRows = [] }: Manifest): boolean {
  if (tableRows.length < mostTables) return true
  return rows !== null && rows > Math.min(...tableRows.map((each) => each.rows))
}

/** By rows, or else by bytes. */
function growthOf({ rows, bytes }: TableChange): number {
  return differenceOf(rows) || differenceOf(bytes)
}

function differenceOf({ before, after }: Pair): number {
  return before === null || after === null ? 0 : after - before
}

function largestFirst(changes: readonly TableChange[]): TableChange[] {
  const weight = ({ rows }: TableChange) => Math.abs((rows.after ?? 0) - (rows.before ?? 0))
  return changes.toSorted((a, b) => weight(b) - weight(a) || (a.table < b.table ? -1 : 1))
}

function extensionsIn({ source }: Manifest): Map<string, string> {
  return new Map(source.extensions.map(({ name, version }) => [name, version]))
}

function settingsIn({ source }: Manifest): Map<string, string> {
  return new Map(
    source.settings.map((setting) => {
      const at = setting.indexOf("=")
      return at === -1 ? [setting, ""] : [setting.slice(0, at), setting.slice(at + 1)]
    }),
  )
}

function propertiesIn({ source }: Manifest): Map<string, string> {
  return new Map([
    ["server", source.serverVersion],
    ["encoding", source.encoding],
    ["locale provider", source.localeProvider],
    ["collate", source.collate],
    ["ctype", source.ctype],
    ["locale", source.locale ?? ""],
    ["ICU rules", source.icuRules ?? ""],
  ])
}

function changesOf(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): ValueChange[] {
  return [...new Set([...before.keys(), ...after.keys()])]
    .map((name) => ({ name, before: before.get(name) ?? null, after: after.get(name) ?? null }))
    .filter((change) => change.before !== change.after)
}
