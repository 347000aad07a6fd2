import type { Log } from "../console/log.ts"
import { messageOf, type PgstowError } from "../errors.ts"
import { ChildError } from "../processes/child-error.ts"
import type { Channel } from "./channel.ts"
import { type PgstowEvent, publishEvent, reasonOf } from "./events.ts"
import { notify } from "./notify.ts"

const failed = {
  backup: "Backup Failed",
  verify: "Verification Failed",
  restore: "Restore Failed",
  drill: "Drill Failed",
  cleanup: "Cleanup Failed",
} as const

/** What there is to say of a command that failed; nothing of one that changes nothing. */
export function failureEvents(command: string, database: string, failure: PgstowError): PgstowEvent[] {
  if (!(command in failed)) return []
  // The keys of `failed` are its type's.
  const type = failed[command as keyof typeof failed]
  const output = lastWords(failure)
  return [{ type, database, ...reasonOf(failure), ...(output.length === 0 ? {} : { output }) }]
}

const linesTold = 10

/** The last lines that a program said whose failure is behind `error`. */
function lastWords(error: unknown): string[] {
  if (error instanceof ChildError) return error.stderr.trim().split("\n").slice(-linesTold)
  return error instanceof Error && error.cause !== undefined ? lastWords(error.cause) : []
}

export type Audience = {
  /** An event bus, where there is one. */
  readonly bus: string | undefined
  readonly channels: readonly Channel[]
  readonly log: Log
  /** How long the bus and the channels may take for all events together. 10 s by default. */
  readonly limitMs?: number
  /** Ends all attempts: whoever has not been told by then is not. */
  readonly signal?: AbortSignal
}

/**
 * Puts events on the event bus, and tells channels of them. One that does not take them is a warning: what was
 * done is done, and the exit code says so.
 */
export async function announce(
  events: readonly PgstowEvent[],
  { bus, channels, log, limitMs = 10_000, signal }: Audience,
): Promise<void> {
  const endsAt = Date.now() + limitMs
  for (const event of events) {
    const leftMs = Math.max(0, endsAt - Date.now())
    const inTime = AbortSignal.timeout(leftMs)
    const publishing = { signal: signal ? AbortSignal.any([inTime, signal]) : inTime }
    const published = bus === undefined ? undefined : publishEvent(bus, event, publishing)
    const warn = (error: unknown) => log.warn(messageOf(error))
    await Promise.all([
      published?.catch(warn),
      notify(event, channels, { log, limitMs: leftMs, ...(signal ? { signal } : {}) }),
    ])
  }
}
