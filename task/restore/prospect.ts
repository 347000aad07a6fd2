import { tablesAmong } from "../archive/table-data.ts"
import { storedBytes } from "../core/manifest.ts"
import { identifier } from "../core/quote.ts"
import type { FailureKind } from "../errors.ts"
import { type Foreseen, refusalOf } from "./foresee.ts"
import type { RestoreJob } from "./job.ts"
import type { Outlook } from "./look-ahead.ts"

/** What a restore would do and come to, told without doing any of it. */
export type Prospect = {
  readonly id: string
  /** The name in the catalog. */
  readonly database: string
  readonly storage: string
  readonly into: string
  /** Whether `into` is there: then all is one transaction in it. */
  readonly exists: boolean
  readonly serverVersion: string
  readonly targetMajor: number
  /** How many of each kind would be made, in pg_dump's words: `{ "TABLE": 27, "INDEX": 12 }`; null of SQL, which isn't read. */
  readonly objects: Readonly<Record<string, number>> | null
  readonly tables: number
  /** About how many rows, as far as the backup says; null where it says nothing of them. */
  readonly rows: number | null
  /** What would be restored, uncompressed. */
  readonly rawBytes: number
  /** What would be read of the storage. */
  readonly downloadBytes: number
  /** About how long, and what that is known from; null where nothing is known. */
  readonly expected: { readonly seconds: number; readonly from: string } | null
  readonly rolesToMake: readonly string[]
  readonly foreseen: readonly Foreseen[]
  readonly notes: readonly string[]
  /** What a restore would refuse with. */
  readonly refusal: {
    readonly kind: FailureKind
    readonly message: string
    readonly hint: string | undefined
  } | null
}

/** Kinds that hold rows or say something of other objects: those that are not made. */
const notMade =
  /^(TABLE DATA|BLOBS|SEQUENCE SET|ACL|DEFAULT ACL|COMMENT|SECURITY LABEL|DATABASE.*|ENCODING|STDSTRINGS|SEARCHPATH|STATISTICS DATA)$/

/** Puts together what is known of a job before it begins. */
export function prospectOf(
  { storage, manifest, main, joined, name, target, options }: RestoreJob,
  { plan, foreseen, rolesToMake, notes, lookups, differences }: Outlook,
  { exists, questions }: { readonly exists: boolean; readonly questions: readonly string[] },
): Prospect {
  const segments = tablesAmong(plan.entries, joined).flatMap((table) => table.segments)
  const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0)
  // All of the main object is read whatever is wanted of it.
  const read = [main, ...segments]
  const rawBytes = sum(read.map((object) => object.rawBytes))
  const verified = exists ? storedBytes(manifest) : 0
  const made = plan.entries.filter(({ kind }) => !notMade.test(kind))
  const objects = Object.fromEntries(
    [...Map.groupBy(made, ({ kind }) => kind)].map(([kind, entries]) => [kind, entries.length]),
  )
  const tables = plan.entries.filter(({ kind }) => kind === "TABLE")
  const refusal = options.anyway ? undefined : refusalOf(foreseen)
  return {
    id: manifest.id,
    database: manifest.database,
    storage: storage.url,
    into: name,
    exists,
    serverVersion: manifest.source.serverVersion,
    targetMajor: target.serverMajor,
    objects,
    tables: tables.length,
    rows: rowsOf(manifest, options.selection === undefined ? undefined : tables),
    rawBytes,
    downloadBytes: sum(read.map(({ sizeBytes }) => sizeBytes)) + verified,
    expected: expectedTime(manifest, rawBytes),
    rolesToMake,
    foreseen,
    notes: [...notes, ...lookups, ...differences, ...questions],
    refusal: refusal ? { kind: refusal.kind, message: refusal.message, hint: refusal.hint } : null,
  }
}

/** About how many rows these tables have, or all; null where the manifest says it of none. */
function rowsOf(
  { tableRows }: RestoreJob["manifest"],
  tables: RestoreJob["archive"] | undefined,
): number | null {
  if (tableRows === undefined) return null
  const wanted = tables && new Set(tables.flatMap(({ schema = "", name }) => spellings(schema, name)))
  const known = tableRows.filter(({ table }) => wanted?.has(table) !== false)
  return known.length === 0 ? null : known.reduce((sum, { rows }) => sum + rows, 0)
}

/** A table's name as SQL may write it: quoted where it has to be, which PostgreSQL's keywords decide. */
function spellings(schema: string, name: string): string[] {
  return [schema, identifier(schema)].flatMap((one) =>
    [name, identifier(name)].map((other) => `${one}.${other}`),
  )
}

/** The backup is all that has been measured. */
function expectedTime(
  { startedAt, finishedAt, objects }: RestoreJob["manifest"],
  rawBytes: number,
): Prospect["expected"] {
  const seconds = (Date.parse(finishedAt) - Date.parse(startedAt)) / 1000
  const all = objects.reduce((sum, object) => sum + (object.kind === "globals" ? 0 : object.rawBytes), 0)
  if (!(seconds > 0) || all === 0) return null
  return {
    seconds: (seconds * rawBytes) / all,
    from: "how long the backup took; indexes and constraints come on top, and another machine may be slower",
  }
}
