import { messageOf, type PgstowError } from "./errors.ts"
import { type PgstowEvent, publishEvent } from "./events.ts"
import type { Log } from "./log.ts"

const failed = {
  backup: "Backup Failed",
  verify: "Verification Failed",
  restore: "Restore Failed",
  cleanup: "Cleanup Failed",
} as const

/** What there is to say of a command that failed; nothing of one that changes nothing. */
export function failureEvents(command: string, database: string, failure: PgstowError): PgstowEvent[] {
  if (!(command in failed)) return []
  // The keys of `failed` are its type's.
  const type = failed[command as keyof typeof failed]
  const hint = failure.hint === undefined ? {} : { hint: failure.hint }
  return [{ type, database, error: messageOf(failure), ...hint }]
}

/**
 * Puts events on the event bus, where there is one. A bus that does not take them is a warning: what was done is
 * done, and the exit code tells of that.
 */
export async function announce(
  events: readonly PgstowEvent[],
  bus: string | undefined,
  log: Log,
): Promise<void> {
  if (bus === undefined) return
  for (const event of events)
    await publishEvent(bus, event).catch((error: unknown) => log.warn(messageOf(error)))
}
