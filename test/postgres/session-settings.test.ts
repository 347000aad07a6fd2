import { join } from "node:path"
import { describe, expect, onTestFinished, test } from "vitest"
import {
  type Connection,
  connectionFrom,
  type Environment,
  withSettings,
} from "../../task/postgres/connection.ts"
import { openSession, type Session } from "../../task/postgres/session.ts"
import { settingsOfLoading, settingsOfRestore } from "../../task/postgres/session-settings.ts"
import { clientsWith } from "../support/client-folder.ts"
import { needsPgbouncer, startPgbouncer } from "../support/pgbouncer.ts"
import { type PostgresServer, startPostgres } from "../support/postgres.ts"
import { clientsOf, connectionTo } from "../support/session.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

const limits = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
const later = { idle_session_timeout: 14, transaction_timeout: 17 }
const limitsOf = (major: number) => [
  ...limits,
  ...Object.entries(later).flatMap(([name, since]) => (major >= since ? [name] : [])),
]

async function open(server: PostgresServer, connection: Connection, env: Environment = {}): Promise<Session> {
  const session = await openSession(clientsOf(server), connection, { env, settings: settingsOfRestore })
  onTestFinished(() => session.close())
  return session
}

const limitsIn =
  "SELECT name FROM pg_settings WHERE name LIKE '%\\_timeout' AND source IN ('database', 'user')"
const settingOf = async (session: Session, name: string) => {
  const rows = await session.query(`SELECT current_setting('${name}') AS value`)
  return rows
}

describe.for(majors)("with PostgreSQL %i", (major) => {
  test("no limit of the database touches a session, nor the next one of its connection", async () => {
    const server = await sharedPostgres(major)
    const database = await server.createDatabase()
    for (const limit of limitsOf(major))
      await server.psql(`ALTER DATABASE ${database} SET ${limit} = '20min'`)
    for (const setting of [
      "default_transaction_read_only = on",
      "default_transaction_isolation = serializable",
      "array_nulls = off",
    ])
      await server.psql(`ALTER DATABASE ${database} SET ${setting}`)
    const first = await open(server, connectionTo(server, database))
    const second = await open(server, withSettings(first.connection, settingsOfLoading))
    for (const session of [first, second]) {
      expect(await session.query(limitsIn)).toEqual([])
      for (const limit of limitsOf(major)) expect(await settingOf(session, limit)).toEqual([{ value: "0" }])
      expect(await settingOf(session, "transaction_isolation")).toEqual([{ value: "read committed" }])
      expect(await settingOf(session, "array_nulls")).toEqual([{ value: "on" }])
      await session.execute("CREATE TEMPORARY TABLE t ()")
    }
    expect(await settingOf(second, "synchronous_commit")).toEqual([{ value: "off" }])
  })

  test("a session gets past a limit that ends half of the first statements", async () => {
    const server = await sharedPostgres(major)
    const database = await server.createDatabase()
    const limit = major >= 17 ? "transaction_timeout" : "statement_timeout"
    await server.psql(`ALTER DATABASE ${database} SET ${limit} = '1ms'`)
    for (let count = 0; count < 5; count++) {
      const session = await open(server, connectionTo(server, database))
      await session.execute("SELECT pg_sleep(0.05)")
    }
  })
})

describe.for(majors.filter((major) => major >= later.idle_session_timeout))("with PostgreSQL %i", (major) => {
  test("a session that a limit ends before its first statement is begun again without that limit", async () => {
    const server = await sharedPostgres(major)
    const database = await server.createDatabase()
    await server.psql(`ALTER DATABASE ${database} SET idle_session_timeout = '1ms'`)
    const slow = await clientsWith(server, "psql", `exec "$real" "$@" -c '\\! sleep 0.2' -f -`)
    const clients = { psql: { file: join(slow, "psql") } }
    const session = await openSession(clients, connectionTo(server, database), { env: {} })
    onTestFinished(() => session.close())
    expect(await settingOf(session, "idle_session_timeout")).toEqual([{ value: "0" }])
  })
})

test("what the user gives by PGOPTIONS stays", async () => {
  const server = await sharedPostgres()
  const session = await open(server, connectionTo(server), { PGOPTIONS: "-c work_mem=5MB" })
  expect(await settingOf(session, "work_mem")).toEqual([{ value: "5MB" }])
  expect(await settingOf(session, "array_nulls")).toEqual([{ value: "on" }])
})

test("what the URL gives by options stays, and does not take the place of the settings", async () => {
  const server = await sharedPostgres()
  const database = await server.createDatabase()
  await server.psql(`ALTER DATABASE ${database} SET statement_timeout = '20min'`)
  const session = await open(server, connectionTo(server, database, { options: "-c work_mem=5MB" }))
  expect(await settingOf(session, "work_mem")).toEqual([{ value: "5MB" }])
  expect(await settingOf(session, "statement_timeout")).toEqual([{ value: "0" }])
})

test("a replica whose default is serializable is talked to all the same", async () => {
  const replica = await startPostgres({
    standby: true,
    settings: { default_transaction_isolation: "serializable" },
  })
  onTestFinished(() => replica.stop())
  const session = await open(replica, connectionTo(replica))
  expect(await session.query("SELECT pg_is_in_recovery() AS replica")).toEqual([{ replica: true }])
})

test.skipIf(needsPgbouncer)(
  `a pooler that takes no settings is gone through without${needsPgbouncer}`,
  async () => {
    const server = await sharedPostgres()
    const pooler = await startPgbouncer(server, "session")
    onTestFinished(() => pooler.stop())
    const session = await open(server, connectionFrom({ databaseUrl: pooler.url("postgres") }))
    expect(session.connection.settings).toEqual({})
    expect(withSettings(session.connection, settingsOfLoading)).toBe(session.connection)
  },
)

test.skipIf(needsPgbouncer)(
  `a pooler that takes settings and does nothing gets none set either${needsPgbouncer}`,
  async () => {
    const server = await sharedPostgres()
    const database = await server.createDatabase()
    await server.psql(`ALTER DATABASE ${database} SET idle_session_timeout = '20min'`)
    const pooler = await startPgbouncer(server, "session", { ignore_startup_parameters: "options" })
    onTestFinished(() => pooler.stop())
    const session = await open(server, connectionFrom({ databaseUrl: pooler.url(database) }))
    expect(session.connection.settings).toEqual({})
    expect(
      await session.query("SELECT name FROM pg_settings WHERE source IN ('session', 'client')"),
    ).not.toContainEqual({
      name: "idle_session_timeout",
    })
  },
)
