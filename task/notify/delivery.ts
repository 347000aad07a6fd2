import type { Channel } from "./channel.ts"
import { discordBody } from "./discord.ts"
import type { PgstowEvent } from "./events.ts"
import { pingFor } from "./healthcheck.ts"
import { messageFor } from "./message.ts"
import { slackBody } from "./slack.ts"
import { teamsBody } from "./teams.ts"
import { webhookBody } from "./webhook.ts"

/** What is posted to a channel. */
export type Delivery = { readonly url: string; readonly contentType: string; readonly body: string }

/** What `channel` is sent of `event`; undefined where it is not to hear of it. */
export function deliveryFor(channel: Channel, event: PgstowEvent): Delivery | undefined {
  if (channel.level === "none") return undefined
  if (channel.kind === "healthcheck") {
    const ping = pingFor(channel.url, event)
    return ping && { ...ping, contentType: "text/plain; charset=utf-8" }
  }
  if (event.type === "Backup Started") return undefined
  const message = messageFor(event)
  if (channel.level === "error" && message.outcome === "success") return undefined
  const bodies = { slack: slackBody, discord: discordBody, teams: teamsBody, webhook: webhookBody }
  const body = JSON.stringify(bodies[channel.kind](message, event))
  return { url: channel.url, contentType: "application/json", body }
}
