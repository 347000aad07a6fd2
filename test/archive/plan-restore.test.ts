import { expect, test } from "vitest"
import { planRestore, rolesNeeded } from "../../task/archive/plan-restore.ts"
import { readToc, type TocEntry } from "../../task/archive/toc.ts"
import { inPieces } from "../support/bytes.ts"
import { dumpOf } from "../support/dump.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

const isNew = { selection: undefined, target: { isNew: true }, clean: false, asSuperuser: true } as const
const roles = ["postgres", "sample_owner", "sample_reader", 'Sample "Writer"', "somebody_else"]

const samples = new Map<number, Promise<readonly TocEntry[]>>()

function sampleEntries(major: number): Promise<readonly TocEntry[]> {
  const entries = samples.get(major) ?? dumpSample(major)
  samples.set(major, entries)
  return entries
}

async function dumpSample(major: number): Promise<readonly TocEntry[]> {
  const server = await sharedPostgres(major)
  const database = await server.createDatabase()
  await fillSampleDatabase(server, database, { megabytes: 1 })
  return (await readToc(inPieces(await dumpOf(server, database)))).entries
}

const namesOf = (entries: readonly TocEntry[]) =>
  entries.filter(({ kind, name }) => /EXTENSION/.test(kind + name)).map(({ kind, name }) => `${kind} ${name}`)

test.for(majors)(
  "on PostgreSQL %i, what the target has or forbids of extensions is left out",
  async (major) => {
    const entries = await sampleEntries(major)
    expect(planRestore(entries, isNew).entries).toEqual(entries)
    expect(planRestore(entries, isNew).extensions).toEqual(["pgcrypto"])
    expect(namesOf(entries)).toEqual(["EXTENSION pgcrypto", "COMMENT EXTENSION pgcrypto"])
    const others = planRestore(entries, { ...isNew, asSuperuser: false })
    expect(namesOf(others.entries)).toEqual(["EXTENSION pgcrypto"])
    expect(others.entries).toHaveLength(entries.length - 1)
    const existing = planRestore(entries, { ...isNew, target: { isNew: false, extensions: ["pgcrypto"] } })
    expect(namesOf(existing.entries)).toEqual([])
    expect(existing.extensions).toEqual([])
  },
)

test.for(majors)("on PostgreSQL %i, a plan needs the roles that it names, and no others", async (major) => {
  const entries = await sampleEntries(major)
  expect(rolesNeeded(entries, roles, { owners: true, grants: true })).toEqual(roles.slice(0, 4))
  expect(rolesNeeded(entries, roles, { owners: true, grants: false })).toEqual(roles.slice(0, 4))
  // Policies name roles whatever else is left out.
  expect(rolesNeeded(entries, roles, { owners: false, grants: false })).toEqual([
    "sample_reader",
    'Sample "Writer"',
  ])
  const selection = { tables: ["shop.products"], schemas: [] }
  const one = planRestore(entries, { ...isNew, selection, target: { isNew: false, extensions: [] } })
  expect(rolesNeeded(one.entries, roles, { owners: true, grants: false })).toEqual(["postgres"])
  expect(rolesNeeded(one.entries, roles, { owners: false, grants: true })).toContain("sample_reader")
})

test.for(majors)("on PostgreSQL %i, to clean, partitions are dropped after their parents", async (major) => {
  const entries = await sampleEntries(major)
  const { entries: ordered } = planRestore(entries, { ...isNew, clean: true })
  expect(ordered.toSorted((a, b) => a.dumpId - b.dumpId)).toEqual(
    entries.toSorted((a, b) => a.dumpId - b.dumpId),
  )
  const at = (name: string) =>
    ordered.findIndex((entry) => entry.kind === "CONSTRAINT" && entry.name === name)
  // They are dropped from the last to the first.
  expect(at("events events_pkey")).toBeGreaterThan(at("events_2026 events_2026_pkey"))
  expect(at("events_2026 events_2026_pkey")).toBeGreaterThan(at("events_2026_rest events_2026_rest_pkey"))
  expect(at("orders orders_pkey")).toBeGreaterThan(at("events events_pkey"))
})
