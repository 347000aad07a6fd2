import { join } from "node:path"
import { expect, test } from "vitest"
import { startChild } from "../../task/processes/child.ts"
import { fillSampleDatabase } from "./sample-database.ts"
import { sharedPostgres } from "./shared-postgres.ts"

test("the sample database is as large in a dump as was asked for", async () => {
  const server = await sharedPostgres()
  const database = await server.createDatabase()
  await fillSampleDatabase(server, database, { megabytes: 10 })
  const dump = startChild(
    {
      file: join(server.binDir, "pg_dump"),
      args: ["-Fc", "-Z0"],
      env: { ...server.env, PGDATABASE: database },
    },
    { stdout: "pipe" },
  )
  let bytes = 0
  for await (const chunk of dump.stdout.iterator()) bytes += chunk.length
  await dump.ended
  expect(bytes / 1e6).toBeGreaterThan(9.5)
  expect(bytes / 1e6).toBeLessThan(11)
})
