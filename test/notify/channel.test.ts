import { expect, test } from "vitest"
import { parseChannels } from "../../task/notify/channel.ts"
import { failureOf } from "../support/failure.ts"

test.each([
  ["https://hooks.slack.com/services/T0/B0/x", "slack", "all"],
  ["level=error,https://discord.com/api/webhooks/1/x", "discord", "error"],
  ["https://discordapp.com/api/webhooks/1/x", "discord", "all"],
  ["https://acme.webhook.office.com/webhookb2/x", "teams", "all"],
  ["https://prod-1.westeurope.logic.azure.com:443/workflows/x?sig=y", "teams", "all"],
  ["https://hc-ping.com/5f2b7d1c-0000-4000-8000-000000000000", "healthcheck", "all"],
  ["https://checks.example.com/ping/5f2b7d1c-0000-4000-8000-000000000000", "healthcheck", "all"],
  ["https://checks.example.com/ping/AbCdEfGhIjKlMnOpQrStUv/nightly", "healthcheck", "all"],
  ["https://example.com/hook", "webhook", "all"],
  ["https://example.com/ping/me", "webhook", "all"],
  ["https://hooks.slack.com.example.com/x", "webhook", "all"],
  ["level=none,format=slack,http://chat.example.com/hooks/a,b=c", "slack", "none"],
])("%s is a channel of the kind %s, told of %s", (text, kind, level) => {
  const [channel] = parseChannels([text])
  expect(channel).toMatchObject({ kind, level, url: text.replace(/^.*?(?=http)/, "") })
})

test.each([
  ["hooks.slack.com/services/SECRET", "is not an http URL"],
  ["ftp://example.com/SECRET", "is not an http URL"],
  ["level=loud,https://example.com/SECRET", "unknown level loud"],
  ["format=fax,https://example.com/SECRET", "unknown format fax"],
  ["colour=red,https://example.com/SECRET", "unknown option colour"],
  ["level=error,https://hc-ping.com/SECRET", "healthcheck that gets errors only"],
])("%s is refused, and not repeated", (text, problem) => {
  const error = failureOf(() => parseChannels(["https://example.com", text]))
  expect(error.kind).toBe("usage")
  expect(error.message).toContain("notification channel 2")
  expect(error.message).toContain(problem)
  expect(`${error.message} ${error.hint}`).not.toContain("SECRET")
})

test("a healthcheck that gets errors only is answered with how to give it all, also in a file of settings", () => {
  const { hint } = failureOf(() => parseChannels(["level=error,https://hc-ping.com/SECRET"]))
  expect(hint).toContain("level=all")
  expect(hint).toContain('"level": "all"')
})
