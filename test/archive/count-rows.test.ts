import { describe, expect, test } from "vitest"
import { countRows } from "../../task/archive/count-rows.ts"
import { parseToc } from "../../task/archive/toc.ts"
import { dumpOf } from "../support/dump.ts"
import { rejectionOf } from "../support/failure.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

async function* inPieces(bytes: Buffer, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

describe.for(majors)("an archive of pg_dump %i", (major) => {
  test("has the rows of each table counted, however it comes, and its large objects", async () => {
    const server = await sharedPostgres(major)
    const database = await server.createDatabase()
    await server.psql(
      `CREATE TABLE plain AS SELECT i, repeat('x', i) AS text FROM generate_series(1, 300) i;
       CREATE TABLE odd (t text); INSERT INTO odd VALUES (E'two\\nlines'), (E'\\\\.'), (E'back\\\\slash\\r\\n'), (''), (NULL);
       CREATE TABLE nothing (i int);
       CREATE TABLE no_columns (); INSERT INTO no_columns DEFAULT VALUES; INSERT INTO no_columns DEFAULT VALUES;
       SELECT lo_from_bytea(0, decode(repeat('0a', 50000), 'hex')), lo_from_bytea(0, 'two')`,
      database,
    )
    const archive = await dumpOf(server, database)
    const toc = parseToc(archive)
    if (!toc) throw new Error("it has no head")
    for (const size of [archive.length, 1, 7, 65_536]) {
      const { rows, largeObjects } = await countRows(inPieces(archive, size), toc.head.bytes.length)
      const counts = toc.entries
        .filter(({ kind }) => kind === "TABLE DATA")
        .map(({ name, dumpId }) => [name, rows.get(dumpId)])
      expect(Object.fromEntries(counts)).toEqual({ plain: 300, odd: 5, nothing: 0, no_columns: 2 })
      expect(largeObjects).toBe(2)
    }
    for (const bytes of [archive.length - 3, toc.head.bytes.length + 30]) {
      const cut = inPieces(archive.subarray(0, bytes), 1_000)
      expect((await rejectionOf(countRows(cut, toc.head.bytes.length))).kind).toBe("damaged")
    }
  })
})
