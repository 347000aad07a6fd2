import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { connectionFrom } from "../../task/postgres/connection.ts"
import { runPlainDump, toScript } from "../../task/postgres/plain-dump.ts"
import { startChild } from "../../task/processes/child.ts"
import { bytesOf, failing, inPieces } from "../support/bytes.ts"
import { compareDatabases } from "../support/compare-databases.ts"
import { rejectionOf } from "../support/failure.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "pgstow-plain-"))
})
afterAll(() => rmSync(folder, { recursive: true }))

const table = "CREATE TABLE kept (a text);\n"

describe.each(majors)("psql of PostgreSQL %i", (major) => {
  let server: PostgresServer
  let database: string
  beforeAll(async () => {
    server = await sharedPostgres(major)
  })
  beforeEach(async () => {
    database = await server.createDatabase()
  })

  test("a plain dump comes back equal", async () => {
    const name = await server.createDatabase()
    await fillSampleDatabase(server, name, { megabytes: 2 })
    const dump = startChild(
      { file: join(server.binDir, "pg_dump"), args: [], env: { ...server.env, PGDATABASE: name } },
      { stdout: "pipe" },
    )
    await Promise.all([runPlainDump(dump.stdout, options()), dump.ended])
    // A plain dump does not have what belongs to the database itself: its settings, grants and comment.
    await server.psql(`ALTER DATABASE ${database} SET "TimeZone" TO 'Europe/Vienna'`)
    const differences = await compareDatabases({ server, name }, { server, name: database })
    expect(differences.filter((difference) => !difference.startsWith("database: "))).toEqual([])
  })

  test("a dump whose stream fails midway leaves nothing, and its own error", async () => {
    const dump = failing(
      [Buffer.from(`${table}COPY kept FROM stdin;\nrow\n`)],
      new Error("the file ends early"),
    )
    await expect(runPlainDump(dump, options())).rejects.toThrow("the file ends early")
    await expectNothingKept()
  })

  test("a dump that PostgreSQL refuses leaves nothing, and PostgreSQL's words", async () => {
    const dump = `${table}SELECT 1/0;\n${"-- more than a pipe holds\n".repeat(100_000)}`
    await expect(runText(dump)).rejects.toThrow("division by zero")
    await expectNothingKept()
  })

  test.each(["'", "$$", "/*", '"', "("])("a dump that leaves %s open leaves nothing", async (open) => {
    await expect(runText(`${table}SELECT ${open}\n`)).rejects.toThrow(/psql exited/)
    await expectNothingKept()
  })

  test("an interrupt leaves nothing", async () => {
    const interrupt = new AbortController()
    const dump = (async function* () {
      yield Buffer.from(table + " ".repeat(2000))
      interrupt.abort()
      await new Promise((resolve) => setTimeout(resolve, 200))
      yield Buffer.from("SELECT 1;\n")
    })()
    await expect(runPlainDump(dump, { ...options(), signal: interrupt.signal })).rejects.toThrow("SIGTERM")
    await expectNothingKept()
  })

  describe("commands to psql are not obeyed:", () => {
    const pwned = () => join(folder, "pwned")
    beforeEach(() => rmSync(pwned(), { force: true }))

    test.each([
      ["a shell command", "\\! touch PWNED\n"],
      ["one behind a statement", "SELECT 1; \\! touch PWNED\n"],
      ["one within a statement", "SELECT 1 \\! touch PWNED\n;\n"],
      ["output to a program", "SELECT 1 \\g |touch PWNED\n"],
      ["backquotes", "\\set x `touch PWNED`\n"],
      ["\\copy to a program", "\\copy (SELECT 1) TO PROGRAM 'touch PWNED'\n"],
      ["a key of the dump's own", "\\restrict a\n\\unrestrict a\n\\! touch PWNED\n"],
      ["a guessed key", "\\unrestrict a\n\\! touch PWNED\n"],
      ["after strings have changed", "SET standard_conforming_strings = on; SELECT 'a\\'; \\! touch PWNED\n"],
      [
        "in an encoding where \\ is half a letter",
        "SET client_encoding = 'SJIS'; SELECT '\x83\\'; \\! touch PWNED\n",
      ],
      ["another connection", "\\connect template1\n"],
      ["the end of COPY outside of it", "\\.\n"],
    ])("%s", async (_, attack) => {
      const error = await rejectionOf(runText(`${table}${attack.replace("PWNED", pwned())}SELECT 1;\n`))
      expect(error.message).toMatch(/^the dump holds a command to psql \(line \d+\), which is not obeyed$/)
      expect(existsSync(pwned())).toBe(false)
      await expectNothingKept()
    })

    test("backslashes in rows are rows", async () => {
      await runText(`${table}COPY kept FROM stdin;\n\\\\! touch ${pwned()}\n\\N\n\\.\nSELECT '\\d';\n`)
      expect(await server.psql("SELECT a FROM kept WHERE a IS NOT NULL", database)).toBe(
        `\\! touch ${pwned()}`,
      )
      expect(existsSync(pwned())).toBe(false)
    })
  })

  function options() {
    const connection = connectionFrom({ databaseUrl: server.url(database) })
    return { psql: { file: join(server.binDir, "psql") }, connection, env: { PATH: process.env.PATH } }
  }

  function runText(dump: string): Promise<void> {
    return runPlainDump(inPieces(Buffer.from(dump, "latin1"), [1000]), options())
  }

  async function expectNothingKept(): Promise<void> {
    const tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    expect(await server.psql(tables, database)).toBe("0")
  }
})

test("a psql that does not know \\restrict is refused before it reads a byte", async () => {
  const psql = join(folder, "psql")
  writeFileSync(psql, '#!/bin/sh\n[ "$1" = --help=commands ] && echo "General" && exit\nexit 9\n')
  chmodSync(psql, 0o755)
  const options = { psql: { file: psql }, connection: { params: {} }, env: { PATH: process.env.PATH } }
  const error = await rejectionOf(runPlainDump(inPieces(Buffer.from("SELECT 1;")), options))
  expect(error.message).toContain("can't be kept from obeying")
  expect(error.hint).toContain("15.14")
})

test("the dump's own \\restrict becomes a comment, wherever the chunks are cut", async () => {
  const rows = "COPY t FROM stdin;\n\\restrict notThis\n\\.\n".repeat(100)
  const dump = Buffer.from(
    `--\n-- PostgreSQL database dump\n--\n\n\\restrict aB3\n\n${rows}--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict aB3\n\n`,
  )
  const expected = `\\restrict ours\nBEGIN;\n--\n-- PostgreSQL database dump\n--\n\n--estrict aB3\n\n${rows}--\n-- PostgreSQL database dump complete\n--\n\n--nrestrict aB3\n\n\nCOMMIT;\n`
  for (const size of [1, 13, 600, 5000]) {
    expect((await bytesOf(toScript(inPieces(dump, [size]), "ours"))).toString()).toBe(expected)
  }
})
