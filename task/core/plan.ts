/** A table that holds rows of its own, so no view, no partitioned and no foreign table. */
export type SourceTable = {
  readonly schema: string
  readonly name: string
  /** What COPY takes, in their order: without dropped and generated columns. */
  readonly columns: readonly string[]
  /** What it takes up, with what is stored out of line. */
  readonly bytes: number
  /** The pages of the table itself. */
  readonly pages: number
  /** By PostgreSQL's own storage of tables, in which a row has its place in a page for a ctid. */
  readonly isHeap: boolean
  readonly isUnlogged: boolean
  /** It belongs to an extension, which makes it, and says which of its rows are to be dumped. */
  readonly ofExtension: boolean
  /** A row's partition depends on what the next server will know an enum's values by: its rows go in by the root. */
  readonly isHashedByEnum: boolean
}

/** A range of a table's rows: those in the pages from `first` on, and before `end`; to the last where that is null. */
export type Pages = { readonly first: number; readonly end: number | null }

/** What one COPY is to copy: a table, or the rows of some of its pages. */
export type PlannedSegment = {
  readonly table: SourceTable
  readonly pages: Pages | null
  readonly expectedBytes: number
}

export type PlanOptions = {
  /** How many streams there are at once. */
  readonly jobs: number
  /** The major version of the server. */
  readonly serverMajor: number
  /** The database's, by its name on the server: `UTF8`. */
  readonly encoding: string
}

const mebibyte = 1024 * 1024

/** A smaller table costs more as a stream of its own than it gains. */
export const bigTableBytes = 16 * mebibyte

/** pg_dump asks the server about each table that it leaves the rows of, and takes them all as arguments. */
const mostTables = 2_000

/** Enough segments that a restore can share them out anew. */
const wantedSegments = 64
/** A segment has a connection and an object of its own: of so many bytes it is nothing beside them. */
const ampleSegmentBytes = 128 * mebibyte
const leastSegmentBytes = 32 * mebibyte
const mostSegmentBytes = 4 * 1024 * mebibyte

/** What psql and the system take in one command. */
const mostNameBytes = 60_000

/**
 * Which tables leave pg_dump's stream, and how they are cut: the largest segment first. All others, and whatever
 * else there is, stay with pg_dump, which knows every odd case; so do all where there is but one stream.
 */
export function planSegments(tables: readonly SourceTable[], options: PlanOptions): PlannedSegment[] {
  if (options.jobs === 1) return []
  const leaving = tables
    .filter((table) => mayLeave(table, options.encoding))
    .toSorted((a, b) => b.bytes - a.bytes)
    .slice(0, mostTables)
  const totalBytes = leaving.reduce((sum, { bytes }) => sum + bytes, 0)
  const segmentBytes = segmentBytesOf(totalBytes, options.jobs)
  return leaving
    .flatMap((table) => cutTable(table, segmentBytes, options.serverMajor))
    .toSorted((a, b) => b.expectedBytes - a.expectedBytes)
}

/**
 * Few large segments where they are shared out well all the same: each costs some 40 ms of the client's CPU. The more
 * streams there are, the more of them wait for the last one, so each is to have twice as many as there are streams.
 */
function segmentBytesOf(totalBytes: number, jobs: number): number {
  const between = (least: number, value: number, most: number) => Math.min(Math.max(value, least), most)
  const balanced = between(leastSegmentBytes, totalBytes / (2 * jobs * jobs), ampleSegmentBytes)
  return between(balanced, totalBytes / wantedSegments, mostSegmentBytes)
}

function mayLeave(table: SourceTable, encoding: string): boolean {
  const { schema, name, columns, bytes } = table
  const names = [schema, name, ...columns]
  return (
    bytes >= bigTableBytes &&
    !table.ofExtension &&
    // A segment would go into the table itself; pg_dump has such rows placed anew.
    !table.isHashedByEnum &&
    // A replica can't read them: pg_dump knows.
    !table.isUnlogged &&
    columns.length > 0 &&
    // In another encoding pg_dump would take the name of the table for another one.
    (encoding === "UTF8" || names.every((one) => /^[\x20-\x7e]*$/.test(one))) &&
    // psql's \copy ends with the line.
    !names.some((one) => /[\r\n]/.test(one)) &&
    names.reduce((sum, one) => sum + Buffer.byteLength(one), 0) <= mostNameBytes
  )
}

/** Before PostgreSQL 14 a range of ctids is looked for in the whole table. */
const rangeScansSince = 14

function cutTable(table: SourceTable, segmentBytes: number, serverMajor: number): PlannedSegment[] {
  const { bytes, pages, isHeap } = table
  const canCut = isHeap && serverMajor >= rangeScansSince
  const count = canCut ? Math.max(1, Math.min(Math.ceil(bytes / segmentBytes), pages)) : 1
  if (count === 1) return [{ table, pages: null, expectedBytes: bytes }]
  return Array.from({ length: count }, (_, index) => ({
    table,
    pages: {
      first: Math.floor((pages * index) / count),
      // What was added after the pages were counted is in the last one.
      end: index === count - 1 ? null : Math.floor((pages * (index + 1)) / count),
    },
    expectedBytes: Math.ceil(bytes / count),
  }))
}

/** More streams than this gain little, and one process of Node serves no more. */
const mostJobs = 8

/** A stream was seen to take up to 150 MiB, and the program some 100 beside them: the rest is for its neighbours. */
const memoryOfJobBytes = 256 * mebibyte

/** What there is to share out among streams. */
export type Resources = {
  readonly cores: number
  /** What the machine has, or the container that this runs in. */
  readonly memoryBytes: number
  /** How many more the server takes. */
  readonly freeConnections: number
}

/**
 * How many streams there are at once where nobody says: one for each core, as far as the memory goes, and no more
 * than half of the connections that the server has left.
 */
export function defaultJobs({ cores, memoryBytes, freeConnections }: Resources): number {
  const borne = Math.min(cores, Math.floor(memoryBytes / memoryOfJobBytes), Math.floor(freeConnections / 2))
  return Math.max(1, Math.min(borne, mostJobs))
}
