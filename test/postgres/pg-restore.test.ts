import { zstdCompressSync } from "node:zlib"
import { describe, expect, test } from "vitest"
import { readToc } from "../../task/archive/toc.ts"
import { PgstowError } from "../../task/errors.ts"
import { restoreMain, type StreamOptions } from "../../task/postgres/pg-restore.ts"
import { findZstd } from "../../task/streams/zstd.ts"
import { failing, inPieces } from "../support/bytes.ts"
import { compareDatabases } from "../support/compare-databases.ts"
import { dumpOf } from "../support/dump.ts"
import { notRun } from "../support/not-run.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { fillSampleDatabase, makeSampleRoles } from "../support/sample-database.ts"
import { clientsOf, connectionTo } from "../support/session.ts"
import { majors, needsOlder, sharedPostgres } from "../support/shared-postgres.ts"

const zstd = await findZstd(process.env)
const [oldest, newest] = await Promise.all([sharedPostgres(majors.at(0)), sharedPostgres(majors.at(-1))])

async function sampleOf(server: PostgresServer): Promise<string> {
  const database = await server.createDatabase()
  await fillSampleDatabase(server, database, { megabytes: 2 })
  return database
}

/** Restores a dump into a new database of the server. */
async function restoreDump(
  dump: Buffer,
  server: PostgresServer,
  { source, into, ...more }: Partial<StreamOptions> & { source?: AsyncIterable<Buffer>; into?: string } = {},
) {
  const database = into ?? (await server.createDatabase())
  const { entries } = await readToc(inPieces(dump))
  const outcome = await restoreMain(source ?? inPieces(zstdCompressSync(dump), [65_536]), {
    clients: clientsOf(server),
    connection: connectionTo(server, database),
    name: "the dump",
    entries,
    partial: false,
    owners: "keep",
    grants: "keep",
    tablespaces: "keep",
    mode: "collect",
    compressed: true,
    zstd,
    env: {},
    ...more,
  })
  return { database, outcome }
}

const contents = (differences: readonly string[]) =>
  differences.filter((line) => !line.startsWith("database:"))

describe.each([
  ["a zstd program", zstd],
  ["Node's own zstd", undefined],
])("with %s", (_, program) => {
  test("a dump comes back whole", async () => {
    const source = await sampleOf(newest)
    const dump = await dumpOf(newest, source)
    const { database, outcome } = await restoreDump(dump, newest, { zstd: program })
    expect(outcome).toEqual({ state: "ok", errors: [], warnings: [], readToEnd: true })
    expect(
      contents(await compareDatabases({ server: newest, name: source }, { server: newest, name: database })),
    ).toEqual([])
  })

  test("a stream that fails before its last 64 KiB commits nothing", async () => {
    const dump = await dumpOf(newest, await sampleOf(newest))
    const bytes = zstdCompressSync(dump)
    const swapped = new PgstowError("damaged", "it was swapped")
    const source = failing([bytes.subarray(0, -64 * 1024)], swapped)
    const { database, outcome } = await restoreDump(dump, newest, { zstd: program, source, mode: "rollBack" })
    expect(outcome).toMatchObject({ state: "failed", failure: swapped })
    expect(await newest.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'shop'", database)).toBe("0")
  })
})

test.skipIf(needsOlder)(`a dump of the oldest server comes back on the newest${needsOlder}`, async () => {
  const source = await sampleOf(oldest)
  await makeSampleRoles(newest)
  const { database, outcome } = await restoreDump(await dumpOf(oldest, source), newest)
  expect(outcome).toMatchObject({ state: "ok", errors: [] })
  const differences = await compareDatabases(
    { server: oldest, name: source },
    { server: newest, name: database },
  )
  // The queries of views are written in other words since 16.
  const ofQueries =
    /^schema: (only in the (first|second): (?!CREATE|ALTER|GRANT|REVOKE|COMMENT)|\d+ more lines)/
  expect(contents(differences).filter((line) => !ofQueries.test(line))).toEqual([])
})

const older = needsOlder || notRun(oldest.major < 17 && newest.major >= 17, "both have a transaction_timeout")

test.skipIf(older)(
  `the newest programs restore what they dumped of the oldest server there${older}`,
  async () => {
    const source = await sampleOf(oldest)
    const dump = await dumpOf({ ...oldest, binDir: newest.binDir }, source)
    const { database, outcome } = await restoreDump(dump, oldest, { clients: clientsOf(newest) })
    expect(outcome).toEqual({
      state: "ok",
      errors: [],
      warnings: [
        'pg_restore went on without a setting: unrecognized configuration parameter "transaction_timeout"',
      ],
      readToEnd: false,
    })
    const differences = await compareDatabases(
      { server: oldest, name: source },
      { server: oldest, name: database },
    )
    expect(contents(differences)).toEqual([])
  },
)

test.for(majors)("on PostgreSQL %i, what a user may not do is told apart", async (major) => {
  const server = await sharedPostgres(major)
  const dump = await dumpOf(server, await sampleOf(server))
  const into = await server.createDatabase()
  const user = `limited_in_${into}`
  // As a managed service has it: its administrator has installed the extension.
  await server.psql(
    `CREATE EXTENSION pgcrypto; CREATE ROLE ${user} LOGIN PASSWORD 'limited'; ALTER DATABASE ${into} OWNER TO ${user}`,
    into,
  )
  const connection = { ...connectionTo(server, into, { user }), password: "limited" }
  const { outcome } = await restoreDump(dump, server, { into, connection })
  expect(outcome.state).toBe("errors")
  const counts = Map.groupBy(outcome.errors, (error) => error.class)
  expect(counts.get("extension-comment")).toHaveLength(1)
  expect(counts.get("foreign-owner")?.length).toBeGreaterThan(50)
  expect(counts.get("other")).toBeUndefined()
  expect([...counts.keys()].toSorted()).toEqual(
    major < 17
      ? ["extension-comment", "foreign-owner"]
      : ["extension-comment", "foreign-owner", "permission-denied"],
  )
  for (const error of outcome.errors) {
    expect(error.entry).not.toBeNull()
    expect(error.statement).not.toBeNull()
  }
  expect(outcome.warnings).toEqual([])
})

test("an extension that the server does not have is told apart, and what follows from it", async () => {
  const source = await newest.createDatabase()
  await newest.psql("CREATE EXTENSION hstore; CREATE TABLE t (h hstore); CREATE TABLE u ()", source)
  const dump = await dumpOf(newest, source)
  // The same dump, of an extension that nobody has.
  const renamed = Buffer.from(dump.toString("latin1").replaceAll("hstore", "hstorx"), "latin1")
  const { outcome } = await restoreDump(renamed, newest)
  expect(outcome.errors.map((error) => [error.class, error.entry?.split(" ")[0]])).toEqual([
    ["missing-extension", "EXTENSION"],
    ["missing-extension", "COMMENT"],
    ["missing-object", "TABLE"],
    ["missing-object", "TABLE"],
    ["missing-object", "TABLE"],
  ])
})

test("a few entries need not be read for to the end", async () => {
  const dump = await dumpOf(newest, await sampleOf(newest))
  const { entries } = await readToc(inPieces(dump))
  const schemas = entries.filter(({ kind }) => kind === "SCHEMA")
  const { outcome } = await restoreDump(dump, newest, { entries: schemas, partial: true })
  expect(outcome).toMatchObject({ state: "ok", readToEnd: false })
})
