import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { connectionHint } from "../../task/postgres/connection-failure.ts"
import { rejectionOf } from "../support/failure.ts"
import { connectionTo, openTestSession } from "../support/session.ts"
import { sharedPostgres } from "../support/shared-postgres.ts"

const failed = (address: string, why: string) =>
  `psql: error: connection to server at "db.example.com" (${address}), port 5432 failed: ${why}\n`

test("a host that has IPv6 only, on a machine without, points to the provider's pooler", () => {
  for (const why of ["Network is unreachable", "Cannot assign requested address"])
    expect(connectionHint(failed("2a05:d018:135e:1680::1", why), { params: {} })).toContain(
      "pooler in session mode",
    )
})

test("a host that has IPv4 too is looked for as any other", () => {
  const both =
    failed("2a05:d018:135e:1680::1", "Network is unreachable") + failed("192.0.2.7", "timeout expired")
  expect(connectionHint(both, { params: {} })).toContain("firewalls and security groups")
})

test("a right that is missing is asked for in the words to run, as far as names are known", () => {
  const words = 'FATAL:  permission denied for database "orders"'
  const hint = (params: Readonly<Record<string, string>>) => connectionHint(words, { params })
  expect(hint({ user: "app", dbname: 'or"ders' })).toContain('GRANT CONNECT ON DATABASE "or""ders" TO "app".')
  expect(hint({})).toContain("GRANT CONNECT ON DATABASE … TO ….")
})

test("a password file that others may read is said to be the reason, and not the password", () => {
  const warning =
    'WARNING: password file "/home/app/.pgpass" has group or world access; permissions should be u=rw (0600) or less\n'
  const hint = (why: string) => connectionHint(warning + failed("192.0.2.7", why), { params: {} })
  expect(hint("fe_sendauth: no password supplied")).toContain("chmod 600")
  expect(hint("Connection refused")).toContain("listen_addresses")
})

test("so libpq says it, of a password file that is there", async () => {
  const server = await sharedPostgres()
  const folder = await mkdtemp(join(tmpdir(), "pgstow-passwords-"))
  onTestFinished(() => rm(folder, { recursive: true }))
  const file = join(folder, "pgpass")
  await writeFile(file, `*:*:*:*:${server.password}\n`)
  const { password: _, ...connection } = connectionTo(server)
  const open = () => openTestSession(server, connection, { env: { PGPASSFILE: file } })
  await chmod(file, 0o644)
  expect((await rejectionOf(open())).hint).toContain("chmod 600")
  await chmod(file, 0o600)
  await (await open()).close()
})
