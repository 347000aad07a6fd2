import { expect, test } from "vitest"
import { connectionHint } from "../../task/postgres/connection-failure.ts"

const failed = (address: string, why: string) =>
  `psql: error: connection to server at "db.example.com" (${address}), port 5432 failed: ${why}\n`

test("a host that has IPv6 only, on a machine without, points to the provider's pooler", () => {
  for (const why of ["Network is unreachable", "Cannot assign requested address"])
    expect(connectionHint(failed("2a05:d018:135e:1680::1", why))).toContain("pooler in session mode")
})

test("a host that has IPv4 too is looked for as any other", () => {
  const both =
    failed("2a05:d018:135e:1680::1", "Network is unreachable") + failed("192.0.2.7", "timeout expired")
  expect(connectionHint(both)).toContain("firewalls and security groups")
})
