import { expect, test } from "vitest"
import { withHost } from "../../task/postgres/one-host.ts"
import { startPostgres } from "../support/postgres.ts"
import { setScene } from "../support/scene.ts"
import { connectionTo, openTestSession } from "../support/session.ts"
import { newestMajor, sharedPostgres } from "../support/shared-postgres.ts"

const to = (params: Readonly<Record<string, string>>, host: string, port: string) =>
  withHost({ params }, { host, port }).params

test("of several hosts, ports and addresses only those of the server that answered are left", () => {
  expect(to({ host: "a,b,c", port: "1,2,3", user: "u" }, "b", "2")).toEqual({
    host: "b",
    port: "2",
    user: "u",
  })
  expect(to({ host: "a,b", port: "7" }, "b", "7")).toEqual({ host: "b", port: "7" })
  expect(to({ host: "a,b" }, "a", "5432")).toEqual({ host: "a", port: "5432" })
  expect(to({ host: "a,a", port: "1,2", hostaddr: "192.0.2.1,192.0.2.2" }, "a", "2")).toEqual({
    host: "a",
    port: "2",
    hostaddr: "192.0.2.2",
  })
  expect(to({ hostaddr: "192.0.2.1,192.0.2.2" }, "192.0.2.2", "5432")).toEqual({
    hostaddr: "192.0.2.2",
    port: "5432",
  })
  expect(to({ host: "/run/one,/run/two" }, "/run/two", "5432")).toEqual({ host: "/run/two", port: "5432" })
})

test("a host alone stays as it is", () => {
  const connection = { params: { host: "a", hostaddr: "192.0.2.1" } }
  expect(withHost(connection, { host: "a", port: "5432" })).toBe(connection)
})

test.for(newestMajor)(
  "all of a backup and of a restore goes to one of two servers that answer, with PostgreSQL %i",
  async (major) => {
    const one = await sharedPostgres(major)
    await using two = await other(major)
    const scene = await setScene(one)
    for (const server of [one, two.server]) {
      await server.psql(`CREATE ROLE ${scene.database} SUPERUSER LOGIN PASSWORD 'secret'`)
      if (server !== one) await server.createDatabase(scene.database)
      await server.psql("CREATE TABLE t AS SELECT 1 AS n", scene.database)
    }
    const params = {
      host: "127.0.0.1,127.0.0.1",
      port: `${one.port},${two.server.port}`,
      user: scene.database,
      load_balance_hosts: "random",
    }
    const connection = { ...connectionTo(one, scene.database, params), password: "secret" }
    const first = await openTestSession(one, connection)
    const ports = new Set<unknown>()
    for (let count = 0; count < 8; count++) {
      const next = await openTestSession(one, first.connection)
      ports.add(JSON.stringify(await next.query("SELECT inet_server_port() AS port")))
      await next.close()
    }
    expect([...ports]).toEqual([JSON.stringify([{ port: Number(first.connection.params.port) }])])
    await first.close()

    const url = `postgres://${params.user}:secret@127.0.0.1:${one.port},127.0.0.1:${two.server.port}/${scene.database}?load_balance_hosts=random`
    await scene.json(["backup", "--jobs", "2"], { DATABASE_URL: url })
    await scene.json(["restore", "latest", "--into", `${scene.database} back`, "--jobs", "2"], {
      DATABASE_URL: url,
    })
  },
)

async function other(major: number) {
  const server = await startPostgres({ major })
  return { server, [Symbol.asyncDispose]: () => server.stop() }
}
