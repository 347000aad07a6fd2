import { expect, onTestFinished, test } from "vitest"
import { type Connection, connectionFrom, type Environment } from "../../task/postgres/connection.ts"
import { loadingEnv } from "../../task/postgres/loading-env.ts"
import { needsPgbouncer, startPgbouncer } from "../support/pgbouncer.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { clientsOf, connectionTo, openTestSession } from "../support/session.ts"
import { sharedPostgres } from "../support/shared-postgres.ts"

async function settingsOf(server: PostgresServer, connection: Connection, env: Environment) {
  const faster = await loadingEnv(clientsOf(server), connection, { env })
  const session = await openTestSession(server, connection, { env: faster })
  onTestFinished(() => session.close())
  return session.query(
    "SELECT current_setting('synchronous_commit') AS commit, current_setting('work_mem') AS memory",
  )
}

test("commits are not waited for, and what else is set stays", async () => {
  const server = await sharedPostgres()
  await server.psql("ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf()")
  onTestFinished(async () => {
    await server.psql("ALTER SYSTEM RESET synchronous_commit; SELECT pg_reload_conf()")
  })
  const env = { PGOPTIONS: "-c work_mem=5MB" }
  expect(await settingsOf(server, connectionTo(server), env)).toEqual([{ commit: "off", memory: "5MB" }])
})

test.skipIf(needsPgbouncer)(
  `a pooler that takes no settings is gone through without${needsPgbouncer}`,
  async () => {
    const server = await sharedPostgres()
    const pooler = await startPgbouncer(server, "session")
    onTestFinished(() => pooler.stop())
    const connection = connectionFrom({ databaseUrl: pooler.url("postgres") })
    expect(await loadingEnv(clientsOf(server), connection, { env: { HOME: "/" } })).toEqual({ HOME: "/" })
  },
)
