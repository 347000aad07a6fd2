import { partBuffers, partSize } from "../../task/core/part-size.ts"
import { planSegments, type SourceTable } from "../../task/core/plan.ts"
import { mixed } from "./generate-database.ts"

/** Assumed of S3 Standard in us-east-1, list prices of 2025 from memory: look up today's. */
export const prices = { dollarsPerThousandPuts: 0.005, dollarsPerGigabyteMonth: 0.023 }

export type SimulationOptions = {
  /** Of the database, before compression. */
  readonly bytes: number
  /** What is stored of it: 0.25 is a quarter. */
  readonly storedShare: number
  /** What the server gives out on one connection. */
  readonly connectionBytesPerSecond: number
  readonly jobs: number
}

export type Simulation = SimulationOptions & {
  readonly objects: number
  readonly largestSegmentBytes: number
  readonly parts: number
  readonly largestPartBytes: number
  /** PUT and POST requests: parts, and what begins and completes them. */
  readonly requests: number
  /** Of the parts that are held at once, at most. */
  readonly buffersBytes: number
  readonly hours: number
  readonly requestDollars: number
  readonly storageDollarsPerMonth: number
}

const pageBytes = 8_192
const maxParts = 10_000
/** Of every object the backup writer guesses that it comes to a third. */
const guessedShare = 1 / 3

/** What a backup of a large database comes to, by the code that plans real ones. Nothing is run. */
export function simulate(options: SimulationOptions): Simulation {
  const { bytes, storedShare, connectionBytesPerSecond, jobs } = options
  const segments = planSegments(tablesOf(bytes), { jobs, serverMajor: 17, encoding: "UTF8" })
  const segmentBytes = segments.map(({ expectedBytes }) => expectedBytes)
  // pg_dump's own stream comes first, as in a backup.
  const objects = [bytes - segmentBytes.reduce((sum, one) => sum + one, 0), ...segmentBytes]

  const parts = objects.map((raw) => partsOf(raw * storedShare, raw * guessedShare))
  const counts = parts.map((sizes) => sizes.length)
  const held = parts.map((sizes) => Math.max(...sizes.map((size) => size * partBuffers(size))))
  const requests = counts.reduce((sum, count) => sum + (count === 1 ? 1 : count + 2), 0)
  return {
    ...options,
    objects: objects.length,
    largestSegmentBytes: Math.max(...segmentBytes, 0),
    parts: counts.reduce((sum, count) => sum + count, 0),
    largestPartBytes: Math.max(...parts.flat()),
    requests,
    buffersBytes: held
      .toSorted((a, b) => b - a)
      .slice(0, jobs)
      .reduce((sum, one) => sum + one, 0),
    hours: longestOf(objects, jobs) / connectionBytesPerSecond / 3600,
    requestDollars: (requests / 1000) * prices.dollarsPerThousandPuts,
    storageDollarsPerMonth: ((bytes * storedShare) / 1e9) * prices.dollarsPerGigabyteMonth,
  }
}

/** The tables of the generated database, at that size. Small ones and large objects stay with pg_dump. */
function tablesOf(bytes: number): SourceTable[] {
  const { documents, wide, narrow, blobs } = mixed(bytes)
  const sizes = { documents, wide, accounts: narrow / 2, entries: narrow / 2, blobs }
  // Two hexadecimal digits a byte.
  const outOfLineBytes: Readonly<Record<string, number>> = { blobs: blobs / 2 }
  return Object.entries(sizes).map(([name, size]) => ({
    schema: "public",
    name,
    columns: ["id"],
    bytes: size - (outOfLineBytes[name] ?? 0),
    outOfLineBytes: outOfLineBytes[name] ?? 0,
    pages: Math.ceil(size / pageBytes),
    isHeap: true,
    isUnlogged: false,
    ofExtension: false,
    isHashedByEnum: false,
  }))
}

/** The sizes of the parts that an object is cut into. Throws where the service would not take so many. */
function partsOf(bytes: number, expectedBytes: number): number[] {
  const sizes: number[] = []
  for (let left = bytes; left > 0 || sizes.length === 0; left -= sizes.at(-1) ?? 0)
    sizes.push(partSize(sizes.length, expectedBytes, { most: maxParts, equal: false }))
  if (sizes.length > maxParts) throw new RangeError(`an object of ${bytes} bytes has ${sizes.length} parts`)
  return sizes
}

/** What the busiest stream carries where each takes the next object as soon as it is free. */
function longestOf(objects: readonly number[], jobs: number): number {
  const streams = Array.from({ length: jobs }, () => 0)
  for (const bytes of objects) {
    const freest = streams.indexOf(Math.min(...streams))
    streams[freest] = (streams[freest] ?? 0) + bytes
  }
  return Math.max(...streams)
}
