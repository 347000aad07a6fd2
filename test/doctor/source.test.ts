import { afterEach, describe, expect, test } from "vitest"
import { addressFindings } from "../../task/doctor/transport.ts"
import { withDatabase } from "../../task/postgres/connection.ts"
import { needsPgbouncer, startPgbouncer } from "../support/pgbouncer.ts"
import {
  type PostgresCluster,
  type PostgresServer,
  type StartOptions,
  startPostgres,
} from "../support/postgres.ts"
import { connectionTo } from "../support/session.ts"
import { majors, needsOlder, sharedPostgres } from "../support/shared-postgres.ts"
import { makePatient } from "./patient.ts"

const started: { stop: () => Promise<void> }[] = []
afterEach(async () => {
  for (const one of started.splice(0)) await one.stop()
})

async function start(options: StartOptions): Promise<PostgresCluster> {
  const server = await startPostgres(options)
  started.push(server)
  return server
}

describe.for(majors)("the source on PostgreSQL %i", (major) => {
  test("a server that is not there is an error, with what to do", async () => {
    const patient = await makePatient(await sharedPostgres(major))
    const connection = connectionTo(patient.server, "postgres", { port: "1" })
    const [finding, ...others] = await patient.examine({ connection })
    expect(others).toEqual([])
    expect(finding).toMatchObject({ check: "source.connection", severity: "error" })
    expect(finding?.what).toMatch(/^could not connect: .*port 1 failed: Connection refused/)
    expect(finding?.fix).not.toBe("")
  })

  test("fewer connections than streams", async () => {
    const patient = await makePatient(await sharedPostgres(major))
    await patient.sql(`ALTER ROLE ${patient.role} CONNECTION LIMIT 4`)
    const [finding] = await patient.examine({ jobs: 5 })
    expect(finding).toMatchObject({
      check: "source.connections",
      severity: "error",
      what: "the server takes 3 more connections, and 5 streams need one each",
      fix: "PGSTOW_JOBS=3",
    })
    expect(await patient.examine({ jobs: 3 })).toEqual([])
  })

  test("no connection but one's own", async () => {
    const patient = await makePatient(await sharedPostgres(major))
    await patient.sql(`ALTER ROLE ${patient.role} CONNECTION LIMIT 1`)
    await patient.cure("source.connections", { jobs: 2 })
  })

  test.for(["ROLE", "DATABASE", "ROLE IN DATABASE"])("time limits of a %s", async (of) => {
    const patient = await makePatient(await sharedPostgres(major))
    const { role, database } = patient
    const what = { ROLE: `ROLE ${role}`, DATABASE: `DATABASE ${database}` }[of]
    await patient.sql(`ALTER ${what ?? `ROLE ${role} IN DATABASE ${database}`} SET statement_timeout = '30s'`)
    const finding = await patient.cure("source.time-limits")
    expect(finding).toMatchObject({ severity: "notice" })
    expect(finding.what).toContain("statement_timeout is 30000 ms")
  })

  test("a time limit that ends every session but pgstow's does not end the doctor", async () => {
    const patient = await makePatient(await sharedPostgres(major))
    await patient.sql(`ALTER ROLE ${patient.role} SET statement_timeout = '1ms'`)
    const { severity, what } = await patient.cure("source.time-limits")
    expect({ severity, what }).toEqual({
      severity: "notice",
      what: "statement_timeout is so short that no session can say it",
    })
  })

  test("more tables than there is room for locks", async () => {
    const server = await start({
      major,
      settings: {
        max_locks_per_transaction: "10",
        max_connections: "8",
        autovacuum_max_workers: "1",
        max_worker_processes: "1",
      },
    })
    const patient = await makePatient(server)
    await patient.sql(`
      GRANT pg_read_all_data TO ${patient.role};
      SELECT format('CREATE TABLE t%s ()', i) FROM generate_series(1, 150) i \\gexec`)
    const [finding] = await patient.examine({ jobs: 1 })
    expect(finding).toMatchObject({
      check: "source.locks",
      severity: "warning",
    })
    expect(finding?.fix).toMatch(/^ALTER SYSTEM SET max_locks_per_transaction = \d+;$/)
    await patient.sql(`SELECT format('CREATE TABLE more_%s ()', i) FROM generate_series(1, 150) i \\gexec`)
    expect(await patient.examine({ jobs: 1 })).toMatchObject([{ check: "source.locks", severity: "error" }])
    await server.psql(finding?.fix ?? "")
    // As it is after the restart that it needs.
    const [, wanted = ""] = /= (\d+)/.exec(finding?.fix ?? "") ?? []
    const roomy = await start({
      major,
      settings: { max_locks_per_transaction: wanted, max_connections: "8" },
    })
    const cured = await makePatient(roomy)
    await cured.sql(`
      GRANT pg_read_all_data TO ${cured.role};
      SELECT format('CREATE TABLE t%s ()', i) FROM generate_series(1, 150) i \\gexec`)
    expect(await cured.examine({ jobs: 1 })).toEqual([])
  })

  test("a replica that cancels what reads for long", async () => {
    const server = await start({ major, standby: true, settings: { hot_standby: "on" } })
    const connection = connectionTo(server)
    const patient = { ...(await makePatient(await sharedPostgres(major))), server }
    const examine = () => patient.examine({ connection, clientFolders: [server.binDir] })
    const [finding, ...others] = await examine()
    expect(others).toEqual([])
    expect(finding).toMatchObject({
      check: "source.replica",
      severity: "warning",
      fix: "ALTER SYSTEM SET hot_standby_feedback = on; SELECT pg_reload_conf();",
    })
    await server.psql("ALTER SYSTEM SET hot_standby_feedback = on")
    await server.psql("SELECT pg_reload_conf()")
    await expect.poll(examine).toEqual([])
  })

  test("a connection over the network without TLS, and one whose certificate is not verified", async () => {
    const server = await start({ major, tls: true })
    const patient = await makePatient(server)
    const plain = await makePatient(await sharedPostgres(major))
    // A name of another machine, as a tunnel has it.
    const far = { host: "db.example.com", hostaddr: "127.0.0.1" }
    const over = (params: Record<string, string>, to: PostgresServer = server) => ({
      connection: connectionTo(to, "postgres", { ...far, ...params }),
    })
    const unsafe = await plain.examine(over({}, plain.server))
    // What the client programs of the server's version can take.
    const roots = major >= 16 ? "system" : "/etc/ssl/certs/ca-certificates.crt"
    expect(unsafe).toMatchObject([
      { check: "source.tls", severity: "warning", fix: `--sslmode verify-full --sslrootcert ${roots}` },
    ])
    expect(await patient.examine(over({ sslmode: "require" }))).toMatchObject([
      {
        check: "source.tls-verification",
        what: "the connection is encrypted, and the server's certificate is not verified",
      },
    ])
    const sslrootcert = server.rootCertificate ?? ""
    expect(await patient.examine(over({ sslmode: "verify-ca", sslrootcert }))).toMatchObject([
      {
        check: "source.tls-verification",
        what: "the server's certificate is verified, but not the name in it",
      },
    ])
    const verified = over({ host: "localhost", sslmode: "verify-full", sslrootcert })
    expect(await patient.examine(verified)).toEqual([])
    const local = withDatabase(connectionTo(server), patient.database)
    expect(await patient.examine({ connection: local })).toEqual([])
  })

  test.skipIf(needsPgbouncer)(`a pooler in transaction mode${needsPgbouncer}`, async () => {
    const patient = await makePatient(await sharedPostgres(major))
    const pooler = await startPgbouncer(patient.server, "transaction")
    started.push(pooler)
    const { port } = new URL(pooler.url("postgres"))
    const connection = connectionTo(patient.server, patient.database, { port })
    const findings = await patient.examine({ connection })
    expect(findings).toContainEqual(expect.objectContaining({ check: "source.pooler", severity: "error" }))
  })

  test.skipIf(needsPgbouncer)(
    `a pooler in session mode that takes no settings${needsPgbouncer}`,
    async () => {
      const patient = await makePatient(await sharedPostgres(major))
      const pooler = await startPgbouncer(patient.server, "session")
      started.push(pooler)
      const { port } = new URL(pooler.url("postgres"))
      const findings = await patient.examine({
        connection: connectionTo(patient.server, patient.database, { port }),
      })
      expect(findings.map(({ check, severity }) => ({ check, severity }))).toEqual([
        { check: "source.pooler-settings", severity: "notice" },
      ])
      expect(await patient.examine()).toEqual([])
    },
  )
})

test("a host with IPv6 addresses alone", () => {
  const addresses = ["2600:1f18:2e13:9d00::1"]
  expect(addressFindings({ host: "db.example.com", addresses })).toMatchObject([
    { check: "source.ipv6", severity: "notice", subject: "db.example.com" },
  ])
  for (const some of [[...addresses, "192.0.2.1"], ["192.0.2.1"], []])
    expect(addressFindings({ host: "db.example.com", addresses: some })).toEqual([])
})

test.skipIf(needsOlder)(`client programs that are older than the server${needsOlder}`, async () => {
  const [older, newer] = [await sharedPostgres(majors[0]), await sharedPostgres(majors.at(-1))]
  const patient = await makePatient(newer)
  // Their folder alone, whatever else is installed here.
  const PATH = older.binDir
  const findings = await patient.examine({ clientFolders: [older.binDir] }, { PATH })
  const [finding] = findings.filter(({ check }) => check === "source.clients")
  expect(finding).toMatchObject({ severity: "error" })
  expect(finding?.fix).toContain(`postgresql-client-${newer.major}`)
  expect(await patient.examine()).toEqual([])
})
