import { expect, test } from "vitest"
import type { Connection } from "../../task/config/connection-schema.ts"
import { connectionFrom } from "../../task/postgres/connection.ts"
import { connectionSettings } from "../../task/settings/configured-connection.ts"
import { quiet } from "../support/quiet.ts"

const secrets: Readonly<Record<string, string>> = {
  url: "postgresql://app:hunter2@db.example.com/orders\n",
  rds: JSON.stringify({
    username: "app",
    password: "it's \\ a = 'b",
    host: "rds.example.com",
    port: 5433,
    dbname: "orders",
  }),
  user: JSON.stringify({ username: "app", password: "hunter2" }),
  ca: "-----BEGIN CERTIFICATE-----",
  text: "hunter2",
}

/** What a connection of a file of settings comes to, with these secrets for those in AWS. */
async function settingsOf(connection: Connection) {
  return connectionSettings(connection, "orders in FILE", {
    ...quiet,
    env: { ORDERS_URL: "postgresql://db/orders" },
    readSecret: async (id) => secrets[id] ?? "",
  })
}

async function reached(connection: Connection) {
  const { databaseUrl, ...others } = await settingsOf(connection)
  if (typeof databaseUrl !== "string") throw new TypeError("it came to no URL")
  const { params, password } = connectionFrom({ databaseUrl })
  return { params, password, ...others }
}

test.each<[Connection, object]>([
  [
    { urlEnv: "ORDERS_URL", caFile: "/ca.pem" },
    { params: { host: "db", dbname: "orders" }, caFile: "/ca.pem" },
  ],
  [{ service: "it's" }, { params: { service: "it's" } }],
  [
    { urlSecret: "url" },
    { params: { host: "db.example.com", user: "app", dbname: "orders" }, password: "hunter2" },
  ],
  [
    { rdsSecret: "rds", caSecret: "ca" },
    {
      params: {
        host: "rds.example.com",
        port: "5433",
        user: "app",
        dbname: "orders",
        sslmode: "verify-full",
      },
      password: "it's \\ a = 'b",
      ca: "-----BEGIN CERTIFICATE-----",
    },
  ],
  [
    { rdsSecret: "user", host: "other.example.com", database: "sales" },
    { params: { host: "other.example.com", port: "5432", user: "app", dbname: "sales", sslmode: "require" } },
  ],
  [
    { iamUser: "backup", resourceId: "db-ABC", host: "h", port: 5432, database: "orders" },
    {
      params: { host: "h", port: "5432", user: "backup", dbname: "orders", sslmode: "require" },
      rdsIam: true,
    },
  ],
])("%j comes to what libpq is given", async (connection, expected) => {
  expect(await reached(connection)).toMatchObject(expected)
})

test("a secret that is not RDS's is refused without what it holds", async () => {
  const failure: unknown = await settingsOf({ rdsSecret: "text" }).catch((error: unknown) => error)
  expect(failure).toMatchObject({
    kind: "usage",
    message: "the secret text is not JSON with username and password",
  })
  expect(JSON.stringify(failure)).not.toContain("hunter2")
})
