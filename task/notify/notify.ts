import { setTimeout as sleep } from "node:timers/promises"
import type { Log } from "../console/log.ts"
import { messageOf } from "../errors.ts"
import type { Channel } from "./channel.ts"
import { type Delivery, deliveryFor } from "./delivery.ts"
import type { PgstowEvent } from "./events.ts"

export type NotifyOptions = {
  readonly log: Log
  /** Waits before each further attempt, in milliseconds. */
  readonly retryDelaysMs?: readonly number[]
  /** How long one attempt may take. */
  readonly attemptMs?: number
  /** How long all attempts may take together. */
  readonly limitMs?: number
  /** Ends all attempts: whoever has not been told by then is not. */
  readonly signal?: AbortSignal
}

/**
 * Tells every channel that wants to know of it about an event, all at once. Resolves within `limitMs`, whatever
 * happens: a channel that could not be told is named in a warning, and nothing else fails for it.
 */
export async function notify(
  event: PgstowEvent,
  channels: readonly Channel[],
  { log, retryDelaysMs = [1_000, 3_000, 6_000], attemptMs = 5_000, limitMs = 30_000, signal }: NotifyOptions,
): Promise<void> {
  const endsAt = Date.now() + limitMs
  const tell = async (channel: Channel) => {
    const delivery = deliveryFor(channel, event)
    if (!delivery) return
    for (const delayMs of [...retryDelaysMs, Number.POSITIVE_INFINITY]) {
      const timeout = AbortSignal.timeout(Math.min(attemptMs, Math.max(0, endsAt - Date.now())))
      const failure = await post(delivery, AbortSignal.any(signal ? [timeout, signal] : [timeout]))
      if (!failure) return
      const waitMs = Math.max(delayMs, failure.waitMs)
      if (!failure.again || Date.now() + waitMs >= endsAt || signal?.aborted)
        return log.warn(`${channel.name} did not take "${event.type}": ${failure.problem}`)
      // Given up meanwhile, the next attempt ends at once and says so.
      await sleep(waitMs, undefined, signal ? { signal } : {}).catch(() => {})
    }
  }
  await Promise.all(channels.map(tell))
}

type Failure = { readonly problem: string; readonly again: boolean; readonly waitMs: number }

/** Undefined where the other side took it. No problem names the URL. */
async function post({ url, contentType, body }: Delivery, signal: AbortSignal): Promise<Failure | undefined> {
  const { address, headers } = withoutLogin(url)
  try {
    const response = await fetch(address, {
      method: "POST",
      headers: { ...headers, "content-type": contentType, "user-agent": "pgstow" },
      body,
      signal,
      // Whoever answers there may send us anywhere, also to this machine itself.
      redirect: "manual",
    })
    await response.body?.cancel()
    if (response.ok) return undefined
    if (response.status >= 300 && response.status < 400)
      return {
        problem: `it answered ${response.status}, a redirect: give its new address`,
        again: false,
        waitMs: 0,
      }
    const again = response.status >= 500 || response.status === 429 || response.status === 408
    const waitMs = 1000 * Number(response.headers.get("retry-after") ?? 0) || 0
    return { problem: `it answered ${response.status}`, again, waitMs }
  } catch (error) {
    if (signal.aborted) return { problem: "it did not answer in time", again: true, waitMs: 0 }
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
    return { problem: messageOf(cause), again: true, waitMs: 0 }
  }
}

/** A URL's name and password as a header: fetch() refuses a URL that has them, by an error that repeats it whole. */
function withoutLogin(url: string): { address: URL; headers: Record<string, string> } {
  const address = new URL(url)
  const { username, password } = address
  if (username === "" && password === "") return { address, headers: {} }
  address.username = ""
  address.password = ""
  const login = Buffer.from(`${decoded(username)}:${decoded(password)}`).toString("base64")
  return { address, headers: { authorization: `Basic ${login}` } }
}

/** A lone % stands for itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
