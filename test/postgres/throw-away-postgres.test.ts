import { existsSync } from "node:fs"
import { expect, test } from "vitest"
import { findPostgres, serverAt, startPostgres } from "../support/postgres.ts"
import { openTestSession } from "../support/session.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

test.for(majors)("the shared server of PostgreSQL %i makes databases of any name", async (major) => {
  const server = await sharedPostgres(major)
  const database = await server.createDatabase('it\'s "odd"\n☂')
  expect(await server.psql("SELECT current_database()", database)).toBe(database)
  expect(await server.psql("SHOW server_version")).toContain(server.version)
})

test("every found PostgreSQL names its major version", () => {
  for (const { major, version } of findPostgres()) expect(version.startsWith(String(major))).toBe(true)
})

test("a wrong password is refused", async () => {
  const server = await sharedPostgres()
  await expect(openTestSession(serverAt({ ...server, password: "wrong" }))).rejects.toThrow(
    "password authentication failed",
  )
})

test("a stopped server leaves no folder", async () => {
  const cluster = await startPostgres({ settings: { max_connections: "7" } })
  expect(await cluster.psql("SHOW max_connections")).toBe("7")
  await cluster.stop()
  await cluster.stop()
  expect(existsSync(cluster.socketDir)).toBe(false)
})
