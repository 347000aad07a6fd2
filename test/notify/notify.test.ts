import { afterEach, beforeEach, expect, test } from "vitest"
import type { Log } from "../../task/console/log.ts"
import { parseChannels } from "../../task/notify/channel.ts"
import type { PgstowEvent } from "../../task/notify/events.ts"
import { notify } from "../../task/notify/notify.ts"
import { startWebhook, type Webhook } from "../support/webhook.ts"
import { events, failed, succeeded } from "./events.ts"

let webhook: Webhook
let warnings: string[]

beforeEach(async () => {
  webhook = await startWebhook()
  warnings = []
})
afterEach(() => webhook.stop())

test.each([
  ["slack", "blocks"],
  ["discord", "embeds"],
  ["teams", "attachments"],
  ["webhook", "outcome"],
])("%s is sent its own form", async (format, key) => {
  await tell(succeeded, `format=${format},${webhook.origin}/SECRET`)
  expect(webhook.seen).toHaveLength(1)
  expect(webhook.seen[0]?.headers["content-type"]).toBe("application/json")
  expect(JSON.parse(webhook.seen[0]?.body ?? "")).toHaveProperty(key)
})

test("a healthcheck is pinged at the start, after a good backup and after a failed one, and not otherwise", async () => {
  for (const event of events) await tell(event, `format=healthcheck,${webhook.origin}/ping/uuid?create=1`)
  expect(webhook.seen.map(({ path }) => path)).toEqual([
    "/ping/uuid/start?create=1",
    "/ping/uuid?create=1",
    "/ping/uuid?create=1",
    "/ping/uuid/fail?create=1",
  ])
  expect(webhook.seen[3]?.body).toContain("permission denied for table invoices")
})

test.each([
  ["all", 12],
  ["error", 7],
  ["none", 0],
])("level %s hears of %i of the events", async (level, count) => {
  for (const event of events) await tell(event, `level=${level},${webhook.origin}/`)
  expect(webhook.seen).toHaveLength(count)
  if (level === "error")
    for (const { body } of webhook.seen) expect(body).toMatch(/"outcome":"(failure|warning)"/)
})

test("a channel that fails for a moment is tried again, as late as it asks for", async () => {
  webhook.answers.push({ status: 503 }, "hang up", "silence", {
    status: 429,
    headers: { "retry-after": "0.2" },
  })
  const startedAt = Date.now()
  await tell(failed, `${webhook.origin}/`, { retryDelaysMs: [1, 1, 1, 1], attemptMs: 1_000 })
  expect(webhook.seen).toHaveLength(5)
  expect(Date.now() - startedAt).toBeGreaterThan(1_150)
  expect(warnings).toEqual([])
})

test("a channel that refuses for good is not tried again", async () => {
  webhook.answers.push({ status: 404 })
  await tell(failed, `${webhook.origin}/SECRET`)
  expect(webhook.seen).toHaveLength(1)
  expect(warnings).toEqual([
    `webhook at ${webhook.origin.slice(7)} did not take "Backup Failed": it answered 404`,
  ])
})

test.each([
  ["user:SECRET", "user:SECRET"],
  ["us%40er:S%3AECRET%2F", "us@er:S:ECRET/"],
  [":SECRET", ":SECRET"],
  ["100%25:50%SECRET", "100%:50%SECRET"],
])("name and password in a URL go as basic authentication: %s", async (login, decoded) => {
  await tell(failed, `http://${login}@${webhook.origin.slice("http://".length)}/hook`)
  expect(warnings).toEqual([])
  expect(webhook.seen[0]?.path).toBe("/hook")
  expect(webhook.seen[0]?.headers.authorization).toBe(`Basic ${Buffer.from(decoded).toString("base64")}`)
})

test("what a channel with a password fails by does not name the password", async () => {
  webhook.answers.push({ status: 404 })
  await tell(
    failed,
    `http://user:SECRET@${webhook.origin.slice("http://".length)}/SECRET http://user:SECRET@127.0.0.1:1/SECRET`,
    {
      retryDelaysMs: [],
    },
  )
  expect(warnings).toHaveLength(2)
  expect(warnings.join("\n")).not.toContain("SECRET")
})

test("a channel that never answers, or is not there, is given up in time, and named without its URL", async () => {
  webhook.answers.push("silence", "silence", "silence")
  const gone = await startWebhook()
  gone.stop()
  const startedAt = Date.now()
  await tell(failed, `${webhook.origin}/SECRET ${gone.origin}/SECRET`, {
    retryDelaysMs: [10, 60_000],
    attemptMs: 1_000,
    limitMs: 3_000,
  })
  expect(Date.now() - startedAt).toBeLessThan(30_000)
  expect(warnings).toHaveLength(2)
  expect(warnings.join("\n")).toContain("it did not answer in time")
  expect(warnings.join("\n")).toContain("ECONNREFUSED")
  expect(warnings.join("\n")).not.toContain("SECRET")
})

test("a redirect is not followed, and counts as not told", async () => {
  const elsewhere = await startWebhook()
  for (const status of [301, 302, 303, 307, 308]) {
    webhook.answers.push({ status, headers: { location: `${elsewhere.origin}/inside` } })
    await tell(failed, `${webhook.origin}/SECRET`)
  }
  elsewhere.stop()
  expect(elsewhere.seen).toEqual([])
  expect(webhook.seen).toHaveLength(5)
  expect(warnings).toHaveLength(5)
  expect(warnings[0]).toMatch(
    /did not take "Backup Failed": it answered 301, a redirect: give its new address$/,
  )
})

test("a channel that is silent is given up when that is asked for", async () => {
  webhook.answers.push("silence")
  const over = new AbortController()
  const startedAt = Date.now()
  setTimeout(() => over.abort(), 100)
  await tell(failed, `${webhook.origin}/`, { signal: over.signal, attemptMs: 60_000, limitMs: 60_000 })
  expect(Date.now() - startedAt).toBeLessThan(30_000)
  expect(warnings).toEqual([expect.stringContaining("it did not answer in time")])
})

test("one channel that fails keeps no other from hearing", async () => {
  webhook.answers.push({ status: 400 })
  await tell(failed, `${webhook.origin}/first ${webhook.origin}/second`)
  expect(webhook.seen.map(({ path }) => path).sort()).toEqual(["/first", "/second"])
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
