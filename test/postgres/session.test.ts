import { createServer } from "node:net"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import * as z from "zod"
import { identifier, literal } from "../../task/core/quote.ts"
import { QueryError } from "../../task/postgres/conversation.ts"
import { openSession, type Session } from "../../task/postgres/session.ts"
import { rejectionOf } from "../support/failure.ts"
import { type PostgresCluster, type PostgresServer, startPostgres } from "../support/postgres.ts"
import { processesNaming } from "../support/processes.ts"
import { connectionTo, openTestSession } from "../support/session.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

async function pidOf(session: Session): Promise<number> {
  const rows = await session.query("SELECT pg_backend_pid() AS pid")
  return z.tuple([z.object({ pid: z.int() })]).parse(rows)[0].pid
}

const odd = [
  "a'b",
  'a"b',
  "a\\b",
  "\\",
  "a\nb\r\n\tc",
  "☂😀",
  ":foo :'foo' :\"foo\"",
  "\\q \\! false",
  "$$;--/*",
  " ",
]

describe.for(majors)("a session with PostgreSQL %i", (major) => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await sharedPostgres(major)
  })

  test("gives rows as objects, none as none", async () => {
    const session = await openTestSession(server)
    expect(session.serverMajor).toBe(major)
    expect(
      await session.query(
        "SELECT i, i::text AS t, NULL AS n, ARRAY[i] AS a FROM generate_series(1, 2) i ORDER BY 1",
      ),
    ).toEqual([
      { i: 1, t: "1", n: null, a: [1] },
      { i: 2, t: "2", n: null, a: [2] },
    ])
    expect(await session.query("SELECT 1 WHERE false")).toEqual([])
    await session.close()
  })

  test("takes any text and any name as it is", async () => {
    const session = await openTestSession(server)
    await session.execute("SET standard_conforming_strings = off")
    for (const text of odd) {
      expect(await session.query(`SELECT ${literal(text)} AS ${identifier(text)}`)).toEqual([
        { [text]: text },
      ])
      const database = await server.createDatabase(`${text}${major}`)
      const other = await openTestSession(server, connectionTo(server, database))
      expect(await other.query("SELECT current_database() AS name")).toEqual([{ name: database }])
      await other.close()
    }
    await session.close()
  })

  test("gives each of many statements at once its own answer", async () => {
    const session = await openTestSession(server)
    const answers = await Promise.allSettled([
      session.query("SELECT 1 AS n"),
      session.query("SELECT 1/0"),
      session.execute(
        "DO $$ BEGIN RAISE EXCEPTION E'it''s :foo \\\\ two\\nlines' USING ERRCODE = 'XX123'; END $$",
      ),
      session.execute("CREATE TEMPORARY TABLE t AS SELECT repeat('x', 3000000) AS text"),
      session.query("SELECT * FROM nowhere"),
      session.query("SELECT * FROM t"),
    ])
    const refusals = answers.map((answer) =>
      answer.status === "rejected" && answer.reason instanceof QueryError ? answer.reason : undefined,
    )
    const states = refusals.map((refusal) => refusal?.sqlstate)
    expect(states).toEqual([undefined, "22012", "XX123", undefined, "42P01", undefined])
    expect(refusals[2]?.message).toContain("it's :foo \\ two\nlines")
    expect(answers[5]).toMatchObject({ value: [{ text: "x".repeat(3_000_000) }] })
    await session.close()
  })

  test("gives a quick answer before a slow one is there", async () => {
    const session = await openTestSession(server)
    const first = session.query("SELECT 1 AS n")
    const second = rejectionOf(session.query("SELECT pg_sleep(30)"))
    expect(await first).toEqual([{ n: 1 }])
    await session.close()
    expect((await second).message).toContain("is closed")
  })

  test("leaves nothing set, for a pooler would hand it on", async () => {
    const session = await openTestSession(server)
    expect(await session.query("SELECT name FROM pg_settings WHERE source = 'session'")).toEqual([])
    await session.close()
  })

  test("whose first statement is refused leaves no program and no backend", async () => {
    const database = await server.createDatabase()
    const role = `refused_${major}`
    await server.psql(
      `CREATE ROLE ${role} LOGIN PASSWORD 'pw'; REVOKE EXECUTE ON FUNCTION pg_catalog.json_agg(anyelement) FROM PUBLIC`,
      database,
    )
    const connection = { ...connectionTo(server, database, { user: role }), password: "pw" }
    const error = await rejectionOf(openTestSession(server, connection))
    expect(error).toMatchObject({ kind: "postgres", sqlstate: "42501" })
    expect(processesNaming(`dbname='${database}'`)).toEqual([])
    const left = `SELECT count(*) FROM pg_stat_activity WHERE datname = '${database}' AND usename = '${role}'`
    await expect.poll(() => server.psql(left)).toBe("0")
  })

  test("that lost its backend rejects what is pending and what comes later", async () => {
    const session = await openTestSession(server)
    const pid = await pidOf(session)
    const pending = rejectionOf(session.query("SELECT pg_sleep(60)"))
    await server.psql(`SELECT pg_terminate_backend(${pid})`)
    const error = await pending
    expect(error.kind).toBe("postgres")
    expect(error.message).toMatch(
      /^lost the connection to postgres on 127.0.0.1:\d+ as postgres: terminating connection/,
    )
    expect(session.lost.reason).toBe(error)
    await expect(session.query("SELECT 1")).rejects.toBe(error)
    await session.close()
  })

  test("that loses its backend while idle says so", async () => {
    const session = await openTestSession(server, connectionTo(server), { heartbeatSeconds: 0.05 })
    const pid = await pidOf(session)
    const lost = new Promise((resolve) => session.lost.addEventListener("abort", resolve))
    await server.psql(`SELECT pg_terminate_backend(${pid})`)
    await lost
    expect(session.lost.reason.message).toMatch(/^lost the connection to/)
    await session.close()
  })

  test("ends when its signal is aborted, with the signal's reason", async () => {
    const controller = new AbortController()
    const session = await openTestSession(server, connectionTo(server), { signal: controller.signal })
    const pending = session.query("SELECT pg_sleep(60)")
    const reason = new Error("enough")
    controller.abort(reason)
    await expect(pending).rejects.toBe(reason)
    await session.close()
  })

  test.for([
    ["a wrong password", { user: "postgres" }, "wrong", /password authentication failed/, /password/],
    ["no password", { user: "postgres" }, undefined, /no password supplied/, /PGPASSWORD/],
    ["an unknown database", { dbname: "no such" }, "right", /database "no such" does not exist/, /psql -l/],
    ["an unknown host", { host: "nowhere.invalid" }, "right", /could not translate host name/, /host's name/],
    ["a closed port", { port: "1" }, "right", /Connection refused/, /listen_addresses/],
    ["a missing socket", { host: "/nowhere" }, "right", /No such file/, /listens there/],
    [
      "a missing service",
      { service: "nightly" },
      "right",
      /definition of service "nightly" not found/,
      /PGSERVICEFILE/,
    ],
    ["an unknown setting of TLS", { sslmode: "strict" }, "right", /invalid sslmode value/, /client programs/],
    ["a server without TLS", { sslmode: "require" }, "right", /server does not support SSL/, /TLS/],
  ] as const)("with %s is refused with what to do", async ([, params, password, message, hint]) => {
    const connection = connectionTo(server, "postgres", params)
    const error = await rejectionOf(
      openTestSession(server, { ...connection, password: password === "right" ? server.password : password }),
    )
    expect(error.kind).toBe("postgres")
    expect(error.message).toMatch(/^could not connect to .*: /)
    expect(error.message).toMatch(message)
    expect(error.hint).toMatch(hint)
    expect(JSON.stringify([error.message, error.hint, error.cause])).not.toContain(server.password)
  })

  test("of a role that may not connect any more is refused with what to do", async () => {
    const role = `limited_${major}`
    await server.psql(`CREATE ROLE ${role} LOGIN PASSWORD 'pw' CONNECTION LIMIT 0`)
    const database = await server.createDatabase()
    const connection = { ...connectionTo(server, database, { user: role }), password: "pw" }
    expect((await rejectionOf(openTestSession(server, connection))).hint).toContain("max_connections")
    await server.psql(
      `ALTER ROLE ${role} CONNECTION LIMIT 1; REVOKE CONNECT ON DATABASE ${database} FROM PUBLIC`,
    )
    expect((await rejectionOf(openTestSession(server, connection))).hint).toContain("GRANT CONNECT")
    await server.psql(`GRANT CONNECT ON DATABASE ${database} TO ${role}; CREATE TABLE secret ()`, database)
    const session = await openTestSession(server, connection)
    const error = await rejectionOf(session.query("SELECT * FROM secret"))
    expect(error.message).toContain("permission denied for table secret")
    expect(error).toMatchObject({ sqlstate: "42501" })
    await session.close()
  })
})

test("a server that does not answer is given up after connect_timeout", async () => {
  const silent = createServer().listen(0, "127.0.0.1")
  await new Promise((resolve) => silent.once("listening", resolve))
  const address = silent.address()
  if (address === null || typeof address === "string") throw new TypeError("a TCP server has a port")
  const server = await sharedPostgres()
  const connection = connectionTo(server, "postgres", { port: String(address.port), connect_timeout: "2" })
  const error = await rejectionOf(openTestSession(server, connection))
  expect(error.message).toContain("timeout expired")
  expect(error.hint).toContain("firewalls")
  silent.close()
})

test("a psql that is not there is said to be missing", async () => {
  const server = await sharedPostgres()
  const error = await rejectionOf(
    openSession({ psql: { file: "/nowhere/psql" } }, connectionTo(server), { env: {} }),
  )
  expect(error.message).toBe("psql is not installed (/nowhere/psql)")
})

describe("a server that speaks only TLS", () => {
  let server: PostgresCluster
  beforeAll(async () => {
    server = await startPostgres({ tls: true })
  })
  afterAll(() => server.stop())

  const ssl = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"

  test("is reached with sslmode=require, unverified", async () => {
    const session = await openTestSession(server, connectionTo(server, "postgres", { sslmode: "require" }))
    expect(await session.query(ssl)).toEqual([{ ssl: true }])
    await session.close()
  })

  test("is reached with sslmode=verify-full and its root certificate", async () => {
    const params = { sslmode: "verify-full", sslrootcert: server.rootCertificate ?? "" }
    const session = await openTestSession(server, connectionTo(server, "postgres", params))
    expect(await session.query(ssl)).toEqual([{ ssl: true }])
    await session.close()
  })

  test("is refused with sslmode=verify-full and no root certificate, or another", async () => {
    const none = await rejectionOf(
      openTestSession(server, connectionTo(server, "postgres", { sslmode: "verify-full" })),
    )
    expect(none.message).toContain("root certificate file")
    expect(none.hint).toContain("sslrootcert")
    const other = await startPostgres({ tls: true })
    const params = { sslmode: "verify-full", sslrootcert: other.rootCertificate ?? "" }
    const wrong = await rejectionOf(openTestSession(server, connectionTo(server, "postgres", params)))
    expect(wrong.message).toContain("certificate verify failed")
    expect(wrong.hint).toContain("sslrootcert")
    await other.stop()
  })

  test("is refused with sslmode=verify-full by a name that is not in its certificate", async () => {
    const params = {
      host: "db.example.com",
      hostaddr: "127.0.0.1",
      sslmode: "verify-full",
      sslrootcert: server.rootCertificate ?? "",
    }
    const error = await rejectionOf(openTestSession(server, connectionTo(server, "postgres", params)))
    expect(error.message).toContain('does not match host name "db.example.com"')
    expect(error.hint).toContain("verify-ca")
  })

  test("refuses a connection without TLS, and says that it may want it", async () => {
    const error = await rejectionOf(
      openTestSession(server, connectionTo(server, "postgres", { sslmode: "disable" })),
    )
    expect(error.message).toContain("no pg_hba.conf entry")
    expect(error.hint).toContain("may want TLS")
  })
})

test("a server that stops midway through a query ends it with a clear error", async () => {
  const server = await startPostgres()
  const session = await openTestSession(server)
  const pending = rejectionOf(session.query("SELECT pg_sleep(60)"))
  await server.crash()
  const error = await pending
  expect(error.message).toMatch(/^lost the connection to postgres on/)
  expect(error.hint).toContain("server's log")
  await session.close()
  await server.stop()
})
