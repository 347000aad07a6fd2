import { PgstowError } from "../errors.ts"

const kinds = ["slack", "discord", "teams", "healthcheck", "webhook"] as const
const levels = ["all", "error", "none"] as const

/** Somewhere to tell people what happened. */
export type Channel = {
  readonly kind: (typeof kinds)[number]
  /** Whether it gets everything, failures and warnings, or nothing. A healthcheck needs everything, or nothing. */
  readonly level: (typeof levels)[number]
  /** A secret: whoever has it may write there. */
  readonly url: string
  /** "slack at hooks.slack.com": for messages and logs. */
  readonly name: string
}

const example = "level=error,https://hooks.slack.com/services/..."

/**
 * Reads channels, each a URL with options before it: `level=error,https://…`, `format=slack,level=all,https://…`.
 * The format is told by the URL's host; `format` is for a service of one's own (Mattermost takes slack's).
 * Throws a usage error that never repeats the URL.
 */
export function parseChannels(texts: readonly string[]): Channel[] {
  return texts.map((text, index) => {
    const fail = (what: string, hint: string) =>
      new PgstowError("usage", `notification channel ${index + 1} ${what}`, { hint })
    const [, options = "", address = ""] = /^((?:[a-z]+=[^,/]*,)*)(.*)$/s.exec(text) ?? []
    const url = URL.canParse(address) ? new URL(address) : undefined
    if (!url || !["http:", "https:"].includes(url.protocol))
      throw fail("is not an http URL", `Write it like ${example}`)

    const given = new Map(
      [...options.matchAll(/(.*?)=(.*?),/g)].map(([, name = "", value = ""]) => [name, value]),
    )
    const level = given.get("level") ?? "all"
    const format = given.get("format") ?? kindOf(url)
    const stranger = [...given.keys()].find((name) => name !== "level" && name !== "format")
    if (stranger !== undefined) throw fail(`has an unknown option ${stranger}`, `Write it like ${example}`)
    if (!isOneOf(levels, level))
      throw fail(`has an unknown level ${level}`, `Choose one of ${levels.join(", ")}.`)
    if (!isOneOf(kinds, format))
      throw fail(`has an unknown format ${format}`, `Choose one of ${kinds.join(", ")}.`)
    if (format === "healthcheck" && level === "error")
      throw fail(
        "is a healthcheck that gets errors only",
        'It counts on hearing of every good backup: give it level=all, which is "level": "all" in a file of settings.',
      )
    return { kind: format, level, url: address, name: `${format} at ${url.host}` }
  })
}

function kindOf({ hostname, pathname }: URL): string {
  const under = (...domains: string[]) => domains.some((domain) => `.${hostname}`.endsWith(`.${domain}`))
  if (under("slack.com", "slack-gov.com")) return "slack"
  if (under("discord.com", "discordapp.com")) return "discord"
  if (under("webhook.office.com", "logic.azure.com", "environment.api.powerplatform.com")) return "teams"
  // healthchecks.io, and its open-source server under any name: /ping/<uuid> or /ping/<key>/<slug>.
  if (under("hc-ping.com") || /^\/ping\/[0-9A-Za-z_-]{22,36}(\/[a-z0-9_-]+)?\/?$/.test(pathname))
    return "healthcheck"
  return "webhook"
}

function isOneOf<Value extends string>(values: readonly Value[], text: string): text is Value {
  return values.some((value) => value === text)
}
