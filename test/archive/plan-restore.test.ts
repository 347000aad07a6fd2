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

const schemas: ReadonlySet<string> = new Set(["public", "shop", "analytics", "audit"])

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
    const existing = planRestore(entries, {
      ...isNew,
      target: { isNew: false, extensions: ["pgcrypto"], schemas },
    })
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
  const one = planRestore(entries, { ...isNew, selection, target: { isNew: false, extensions: [], schemas } })
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

test("an extension that is left out takes the rows of its own tables along, and of no other's", () => {
  const entryOf = (kind: string, schema: string | undefined, name: string, definition = ""): TocEntry => ({
    kind,
    schema,
    name,
    definition,
    tableOid: 0,
    oid: 0,
    owner: "postgres",
    dependsOn: [],
    dumpId: 1,
    section: /DATA|SET/.test(kind) ? "data" : "pre-data",
    hasData: kind === "TABLE DATA",
  })
  const extension = (name: string, schema: string) =>
    entryOf("EXTENSION", undefined, name, `CREATE EXTENSION IF NOT EXISTS ${name} WITH SCHEMA ${schema};\n\n`)
  const own = [entryOf("TABLE", "shared", "t"), entryOf("TABLE DATA", "shared", "t")]
  const rows = [
    entryOf("TABLE DATA", "Alone", "config"),
    entryOf("TABLE DATA", "shared", "config"),
    entryOf("TABLE DATA", "cron", "job"),
    entryOf("SEQUENCE SET", "cron", "jobid_seq"),
  ]
  const extensions = [extension("a", '"Alone"'), extension("b", "shared"), extension("c", "shared")]
  const archive = [...extensions, extension("pg_cron", "shared"), ...own, ...rows]
  const nothing = {
    refreshes: false,
    publications: false,
    subscriptions: false,
    eventTriggers: false,
    foreignServers: false,
  }
  const leftOut = (...names: string[]) =>
    planRestore(archive, {
      ...isNew,
      leaveOut: { ...nothing, extensions: names },
      isOfExtension: ({ schema }, name) => name === "pg_cron" && schema === "cron",
    }).leftOut.map(({ kind, schema, name }) => `${kind} ${schema}.${name}`)
  expect(leftOut("a")).toEqual(["TABLE DATA Alone.config"])
  expect(leftOut("b")).toEqual([])
  expect(leftOut("pg_cron")).toEqual(["TABLE DATA cron.job", "SEQUENCE SET cron.jobid_seq"])
  expect(leftOut("a", "b", "c", "pg_cron")).toEqual(
    rows.map(({ kind, schema, name }) => `${kind} ${schema}.${name}`),
  )
})
