import { expect, onTestFinished, test } from "vitest"
import type { Log } from "../../task/console/log.ts"
import { announce } from "../../task/notify/announce.ts"
import { parseChannels } from "../../task/notify/channel.ts"
import { startWebhook } from "../support/webhook.ts"
import { failed } from "./events.ts"

test("many events to a channel that is silent take no longer than one", async () => {
  const webhook = await startWebhook()
  onTestFinished(() => webhook.stop())
  for (let request = 0; request < 80; request++) webhook.answers.push("silence")
  const warnings: string[] = []
  const ignore = () => {}
  const warn = (message: string) => void warnings.push(message)
  const log: Log = { debug: ignore, info: ignore, warn, error: ignore, close: ignore }
  const startedAt = Date.now()
  const events = Array.from({ length: 40 }, () => failed)
  await announce(events, { bus: undefined, channels: parseChannels([webhook.origin]), log, limitMs: 500 })
  // One after the other they would take 20 s.
  expect(Date.now() - startedAt).toBeLessThan(15_000)
  expect(warnings).toHaveLength(40)
})
