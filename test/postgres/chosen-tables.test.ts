import { join } from "node:path"
import { beforeAll, describe, expect, test } from "vitest"
import * as z from "zod"
import { parseToc } from "../../task/archive/toc.ts"
import { noPatterns, patternFlags, type TablePatterns } from "../../task/core/table-patterns.ts"
import { chooseTables } from "../../task/postgres/chosen-tables.ts"
import { startChild } from "../../task/processes/child.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { connectionTo, openTestSession } from "../support/session.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

const odd = String.raw`
  CREATE SCHEMA app; CREATE SCHEMA "App"; CREATE SCHEMA "a.b"; CREATE SCHEMA "S ""x"""; CREATE SCHEMA archive;
  CREATE TABLE orders (n int); CREATE TABLE "Orders" (n int); CREATE TABLE app.orders (n int); CREATE TABLE "App".orders (n int);
  CREATE TABLE "a.b"."c.d" (n int); CREATE TABLE "a.b".c (n int); CREATE TABLE "c.d" (n int);
  CREATE TABLE "S ""x"""."Straße 🚲" (n int); CREATE TABLE "strasse" (n int); CREATE TABLE "ÄRGER" (n int); CREATE TABLE "ärger" (n int);
  CREATE TABLE "q""q" (n int); CREATE TABLE "star*" (n int); CREATE TABLE starry (n int); CREATE TABLE "dollar$" (n int);
  CREATE TABLE "back\slash" (n int); CREATE TABLE "a(b" (n int); CREATE TABLE "x[]" (n int); CREATE TABLE "'; DROP TABLE orders; --" (n int);
  CREATE TABLE log_1 (n int); CREATE TABLE log_2 (n int); CREATE TABLE log_10 (n int); CREATE TABLE app.log_1 (n int);
  CREATE TABLE whole (n int) PARTITION BY RANGE (n); CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (9);
  CREATE TABLE parent (n int); CREATE TABLE child () INHERITS (parent); CREATE TABLE archive.serial (n serial);
  CREATE VIEW seen AS SELECT 1 AS n; CREATE UNLOGGED TABLE quick (n int);`

/** Each by itself. What pg_dump would refuse for matching nothing is left to the tests below. */
const alone: readonly (readonly [keyof TablePatterns, string])[] = [
  ...[
    "orders",
    "ORDERS",
    '"Orders"',
    "app.orders",
    "App.Orders",
    '"App".orders',
    "*.orders",
    "*.*",
    "*",
    "log_?",
    "log_*",
    "log_(1|2)",
    "log_[0-9]+",
    "app|orders",
    '"a.b"."c.d"',
    '"a.b".*',
    'a"."b.c',
    '"c.d"',
    '"S ""x"""."Straße 🚲"',
    'S?"""x"*.*',
    "s*.stra*",
    "?RGER",
    '"ÄRGER"',
    "ÄRGER",
    "ärger",
    '"q""q"',
    '"star*"',
    "star*",
    "dollar$",
    '"dollar$"',
    '"back\\slash"',
    '"a(b"',
    "x[]",
    '"x[]"',
    `"'; DROP TABLE orders; --"`,
    "*DROP*",
    "whole",
    "parent",
    "p*",
    "seen",
    "archive.serial",
    'open"quote',
    "",
  ].flatMap((pattern) => [
    ["excludeTables", pattern] as const,
    ["excludeTableData", pattern] as const,
    ["tables", pattern] as const,
  ]),
  ...["app", "App", '"App"', "a*", '"a.b"', "*", "public", "(app|archive)", 's "*', '"S ""x"""', ""].flatMap(
    (pattern) => [["excludeSchemas", pattern] as const, ["schemas", pattern] as const],
  ),
]

const together: readonly Partial<TablePatterns>[] = [
  { tables: ["log_*", "app.*"], excludeTables: ["*.log_1"], excludeTableData: ["log_2"] },
  { schemas: ["app", "public"], excludeTables: ["orders"], excludeTableData: ["p*"] },
  { schemas: ["a*"], excludeSchemas: ["app"] },
  { excludeSchemas: ["p*"], excludeTables: ["*.orders"], excludeTableData: ["*.log*"] },
]

const names = z.array(z.object({ name: z.string(), data: z.boolean() }))

describe.for(majors)("what patterns choose on PostgreSQL %i", (major) => {
  let server: PostgresServer
  let database: string
  beforeAll(async () => {
    server = await sharedPostgres(major)
    database = await server.createDatabase()
    await server.psql(odd, database)
    await server.psql(`ALTER DATABASE "${database}" SET search_path = app, public`)
  })

  const open = () => openTestSession(server, connectionTo(server, database))

  /** The tables, and those of them with rows, as pg_dump has them: it says nothing of a pattern that it refuses. */
  async function byPgDump(patterns: TablePatterns): Promise<string[] | "nothing matches"> {
    const flags = Object.entries(patternFlags).flatMap(([kind, flag]) =>
      // The keys are those of the patterns.
      patterns[kind as keyof TablePatterns].map((pattern) => `${flag}=${pattern}`),
    )
    const args = ["--format=custom", "--compress=0", ...flags]
    const env = { ...server.env, PGDATABASE: database }
    const dump = startChild({ file: join(server.binDir, "pg_dump"), args, env }, { stdout: "pipe" })
    const chunks: Buffer[] = []
    const read = async () => {
      for await (const chunk of dump.stdout as AsyncIterable<Buffer>) chunks.push(chunk)
    }
    try {
      await Promise.all([read(), dump.ended])
    } catch (error) {
      expect(String(error)).toMatch(/no matching (tables|schemas) were found/)
      return "nothing matches"
    }
    const toc = parseToc(Buffer.concat(chunks))
    if (!toc) throw new Error("no table of contents")
    const data = new Set(toc.entries.filter(({ kind }) => kind === "TABLE DATA").map(({ oid }) => oid))
    return toc.entries
      .filter(({ kind, schema = "" }) => kind === "TABLE" && !/^(pg_|information_schema$)/.test(schema))
      .map(({ schema, name, oid }) => `${schema}.${name}${data.has(oid) ? "" : " without rows"}`)
      .sort()
  }

  async function byChoice(patterns: TablePatterns): Promise<string[] | "nothing matches"> {
    const session = await open()
    await session.execute("BEGIN")
    await session.execute("SET LOCAL search_path = ''")
    try {
      const { isIn, hasRows } = await chooseTables(session, patterns)
      const rows = names.parse(
        await session.query(`
          SELECT n.nspname || '.' || c.relname AS name, c.relkind = 'r' AND ${hasRows} AS data
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND ${isIn}`),
      )
      return rows.map(({ name, data }) => `${name}${data ? "" : " without rows"}`).sort()
    } catch (error) {
      expect(String(error)).toMatch(/no (table|schema) matches/)
      return "nothing matches"
    } finally {
      await session.close()
    }
  }

  test("is told where a pattern passes over all partitions of a table", async () => {
    const session = await open()
    await session.execute("BEGIN")
    const notes = async (patterns: Partial<TablePatterns>) =>
      (await chooseTables(session, { ...noPatterns, ...patterns })).notes
    expect(await notes({ tables: ["whole"] })).toEqual([
      "the partitioned table public.whole is in the backup without its partitions: a pattern must match them, too",
    ])
    expect(await notes({ excludeTableData: ["whole"] })).toEqual([
      "the partitions of public.whole are in the backup with their rows: a pattern must match them, too",
    ])
    expect(await notes({ tables: ["whole", "part"] })).toEqual([])
    expect(await notes({ excludeTableData: ["whole", "part"] })).toEqual([])
    await session.close()
  })

  test("is what pg_dump takes by the same patterns", { timeout: 300_000 }, async () => {
    for (const patterns of [...alone.map(([kind, pattern]) => ({ [kind]: [pattern] })), ...together]) {
      const all = { ...noPatterns, ...patterns }
      expect({ patterns, chosen: await byChoice(all) }).toEqual({ patterns, chosen: await byPgDump(all) })
    }
  })
})
