import { afterEach, expect, test, vi } from "vitest"
import { childEnv, withDatabase } from "../../task/postgres/connection.ts"
import { withRdsToken } from "../../task/postgres/rds-token.ts"
import { throughTunnel } from "../../task/postgres/tunnel.ts"
import { rejectionOf } from "../support/failure.ts"

afterEach(() => vi.unstubAllEnvs())

const connection = { params: { host: "db.example.com", user: "backup", dbname: "orders" } }

test("a token is a connection's password, and a new one when that is to grow old", async () => {
  vi.stubEnv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "secret")
  vi.stubEnv("AWS_REGION", "eu-central-1")
  const signed = withDatabase(await withRdsToken(connection, { renewEveryMs: 100 }), "shop")
  const first = childEnv(signed, {}).PGPASSWORD
  expect(first).toMatch(/^db\.example\.com:5432\/\?.*DBUser=backup.*X-Amz-Expires=900/)
  expect(first).not.toContain("secret")
  // The time of the signature, in seconds, is in it.
  await vi.waitFor(() => expect(childEnv(signed, {}).PGPASSWORD).not.toBe(first), 30_000)
  expect(childEnv(signed, {}).PGPASSWORD).toMatch(/^db\.example\.com:5432\/\?/)
})

test("through a tunnel, a token is still for the server's own name and port", async () => {
  vi.stubEnv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "secret")
  vi.stubEnv("AWS_REGION", "eu-central-1")
  const tunnelled = throughTunnel(connection, "me@bastion", { env: {}, onLoss: () => {} })
  const signed = await withRdsToken(tunnelled)
  expect(childEnv(signed, {}).PGPASSWORD).toMatch(/^db\.example\.com:5432\/\?/)
})

test("a connection without a host or a user gets none", async () => {
  const failure = await rejectionOf(withRdsToken({ params: { host: "db.example.com" } }))
  expect(failure).toMatchObject({ kind: "usage", message: "RDS IAM authentication needs a host and a user" })
})
