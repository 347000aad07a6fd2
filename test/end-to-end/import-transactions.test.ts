import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { gunzipSync, gzipSync } from "node:zlib"
import { expect, test } from "vitest"
import { sample } from "../legacy/samples.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { setScene } from "../support/scene.ts"

test("SQL that commits by itself leaves an existing database as it was, and comes back in a new one", async () => {
  const { server, database, folder, json, run } = await setScene()
  const name = "sentinel_backup_20251215_163138.sql.gz"
  const dump = gunzipSync(await readFile(sample(name))).toString()
  const file = join(folder, name)
  const lines = dump.split("\n")
  const own = "CREATE TABLE public.changed ();\nCOMMIT;\nBEGIN;\n"
  const at = lines.findIndex((line) => line.startsWith("CREATE TABLE"))
  await writeFile(file, gzipSync([...lines.slice(0, at), own, ...lines.slice(at)].join("\n")))

  await json(["import", file, "--name", "metrics"])
  for (const source of [["--database", "metrics"], [file]]) {
    const failure = failureOfRun(await run(["restore", ...source, "--into", database, "--yes"]))
    expect(failure.kind).toBe("usage")
    expect(failure.message).toContain(`holds COMMIT (line ${at + 2}), so it can't be restored into`)
    expect(failure.hint).toContain("new database")
    expect(await server.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", database)).toBe(
      "0",
    )
  }
  const into = `${database}_new`
  await json(["restore", "--database", "metrics", "--into", into])
  expect(await server.psql("SELECT to_regclass('public.changed')", into)).toBe("changed")
})
