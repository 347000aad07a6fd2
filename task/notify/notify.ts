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
}

/**
 * Tells every channel that wants to know of it about an event, all at once. Resolves within `limitMs`, whatever
 * happens: a channel that could not be told is named in a warning, and nothing else fails for it.
 */
export async function notify(
  event: PgstowEvent,
  channels: readonly Channel[],
  { log, retryDelaysMs = [1_000, 3_000, 6_000], attemptMs = 10_000, limitMs = 30_000 }: NotifyOptions,
): Promise<void> {
  const endsAt = Date.now() + limitMs
  const tell = async (channel: Channel) => {
    const delivery = deliveryFor(channel, event)
    if (!delivery) return
    for (const delayMs of [...retryDelaysMs, Number.POSITIVE_INFINITY]) {
      const timeout = AbortSignal.timeout(Math.min(attemptMs, Math.max(0, endsAt - Date.now())))
      const failure = await post(delivery, timeout)
      if (!failure) return
      const waitMs = Math.max(delayMs, failure.waitMs)
      if (!failure.again || Date.now() + waitMs >= endsAt)
        return log.warn(`${channel.name} was not told of "${event.type}": ${failure.problem}`)
      await sleep(waitMs)
    }
  }
  await Promise.all(channels.map(tell))
}

type Failure = { readonly problem: string; readonly again: boolean; readonly waitMs: number }

/** Undefined where the other side took it. No problem names the URL. */
async function post({ url, contentType, body }: Delivery, signal: AbortSignal): Promise<Failure | undefined> {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": contentType, "user-agent": "pgstow" },
      body,
      signal,
    })
    await response.body?.cancel()
    if (response.ok) return undefined
    const again = response.status >= 500 || response.status === 429 || response.status === 408
    const waitMs = 1000 * Number(response.headers.get("retry-after") ?? 0) || 0
    return { problem: `it answered ${response.status}`, again, waitMs }
  } catch (error) {
    if (signal.aborted) return { problem: "it did not answer in time", again: true, waitMs: 0 }
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
    return { problem: messageOf(cause), again: true, waitMs: 0 }
  }
}
