/** A table that holds rows of its own, so no view, no partitioned and no foreign table. */
export type SourceTable = {
  readonly schema: string
  readonly name: string
  /** What COPY takes, in their order: without dropped and generated columns. */
  readonly columns: readonly string[]
  /** What it takes up. */
  readonly bytes: number
  /** So much of that belongs to large values, which are stored out of line. */
  readonly outOfLineBytes: number
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

export type SegmentPlanOptions = {
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

/** Enough segments that a restore can spread them over its streams. */
const wantedSegments = 64
/** Larger ones cost hardly less, all together: each has programs, a connection and an object of its own, some 40 ms. */
const ampleSegmentBytes = 128 * mebibyte
const leastSegmentBytes = 24 * mebibyte
const mostSegmentBytes = 4 * 1024 * mebibyte
/** Of the largest segments, the smallest that a table is cut into. */
const smallestShare = 1 / 3

/** What psql and the system take in one command. */
const mostNameBytes = 60_000

/**
 * Which tables leave pg_dump's stream, and how they are cut: the largest segment first. All others, and whatever
 * else there is, stay with pg_dump, which knows every odd case; so do all where there is but one stream.
 */
export function planSegments(tables: readonly SourceTable[], options: SegmentPlanOptions): PlannedSegment[] {
  if (options.jobs === 1) return []
  const leaving = tables
    .filter((table) => mayLeave(table, options.encoding))
    .toSorted((a, b) => expectedBytesOf(b) - expectedBytesOf(a))
    .slice(0, mostTables)
  const totalBytes = leaving.reduce((sum, table) => sum + expectedBytesOf(table), 0)
  const segmentBytes = segmentBytesOf(totalBytes, options.jobs)
  return leaving
    .flatMap((table) => cutTable(table, segmentBytes, options.serverMajor))
    .toSorted((a, b) => b.expectedBytes - a.expectedBytes)
}

/** Large values are compressed, or binary: each byte comes out as some two. */
function expectedBytesOf({ bytes, outOfLineBytes }: SourceTable): number {
  return bytes + outOfLineBytes
}

/** Of the largest segments: no more than a third of a stream's share. */
function segmentBytesOf(totalBytes: number, jobs: number): number {
  const between = (least: number, value: number, most: number) => Math.min(Math.max(value, least), most)
  const ample = between(ampleSegmentBytes, totalBytes / wantedSegments, mostSegmentBytes)
  return between(leastSegmentBytes, totalBytes / jobs / 3, ample)
}

function mayLeave(table: SourceTable, encoding: string): boolean {
  const { schema, name, columns, bytes } = table
  const names = [schema, name, ...columns]
  return (
    bytes >= bigTableBytes &&
    !table.ofExtension &&
    // A segment would go into the table itself; pg_dump has the server place such rows again.
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

/**
 * Cuts a table into segments of at most `segmentBytes`, each at most half of what is left: the small ones, which come
 * last in a backup, even out that the large ones took longer or shorter than expected.
 */
function cutTable(table: SourceTable, segmentBytes: number, serverMajor: number): PlannedSegment[] {
  const { pages, isHeap } = table
  const expectedBytes = expectedBytesOf(table)
  const leastBytes = Math.max(leastSegmentBytes, segmentBytes * smallestShare)
  const canCut = isHeap && serverMajor >= rangeScansSince && pages > 0
  const bytesOfPage = expectedBytes / pages
  const segments: PlannedSegment[] = []
  for (let first = 0; canCut && first < pages; ) {
    const leftBytes = (pages - first) * bytesOfPage
    const wantedBytes = Math.min(Math.max(leftBytes / 2, leastBytes), segmentBytes)
    const isLast = leftBytes < wantedBytes + leastBytes / 2
    // What was added after the pages were counted is in the last one.
    const end = isLast ? pages : Math.min(first + Math.ceil(wantedBytes / bytesOfPage), pages)
    segments.push({
      table,
      pages: { first, end: end === pages ? null : end },
      expectedBytes: Math.ceil((end - first) * bytesOfPage),
    })
    first = end
  }
  return segments.length > 1 ? segments : [{ table, pages: null, expectedBytes }]
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
