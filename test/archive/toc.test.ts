import { execFile } from "node:child_process"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { promisify } from "node:util"
import { describe, expect, test } from "vitest"
import { parseToc, readToc, type TocEntry } from "../../task/archive/toc.ts"
import { PgstowError } from "../../task/errors.ts"
import { inPieces } from "../support/bytes.ts"
import { dumpOf } from "../support/dump.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

const run = promisify(execFile)

/** What `pg_restore --list --verbose` prints of the entries. */
async function list(server: PostgresServer, archive: Buffer): Promise<string> {
  const restore = run(join(server.binDir, "pg_restore"), ["--list", "--verbose"], { maxBuffer: Infinity })
  restore.child.stdin?.on("error", () => {}).end(archive)
  const { stdout } = await restore
  return stdout.slice(stdout.indexOf("Entries:\n;\n") + 11)
}

/** The same, from what was parsed. */
function describeEntry({ dumpId, tableOid, oid, kind, schema, name, owner, dependsOn }: TocEntry): string {
  const oneLine = (text: string) => text.replaceAll(/[\r\n]/g, " ")
  const line = `${dumpId}; ${tableOid} ${oid} ${kind} ${oneLine(schema ?? "-")} ${oneLine(name)} ${owner}\n`
  return dependsOn.length === 0 ? line : `${line};\tdepends on: ${dependsOn.join(" ")}\n`
}

describe.for(majors)("a dump of PostgreSQL %i", (major) => {
  test("has the entries that pg_restore lists, in its order", async () => {
    const server = await sharedPostgres(major)
    const database = await server.createDatabase()
    await fillSampleDatabase(server, database, { megabytes: 1 })
    const archive = await dumpOf(server, database, ...(major >= 18 ? ["--statistics"] : []))
    const toc = await readToc(inPieces(archive, [10_000]))
    expect(toc.database).toBe(database)
    expect(toc.serverVersion).toContain(server.version)
    expect(toc.entries.map(describeEntry).join("")).toBe(await list(server, archive))
    expect(toc.entries.filter(({ hasData }) => hasData).map(({ kind }) => kind)).toContain("TABLE DATA")
  })

  test("gives newlines in names back as they are", async () => {
    const server = await sharedPostgres(major)
    const database = await server.createDatabase()
    await server.psql('CREATE TABLE "two\nlines" ()', database)
    const { entries } = await readToc(inPieces(await dumpOf(server, database), [4096]))
    expect(entries.find(({ kind }) => kind === "TABLE")?.name).toBe("two\nlines")
  })
})

test("the rest of a dump is not read", async () => {
  const server = await sharedPostgres()
  const archive = await dumpOf(server, await server.createDatabase())
  async function* endless() {
    yield archive
    for (;;) {
      await sleep(1)
      yield Buffer.alloc(10_000)
    }
  }
  expect((await readToc(endless())).entries.length).toBeGreaterThan(0)
})

test("a dump that ends within its table of contents is damaged", async () => {
  const server = await sharedPostgres()
  const database = await server.createDatabase()
  const archive = await dumpOf(server, database)
  for (const cut of [0, 3, 11, 60, archive.length - 100]) {
    expect(parseToc(archive.subarray(0, cut))).toBeUndefined()
    await expect(readToc(inPieces(archive.subarray(0, cut), [50]))).rejects.toThrow(
      "ends within its table of contents",
    )
  }
})

test("what is no custom-format dump, or too new a one, is refused", () => {
  expect(() => parseToc(Buffer.from("-- PostgreSQL database dump"))).toThrow("not in pg_dump's custom format")
  expect(() => parseToc(Buffer.from("PGDMP\x01\x63\x00\x04\x08\x01", "latin1"))).toThrow(PgstowError)
  expect(() => parseToc(Buffer.from("PGDMP\x01\x63\x00\x04\x08\x01", "latin1"))).toThrow("version 1.99")
  expect(() => parseToc(Buffer.from("PGDMP\x01\x0e\x00\x04\x08\x03", "latin1"))).toThrow(
    "not in pg_dump's custom",
  )
})
