import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  bigTableBytes,
  defaultJobs,
  type PlannedSegment,
  planSegments,
  type SourceTable,
} from "../../task/core/plan.ts"

const MiB = 1024 ** 2
const GiB = 1024 ** 3
const pageBytes = 8192

function table(bytes: number, more: Partial<SourceTable> = {}): SourceTable {
  return {
    schema: "public",
    name: `of ${bytes} bytes`,
    columns: ["id", "note"],
    bytes,
    outOfLineBytes: 0,
    pages: Math.ceil(bytes / pageBytes),
    isHeap: true,
    isUnlogged: false,
    ofExtension: false,
    isHashedByEnum: false,
    ...more,
  }
}

const options = { jobs: 2, serverMajor: 17, encoding: "UTF8" }
const namesOf = (segments: readonly PlannedSegment[]) => [...new Set(segments.map(({ table }) => table.name))]

describe("the plan of a backup", () => {
  it("leaves everything to pg_dump where there is one stream", () => {
    expect(planSegments([table(GiB)], { ...options, jobs: 1 })).toEqual([])
  })

  it("takes big tables alone", () => {
    const tables = [table(bigTableBytes - 1), table(bigTableBytes)]
    expect(planSegments(tables, options)).toEqual([
      { table: tables[1], pages: null, expectedBytes: bigTableBytes },
    ])
  })

  it.each<[string, Partial<SourceTable>]>([
    ["of an extension, which says what is dumped of it", { ofExtension: true }],
    ["that is unlogged, which a replica can't read", { isUnlogged: true }],
    ["without columns", { columns: [] }],
    ["with a newline in its name", { name: "a\nb" }],
    ["with a newline in a column's name", { columns: ["a\rb"] }],
    ["with more names than a command can hold", { columns: Array(1_600).fill("x".repeat(63)) }],
  ])("leaves a table to pg_dump %s", (_, more) => {
    expect(planSegments([table(GiB, more)], options)).toEqual([])
  })

  it("takes a name that is not ASCII only where the database's encoding is UTF-8", () => {
    const tables = [table(GiB, { name: "Straße" })]
    expect(namesOf(planSegments(tables, options))).toEqual(["Straße"])
    expect(planSegments(tables, { ...options, encoding: "LATIN1" })).toEqual([])
    expect(namesOf(planSegments([table(GiB)], { ...options, encoding: "LATIN1" }))).toHaveLength(1)
  })

  it.each<[string, Partial<SourceTable>, number]>([
    ["where the server looks for ctids in the whole table", {}, 13],
    ["that PostgreSQL itself does not keep", { isHeap: false }, 17],
    ["whose rows are all stored out of line", { pages: 1 }, 17],
  ])("does not cut a table %s", (_, more, serverMajor) => {
    expect(planSegments([table(10 * GiB, more)], { ...options, serverMajor })).toMatchObject([
      { pages: null },
    ])
  })

  it("has the largest segment first", () => {
    const sizes = planSegments(
      [table(GiB), table(20 * MiB), table(300 * MiB), table(100 * MiB)],
      options,
    ).map(({ expectedBytes }) => expectedBytes)
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a))
    expect(sizes).toContain(20 * MiB)
  })

  it("cuts a table into ever smaller segments", () => {
    const sizes = planSegments([table(600 * MiB)], { ...options, jobs: 2 }).map(({ expectedBytes }) =>
      Math.round(expectedBytes / MiB),
    )
    expect(sizes).toEqual([100, 100, 100, 100, 100, 50, 33, 17])
  })

  it("expects twice as much of values that are stored out of line", () => {
    const [inline, outOfLine] = [table(17 * MiB), table(16 * MiB, { outOfLineBytes: 4 * MiB })]
    expect(planSegments([inline, outOfLine], options)).toEqual([
      { table: outOfLine, pages: null, expectedBytes: 20 * MiB },
      { table: inline, pages: null, expectedBytes: 17 * MiB },
    ])
  })

  it("takes the largest tables where there are too many for pg_dump's arguments", () => {
    const tables = Array.from({ length: 5_000 }, (_, n) => table(bigTableBytes + n))
    const names = namesOf(planSegments(tables, options))
    expect(names).toHaveLength(2_000)
    expect(names).not.toContain(`of ${bigTableBytes + 2_999} bytes`)
  })

  it.each([
    [2 * GiB, 2, 18],
    [2 * GiB, 4, 18],
    [2 * GiB, 8, 25],
    [512 * MiB, 8, 21],
    [16 * GiB, 2, 66],
    [100 * GiB, 8, 66],
    [1024 * GiB, 2, 258],
  ])("cuts %i bytes for %i streams into %i segments", (bytes, jobs, count) => {
    expect(planSegments([table(bytes)], { ...options, jobs })).toHaveLength(count)
  })

  it("has every page of a table in one segment, and what comes after them in the last", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: bigTableBytes, max: 2 ** 45 }),
        fc.integer({ min: 1, max: 2 ** 31 }),
        (bytes, pages) => {
          const segments = planSegments([table(bytes, { pages })], options)
          if (segments.length === 1) {
            expect(segments[0]?.pages).toBe(null)
            return
          }
          const ranges = segments
            .map((segment) => segment.pages ?? { first: -1, end: -1 })
            .toSorted((a, b) => a.first - b.first)
          expect(ranges[0]?.first).toBe(0)
          for (const [index, { first, end }] of ranges.entries()) {
            const next = ranges[index + 1]
            expect(end).toBe(next ? next.first : null)
            if (end !== null) expect(end).toBeGreaterThan(first)
          }
        },
      ),
    )
  })
})

describe("the number of streams", () => {
  it.each([
    [1, 16 * GiB, 100, 1],
    [2, 16 * GiB, 97, 2],
    [16, 16 * GiB, 100, 8],
    [8, 16 * GiB, 5, 2],
    [4, 16 * GiB, 1, 1],
    [4, 16 * GiB, -3, 1],
    [4, GiB / 2, 100, 2],
    [4, GiB / 8, 100, 1],
  ])(
    "on %i cores and %i bytes of memory with %i free connections is %i",
    (cores, memoryBytes, freeConnections, jobs) => {
      expect(defaultJobs({ cores, memoryBytes, freeConnections })).toBe(jobs)
    },
  )
})
