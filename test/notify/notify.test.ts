import { once } from "node:events"
import { createServer, type IncomingHttpHeaders, type Server } from "node:http"
import { text } from "node:stream/consumers"
import { afterEach, beforeEach, expect, test } from "vitest"
import type { PgstowEvent } from "../../task/events.ts"
import type { Log } from "../../task/log.ts"
import { parseChannels } from "../../task/notify/channel.ts"
import { notify } from "../../task/notify/notify.ts"
import { events, failed, succeeded } from "./events.ts"

type Answer = { readonly status: number; readonly headers?: Record<string, string> } | "hang up" | "silence"

let server: Server
let origin: string
let answers: Answer[]
let seen: { path: string; headers: IncomingHttpHeaders; body: string }[]
let warnings: string[]

beforeEach(async () => {
  answers = []
  seen = []
  warnings = []
  server = createServer((request, response) => {
    const answer = answers.shift() ?? { status: 200 }
    const reply = (body: string) => {
      seen.push({ path: request.url ?? "", headers: request.headers, body })
      if (answer === "hang up") request.socket.destroy()
      else if (answer !== "silence") response.writeHead(answer.status, answer.headers).end("ok")
    }
    text(request).then(reply, () => {})
  })
  origin = await listen(server)
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

test.each([
  ["slack", "blocks"],
  ["discord", "embeds"],
  ["teams", "attachments"],
  ["webhook", "outcome"],
])("%s is sent its own form", async (format, key) => {
  await tell(succeeded, `format=${format},${origin}/SECRET`)
  expect(seen).toHaveLength(1)
  expect(seen[0]?.headers["content-type"]).toBe("application/json")
  expect(JSON.parse(seen[0]?.body ?? "")).toHaveProperty(key)
})

test("a healthcheck is pinged at the start, after a good backup and after a failed one, and not otherwise", async () => {
  for (const event of events) await tell(event, `format=healthcheck,${origin}/ping/uuid?create=1`)
  expect(seen.map(({ path }) => path)).toEqual([
    "/ping/uuid/start?create=1",
    "/ping/uuid?create=1",
    "/ping/uuid?create=1",
    "/ping/uuid/fail?create=1",
  ])
  expect(seen[3]?.body).toContain("permission denied for table invoices")
})

test.each([
  ["all", 10],
  ["error", 6],
  ["none", 0],
])("level %s hears of %i of the events", async (level, count) => {
  for (const event of events) await tell(event, `level=${level},${origin}/`)
  expect(seen).toHaveLength(count)
  if (level === "error") for (const { body } of seen) expect(body).toMatch(/"outcome":"(failure|warning)"/)
})

test("a channel that fails for a moment is tried again, as late as it asks for", async () => {
  answers = [{ status: 503 }, "hang up", "silence", { status: 429, headers: { "retry-after": "0.2" } }]
  const startedAt = Date.now()
  await tell(failed, `${origin}/`, { retryDelaysMs: [1, 1, 1, 1], attemptMs: 150 })
  expect(seen).toHaveLength(5)
  expect(Date.now() - startedAt).toBeGreaterThan(300)
  expect(warnings).toEqual([])
})

test("a channel that refuses for good is not tried again", async () => {
  answers = [{ status: 404 }]
  await tell(failed, `${origin}/SECRET`)
  expect(seen).toHaveLength(1)
  expect(warnings).toEqual([`webhook at ${origin.slice(7)} was not told of "Backup Failed": it answered 404`])
})

test("a channel that never answers, or is not there, is given up in time, and named without its URL", async () => {
  answers = ["silence", "silence", "silence"]
  const gone = createServer()
  const goneOrigin = await listen(gone)
  gone.close()
  const startedAt = Date.now()
  await tell(failed, `${origin}/SECRET ${goneOrigin}/SECRET`, {
    retryDelaysMs: [10, 60_000],
    attemptMs: 100,
    limitMs: 500,
  })
  expect(Date.now() - startedAt).toBeLessThan(2000)
  expect(warnings).toHaveLength(2)
  expect(warnings.join("\n")).toContain("it did not answer in time")
  expect(warnings.join("\n")).toContain("ECONNREFUSED")
  expect(warnings.join("\n")).not.toContain("SECRET")
})

test("one channel that fails keeps no other from hearing", async () => {
  answers = [{ status: 400 }]
  await tell(failed, `${origin}/first ${origin}/second`)
  expect(seen.map(({ path }) => path).sort()).toEqual(["/first", "/second"])
})

function tell(event: PgstowEvent, channels: string, options = {}): Promise<void> {
  const ignore = () => {}
  const log: Log = {
    debug: ignore,
    info: ignore,
    warn: (message) => warnings.push(message),
    error: ignore,
    close: ignore,
  }
  return notify(event, parseChannels(channels.split(" ")), { log, retryDelaysMs: [1, 1], ...options })
}

async function listen(one: Server): Promise<string> {
  one.listen(0, "127.0.0.1")
  await once(one, "listening")
  const address = one.address()
  if (address === null || typeof address === "string") throw new TypeError("a TCP server has a port")
  return `http://127.0.0.1:${address.port}`
}
