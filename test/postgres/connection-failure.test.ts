import { expect, test } from "vitest"
import { connectionHint } from "../../task/postgres/connection-failure.ts"

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
