import { execFile } from "node:child_process"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { expect, test } from "vitest"
import { withStatements } from "../../task/archive/added-statements.ts"
import { readToc } from "../../task/archive/toc.ts"
import { inPieces } from "../support/bytes.ts"
import { dumpOf } from "../support/dump.ts"
import { setScene } from "../support/scene.ts"
import { majors } from "../support/shared-postgres.ts"

test.for(majors)("pg_restore %i runs a statement right after the entry it was added to", async (major) => {
  const { server, database, folder } = await setScene(major)
  await server.psql(
    "CREATE EXTENSION hstore; CREATE SEQUENCE s; SELECT nextval('s'); CREATE TABLE t (i int); INSERT INTO t VALUES (7)",
    database,
  )
  const archive = await dumpOf(server, database)
  const { entries, head } = await readToc(inPieces(archive))
  const idOf = (kind: string) => entries.find((entry) => entry.kind === kind)?.dumpId ?? 0
  const added = withStatements(
    head.bytes,
    new Map([
      [idOf("EXTENSION"), "SELECT 'first';"],
      [idOf("SEQUENCE SET"), "SELECT 'second';"],
    ]),
  )
  const path = join(folder, "added.dump")
  await writeFile(path, Buffer.concat([added, archive.subarray(head.bytes.length)]))
  const { stdout } = await promisify(execFile)(join(server.binDir, "pg_restore"), ["--file=-", path])
  expect(stdout).toMatch(/CREATE EXTENSION IF NOT EXISTS hstore[^;]*;\s+SELECT 'first';/)
  expect(stdout).toMatch(/setval\('public\.s', 1, true\);\s+SELECT 'second';/)
  expect(stdout).toContain("\n7\n")
  expect(withStatements(head.bytes, new Map())).toBe(head.bytes)
})
