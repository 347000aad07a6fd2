import type { PgstowEvent } from "./events.ts"
import { messageFor, plainText } from "./message.ts"

/** What healthchecks.io keeps of a body: the rest is cut off. */
const keptCharacters = 10_000

/**
 * The ping for an event, by the convention of healthchecks.io: the URL with /start before a backup, the URL
 * itself after a good one, with /fail after one that failed. Undefined for what is no backup.
 */
export function pingFor(pingUrl: string, event: PgstowEvent): { url: string; body: string } | undefined {
  const ping = (ending: string, body: string) => {
    const url = new URL(pingUrl)
    url.pathname = url.pathname.replace(/\/$/, "") + ending
    return { url: url.href, body: body.slice(0, keptCharacters) }
  }
  if (event.type === "Backup Started") return ping("/start", "")
  if (event.type === "Backup Succeeded") return ping("", plainText(messageFor(event)))
  if (event.type === "Backup Failed") return ping("/fail", plainText(messageFor(event)))
  return undefined
}
