import { once } from "node:events"
import { connect, createServer, type Server, type Socket } from "node:net"
import { afterAll, beforeAll, expect, it } from "vitest"
import { PgstowError } from "../../task/errors.ts"
import { isStarting } from "../../task/postgres/while-starting.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { connectionTo, openTestSession } from "../support/session.ts"
import { sharedPostgres } from "../support/shared-postgres.ts"

let server: PostgresServer
let door: Server
let port: number
/** How many connections are still told that the server is not there yet. */
let refusals = 0
let asked = 0

/** An ErrorResponse of PostgreSQL's protocol. */
function refusal(message: string): Buffer {
  const fields = Buffer.from(`SFATAL\0VFATAL\0C57P03\0M${message}\0\0`)
  const head = Buffer.alloc(5)
  head.write("E")
  head.writeInt32BE(fields.length + 4, 1)
  return Buffer.concat([head, fields])
}

/** Answers as a server does that is starting, and hands the connection on to the real one from then on. */
function answer(client: Socket): void {
  asked += 1
  client.on("error", () => {})
  if (refusals > 0) {
    refusals -= 1
    client.once("data", () => client.end(refusal("the database system is starting up")))
    return
  }
  const behind = connect(server.port, "127.0.0.1")
  behind.on("error", () => client.destroy())
  client.pipe(behind).pipe(client)
}

beforeAll(async () => {
  server = await sharedPostgres()
  door = createServer(answer).listen(0, "127.0.0.1")
  await once(door, "listening")
  const address = door.address()
  port = typeof address === "object" ? (address?.port ?? 0) : 0
})
afterAll(() => door.close())

// In clear: the door is no party to TLS.
const throughTheDoor = () =>
  connectionTo(server, "postgres", { host: "127.0.0.1", port: String(port), sslmode: "disable" })

it("a server that says it is starting is waited for", async () => {
  refusals = 2
  asked = 0
  const session = await openTestSession(server, throughTheDoor())
  expect(await session.query("SELECT 1 AS one")).toEqual([{ one: 1 }])
  expect(asked).toBe(3)
  await session.close()
})

it("the wait ends at once where the run does", async () => {
  refusals = 1000
  const stop = new AbortController()
  setTimeout(() => stop.abort(), 300)
  const began = Date.now()
  await expect(openTestSession(server, throughTheDoor(), { signal: stop.signal })).rejects.toThrow()
  expect(Date.now() - began).toBeLessThan(10_000)
})

it.each([
  ["FATAL:  the database system is starting up", true],
  ["FATAL:  the database system is not yet accepting connections", true],
  ["FATAL:  the database system is in recovery mode", true],
  [
    'could not connect to orders on shop.abc.eu-central-1.rds.amazonaws.com: connection to server at "x": timeout expired',
    true,
  ],
  ["could not connect to orders on db.example.com: timeout expired", false],
  ["FATAL:  the database system is shutting down", false],
  ['FATAL:  password authentication failed for user "app"', false],
])("%s: %s", (message, expected) => {
  expect(isStarting(new PgstowError("postgres", message))).toBe(expected)
})
