import { existsSync, readFileSync } from "node:fs"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { withTls } from "../../task/postgres/tls.ts"
import { rejectionOf } from "../support/failure.ts"
import { type PostgresCluster, startPostgres } from "../support/postgres.ts"
import { connectionTo, openTestSession } from "../support/session.ts"

const params = (sslmode?: string) => ({ params: { host: "db", ...(sslmode ? { sslmode } : {}) } })

test.each([
  ["allow", "require"],
  ["prefer", "require"],
  [undefined, "require"],
  ["require", "require"],
  ["disable", "disable"],
  ["verify-full", "verify-full"],
])("where TLS is required, sslmode %s means %s", (said, meant) => {
  expect(withTls(params(said), { requireTls: true }, {}).params.sslmode).toBe(meant)
  expect(withTls(params(), { requireTls: true }, { PGSSLMODE: said }).params.sslmode ?? said).toBe(meant)
})

test("an authority is trusted where a server is verified, unless the connection names its own", () => {
  const options = { caFile: "/ca.pem", requireTls: false }
  const trusted = (sslmode: string, env = {}) => withTls(params(sslmode), options, env).params.sslrootcert
  expect(trusted("verify-full")).toBe("/ca.pem")
  expect(trusted("verify-ca")).toBe("/ca.pem")
  for (const mode of ["require", "prefer", "disable"]) expect(trusted(mode)).toBeUndefined()
  expect(trusted("verify-full", { PGSSLROOTCERT: "/own.pem" })).toBeUndefined()
  const own = { params: { sslmode: "verify-full", sslrootcert: "system" } }
  expect(withTls(own, options, {}).params.sslrootcert).toBe("system")
})

test("a service's file keeps its own say", () => {
  const service = { params: { service: "orders" } }
  expect(withTls(service, { caFile: "/ca.pem", requireTls: true }, {})).toEqual(service)
})

describe("a server whose authority is its own", () => {
  let server: PostgresCluster
  beforeAll(async () => {
    server = await startPostgres({ tls: true })
  })
  afterAll(() => server?.stop())
  const ssl = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"

  test("is verified by that authority as text", async () => {
    const pem = readFileSync(server.rootCertificate ?? "", "utf8")
    const plain = connectionTo(server, "postgres", { sslmode: "verify-full" })
    const connection = withTls(plain, { ca: pem, requireTls: true }, {})
    const session = await openTestSession(server, connection)
    expect(await session.query(ssl)).toEqual([{ ssl: true }])
    await session.close()
    expect(existsSync(connection.params.sslrootcert ?? "")).toBe(true)
  })

  test("is refused by another authority, and reached unverified by sslmode=require", async () => {
    const other = await startPostgres({ tls: true })
    const options = { caFile: other.rootCertificate, requireTls: true }
    await other.stop()
    const full = withTls(connectionTo(server, "postgres", { sslmode: "verify-full" }), options, {})
    expect((await rejectionOf(openTestSession(server, full))).message).toMatch(/certificate|root/)
    const require = withTls(connectionTo(server, "postgres", { sslmode: "require" }), options, {})
    const session = await openTestSession(server, require)
    expect(await session.query(ssl)).toEqual([{ ssl: true }])
    await session.close()
  })
})
