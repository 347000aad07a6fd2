import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { expect, describe as group, test } from "vitest"
import { childEnv, connectionFrom, conninfo, describe } from "../../task/postgres/connection.ts"
import { failureOf } from "../support/failure.ts"
import { sharedPostgres } from "../support/shared-postgres.ts"

group("a database URL", () => {
  test.for([
    [
      "postgres://app@db.example.com:6432/orders",
      { host: "db.example.com", port: "6432", user: "app", dbname: "orders" },
    ],
    ["postgresql://", {}],
    ["postgresql:///orders", { dbname: "orders" }],
    ["postgres://a,b:1,[::1]:2/x", { host: "a,b,::1", port: ",1,2", dbname: "x" }],
    ["postgres://%2Fvar%2Frun/x", { host: "/var/run", dbname: "x" }],
    ["postgres:///x?host=/var/run&port=7", { host: "/var/run", port: "7", dbname: "x" }],
    [
      "postgres://u%40v@h/a%20b%2Fc?sslmode=verify-full",
      { host: "h", user: "u@v", dbname: "a b/c", sslmode: "verify-full" },
    ],
    ["postgres://h?ssl=true&options=-c%20a%3Db", { host: "h", sslmode: "require", options: "-c a=b" }],
    ["postgres://h/x\n", { host: "h", dbname: "x" }],
    ["host=h dbname = 'a \\'b\\\\ c' user=it\\'s", { host: "h", dbname: "a 'b\\ c", user: "it's" }],
    ["service=''  host=h", { host: "h" }],
    ["postgres://h/x?client_encoding=LATIN1", { host: "h", dbname: "x" }],
  ] as const)("%s means what libpq makes of it", ([databaseUrl, params]) => {
    expect(connectionFrom({ databaseUrl })).toEqual({ params })
  })

  test.for([
    ["postgres://app:p%40ss%3Aw%2Fo@h/x", "p@ss:w/o"],
    ["postgres://app:a:b?c#d@h/x", "a:b?c#d"],
    ["postgres://app@h/x?password=s%26t", "s&t"],
    ["host=h password='a b'", "a b"],
  ])("the password of %s is kept apart", ([databaseUrl = "", password = ""]) => {
    const connection = connectionFrom({ databaseUrl })
    expect(connection.password).toBe(password)
    expect(conninfo(connection)).not.toContain(password)
    expect(describe(connection)).not.toContain(password)
    expect(childEnv(connection, { PGPASSWORD: "another" }).PGPASSWORD).toBe(password)
  })

  test.for([
    ["mysql://app:hunter2@h/x", "begins with mysql://"],
    ["jdbc:postgresql://h/x?password=hunter2", "begins with jdbc:postgresql://"],
    ["hunter2", "is not a PostgreSQL URL"],
    ["postgres://app:hunter2/x@h/db", "has an @"],
    ["postgres://app:p@hunter2@h/db", "has an @"],
    ["postgres://app:12/hunter2@h/db", "has an @"],
    ["postgres://app:hunter2%@h/db", "has a % in the password"],
    ["postgres://app:hunter2%00@h/db", "has a % in the password"],
    ["postgres://h:hunter2/db", "the port is not a number"],
    ["postgres://h:0/db", "the port is not a number"],
    ["postgres://[::1/db", "has a host"],
    ["postgres://h/db?sslmode", "has a parameter that is not name=value"],
    ["postgres://h/db?schema=public", 'libpq does not know: "schema"'],
    ["postgres://h/db?sslmode=strict", 'no TLS mode "strict"'],
    ["postgres://h/db?password=a&hunter2=b", "after the password"],
    ["password=a hunter2=b", "after the password"],
    ["password=a hunter2", "can't be read from its character 11 on"],
    ["password='hunter2", "can't be read from its character 1 on"],
    ["host=h sslpassword=hunter2", "sslpassword"],
  ])("%s is refused without repeating a password", ([databaseUrl = "", message = ""]) => {
    const error = failureOf(() => connectionFrom({ databaseUrl }))
    expect(error.kind).toBe("usage")
    expect(error.message).toContain(message)
    expect(error.hint).toMatch(/\.$/)
    expect(`${error.message}${error.hint}`).not.toContain("hunter2")
  })

  test("psql reaches by it what it names", async () => {
    const server = await sharedPostgres()
    const database = await server.createDatabase('it\'s a \\ "test" ☂')
    const url = new URL(server.url(database))
    const connection = connectionFrom({
      databaseUrl: `postgres://postgres:${server.password}@127.0.0.1:1,${encodeURIComponent(server.socketDir)}:${url.port}${url.pathname}`,
    })
    const { stdout } = await promisify(execFile)(
      join(server.binDir, "psql"),
      [
        "-XAt",
        "-d",
        conninfo(connection),
        "-c",
        "SELECT current_database(), current_setting('application_name')",
      ],
      { env: childEnv(connection, {}) },
    )
    expect(stdout).toBe(`${database}|pgstow\n`)
  })
})

test("flags go before the URL, and the URL before variables", () => {
  const connection = connectionFrom({
    databaseUrl: "postgres://app@a:1,b:2/orders?hostaddr=10.0.0.1&sslmode=require",
    flags: { host: "c", username: "admin", sslmode: "verify-full", port: undefined },
    env: { PGHOST: "d", PGDATABASE: "other", PGUSER: "nobody" },
  })
  expect(connection.params).toEqual({ host: "c", user: "admin", dbname: "orders", sslmode: "verify-full" })
})

test("a service goes before variables, which are left to libpq then", () => {
  const env = { PGSERVICE: "nightly", PGHOST: "d", PGDATABASE: "other" }
  const connection = connectionFrom({ env, flags: { dbname: "orders" } })
  expect(connection.params).toEqual({ dbname: "orders" })
  expect(childEnv(connection, env)).toMatchObject({ PGSERVICE: "nightly", PGHOST: "d" })
})

test("a child's environment holds what libpq reads, and no other secret", () => {
  const env = {
    PATH: "/bin",
    HOME: "/root",
    LC_ALL: "de_DE.UTF-8",
    PGSSLROOTCERT: "/ca",
    PGCONNECT_TIMEOUT: "3",
    PGPASSWORD: "theirs",
    PGCLIENTENCODING: "LATIN1",
    PGSTOW_IDENTITY: "secret",
    AWS_SECRET_ACCESS_KEY: "secret",
    SSL_CERT_FILE: "/certs",
  }
  expect(childEnv({ params: {} }, env)).toEqual({
    PATH: "/bin",
    HOME: "/root",
    PGSSLROOTCERT: "/ca",
    PGCONNECT_TIMEOUT: "3",
    PGPASSWORD: "theirs",
    PGAPPNAME: "pgstow",
    SSL_CERT_FILE: "/certs",
    LC_ALL: "C",
  })
})

test("keepalives are on unless the connection says otherwise", () => {
  expect(conninfo({ params: { keepalives_idle: "9", user: "it's\\" } })).toBe(
    "keepalives_idle='9' keepalives_interval='10' user='it\\'s\\\\'",
  )
  expect(conninfo({ params: { dbname: "a" } }, { dbname: "b" })).toContain("dbname='b'")
})

test.for([
  ["postgres://app:secret@db.example.com/orders", "orders on db.example.com:5432 as app"],
  ["postgres://a,b:6432,[::1]:7/orders", "orders on a:5432,b:6432,[::1]:7"],
  ["postgres://app@/", "app on this machine as app"],
  ["host=/tmp dbname=x", "x on /tmp"],
  ["service=nightly", "the default database by service nightly"],
])("%s is described without its password", ([databaseUrl = "", words = ""]) => {
  expect(describe(connectionFrom({ databaseUrl }))).toBe(words)
})

test("behind a prefix no server is said to be on this machine", () => {
  const exec = "docker exec -i db"
  const behind = (databaseUrl: string) => describe(connectionFrom({ databaseUrl, exec }))
  expect(behind("postgres://app@/orders")).toBe("orders behind docker exec -i db as app")
  expect(behind("postgres://app@db/orders")).toBe("orders on db:5432 behind docker exec -i db as app")
})
