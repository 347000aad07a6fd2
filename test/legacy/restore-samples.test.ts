import { join } from "node:path"
import { expect, test } from "vitest"
import { openLegacy } from "../../task/legacy/open-legacy.ts"
import { recognise } from "../../task/legacy/recognise.ts"
import { connectionFrom } from "../../task/postgres/connection.ts"
import { runPlainDump } from "../../task/postgres/plain-dump.ts"
import { sharedPostgres } from "../support/shared-postgres.ts"
import { sample, samples } from "./samples.ts"

test.each(samples)("$name restores to every row", async ({ name, keys, rows }) => {
  const server = await sharedPostgres()
  const database = await server.createDatabase()
  await runPlainDump(openLegacy(await recognise(sample(name)), keys), {
    psql: join(server.binDir, "psql"),
    connection: connectionFrom({ databaseUrl: server.url(database) }),
    env: { PATH: process.env.PATH },
  })
  const counts = Object.keys(rows).map(async (table) => [
    table,
    Number(await server.psql(`SELECT count(*) FROM ${table}`, database)),
  ])
  expect(Object.fromEntries(await Promise.all(counts))).toEqual(rows)
})
