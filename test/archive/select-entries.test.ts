import { execFile } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type Selection, selectEntries, useList } from "../../task/archive/select-entries.ts"
import { readToc, type TocEntry } from "../../task/archive/toc.ts"
import { inPieces } from "../support/bytes.ts"
import { compareDatabases } from "../support/compare-databases.ts"
import { dumpOf } from "../support/dump.ts"
import { failureOf } from "../support/failure.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

const run = promisify(execFile)
const tables = (...names: string[]): Selection => ({ tables: names, schemas: [] })
const schemas = (...names: string[]): Selection => ({ tables: [], schemas: names })

describe.for(majors)("from a dump of PostgreSQL %i", (major) => {
  let server: PostgresServer
  let source: string
  let archive: Buffer
  let entries: readonly TocEntry[]
  let folder: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pgstow-test-"))
    server = await sharedPostgres(major)
    source = await server.createDatabase()
    await fillSampleDatabase(server, source, { megabytes: 1 })
    archive = await dumpOf(server, source)
    entries = (await readToc(inPieces(archive))).entries
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  /** Restores a selection into a new database. Throws at the first error. */
  async function restore(selection: Selection, database?: string): Promise<string> {
    const target = database ?? (await server.createDatabase())
    const selected = selectEntries(entries, selection, { withDependencies: database === undefined })
    const list = join(folder, "list")
    await writeFile(list, useList(selected.entries))
    const args = ["--exit-on-error", "--use-list", list, "--dbname", target]
    const restoring = run(join(server.binDir, "pg_restore"), args, { env: server.env })
    // pg_restore stops reading after the last entry that is wanted.
    restoring.child.stdin?.on("error", () => {}).end(archive)
    await restoring
    return target
  }

  async function schemaLines(database: string, ...args: string[]): Promise<string[]> {
    const pgDump = run(join(server.binDir, "pg_dump"), ["--schema-only", ...args, database], {
      env: { ...server.env, PGTZ: "UTC" },
    })
    return (await pgDump).stdout
      .split("\n")
      .filter((line) => !/^(--|\\(un)?restrict )/.test(line))
      .sort()
  }

  test.for([
    "shop.orders",
    "shop.customers",
    "shop.documents",
    "shop.products",
    "shop.invoice_numbers",
    "shop.open_orders",
    "analytics.events",
    "analytics.events_2026",
    "analytics.events_2026_rest",
    "analytics.precise_measurements",
    "analytics.daily",
    '"Odd.Schema & Späße"."Straße ""7"" – 東京 🚲\nsecond line"',
  ])("%s comes back alone as it was, but for its ties to others", async (name) => {
    const pattern = ["-t", name]
    const expected = (await schemaLines(source, ...pattern)).filter(
      (line) => !/ FOREIGN KEY | ATTACH PARTITION |^ALTER TABLE (ONLY )?[\w.]+$/.test(line),
    )
    expect(expected.length).toBeGreaterThan(3)
    expect(await schemaLines(await restore(tables(name)), ...pattern)).toEqual(
      expect.arrayContaining(expected),
    )
  })

  test("a table that only speaks of inheriting, in quotes, does not come along", async () => {
    const database = await server.createDatabase()
    await server.psql(
      `CREATE TABLE parent (a int); CREATE TABLE child () INHERITS (parent);
       CREATE TABLE stranger (p parent CHECK (p::text <> E'\nINHERITS (parent)'));`,
      database,
    )
    const { entries } = await readToc(inPieces(await dumpOf(server, database)))
    const selected = selectEntries(entries, tables("parent"), { withDependencies: true })
    const names = selected.entries.filter(({ kind }) => kind === "TABLE").map(({ name }) => name)
    expect(names).toEqual(["parent", "child"])
  })

  test("all schemas together are the database without large objects", async () => {
    const names = ["shop", "analytics", "audit", "Odd.Schema & Späße"]
    const differences = await compareDatabases(
      { server, name: source },
      { server, name: await restore(schemas(...names)) },
    )
    expect(differences.filter((line) => !/^(large object|database:)/.test(line))).toEqual([])
  })

  test("tables that belong together come with their rows, sequences and foreign keys", async () => {
    const restored = await restore(tables("shop.orders", "customers", "order_items", "products", "sessions"))
    const differences = await compareDatabases({ server, name: source }, { server, name: restored })
    const wrong = differences.filter((line) =>
      / (shop|analytics)\.(orders|customers|order_items|products|sessions)\w*: /.test(line),
    )
    expect(wrong).toEqual([])
    const keys = await server.psql(
      "SELECT conname FROM pg_constraint WHERE contype = 'f' ORDER BY 1",
      restored,
    )
    expect(keys.split("\n")).toEqual([
      "customers_referred_by_fkey",
      "order_items_order_id_fkey",
      "order_items_product_id_fkey",
      "orders_customer_id_fkey",
    ])
  })
  test("a table comes back into the database that has lost it, and takes nothing else along", async () => {
    const database = await server.createDatabase()
    await server.psql(`DROP DATABASE "${database}"; CREATE DATABASE "${database}" TEMPLATE "${source}"`)
    await server.psql("DROP TABLE shop.documents; ALTER TABLE audit.changes RENAME TO renamed", database)
    await restore(tables("documents"), database)
    await server.psql("ALTER TABLE audit.renamed RENAME TO changes", database)
    const differences = await compareDatabases({ server, name: source }, { server, name: database })
    // The foreign key to a table that is not restored is left to the user.
    expect(differences.filter((line) => !/^database:|^schema: .*documents/.test(line))).toEqual([])
    expect(selectEntries(entries, tables("documents"), { withDependencies: false }).leftOut).toMatchObject([
      { kind: "FK CONSTRAINT", name: "documents documents_order_id_fkey" },
    ])
  })

  test("a materialized view comes with its rows only if the tables that it reads do", () => {
    const select = (...names: string[]) => {
      const { entries: selected, leftOut } = selectEntries(entries, tables(...names), {
        withDependencies: true,
      })
      const refreshes = (all: readonly TocEntry[]) =>
        all.filter(({ kind }) => kind === "MATERIALIZED VIEW DATA").map(({ name }) => name)
      return { selected: refreshes(selected), leftOut: refreshes(leftOut) }
    }
    expect(select("daily")).toEqual({ selected: [], leftOut: ["daily"] })
    expect(select("best_days", "events")).toEqual({ selected: [], leftOut: ["best_days"] })
    expect(select("best_days", "daily", "events")).toEqual({ selected: ["daily", "best_days"], leftOut: [] })
  })

  test("large objects and publications come with nothing", async () => {
    const all = selectEntries(entries, schemas("shop", "analytics", "audit"), { withDependencies: true })
    expect(
      all.entries.filter(({ kind, name }) => /^(BLOB|PUBLIC)/.test(kind) || /LARGE OBJECT/.test(name)),
    ).toEqual([])
  })
})

describe("a name", () => {
  const entry = (dumpId: number, schema: string, name: string): TocEntry => ({
    dumpId,
    tableOid: 1259,
    oid: dumpId,
    kind: "TABLE",
    name,
    schema,
    owner: "me",
    section: "pre-data",
    definition: "",
    hasData: false,
    dependsOn: [],
  })
  const entries = [
    entry(1, "shop", "orders"),
    entry(2, "archive", "orders"),
    entry(3, "shop", "Customers"),
    entry(4, "Odd.Name", 'the "best" table'),
    entry(5, "shop", "a b"),
    entry(6, "shop", "two\nlines"),
  ]
  const find = (name: string) =>
    selectEntries(entries, tables(name), { withDependencies: false }).entries.map(({ dumpId }) => dumpId)

  test.for([
    ["shop.orders", 1],
    ["archive.orders", 2],
    ["Customers", 3],
    ['"Odd.Name"."the ""best"" table"', 4],
    ['"the ""best"" table"', 4],
    ["shop.a b", 5],
    ['"a b"', 5],
    ["two\nlines", 6],
  ] as const)("%s is found", ([name, dumpId]) => {
    expect(find(name)).toEqual([dumpId])
  })

  test("that several schemas have is refused, and they are named", () => {
    const failure = failureOf(() => find("orders"))
    expect(failure.kind).toBe("usage")
    expect(failure.hint).toBe("Name one of them: shop.orders, archive.orders.")
  })

  test.for([
    ["customers", "Did you mean shop.Customers?"],
    ["shop.ordes", "Did you mean shop.orders?"],
    ["public.orders", "Did you mean shop.orders or archive.orders?"],
    ["ab", 'Did you mean shop."a b"?'],
    ["nothing_like_it", "Write names as they are in the database: upper and lower case count."],
  ] as const)("%s that is not there brings up what is near", ([name, hint]) => {
    const failure = failureOf(() => find(name))
    expect(failure.kind).toBe("usage")
    expect(failure.message).toBe(`the backup has no table ${name}`)
    expect(failure.hint).toBe(hint)
  })

  test.for(["", "a.b.c", '"open', "a.", ".b", 'x"y'])("%s is no name", (name) => {
    expect(failureOf(() => find(name)).message).toContain("is no name of a table")
  })

  test("of a schema that is not there brings up what is near", () => {
    const failure = failureOf(() => selectEntries(entries, schemas("Shop"), { withDependencies: false }))
    expect(failure.message).toBe("the backup has no schema Shop")
    expect(failure.hint).toBe("Did you mean shop?")
  })
})
