import { setTimeout as wait } from "node:timers/promises"
import { PgstowError } from "../errors.ts"

const everyMs = 2_000
const longestMs = 120_000

/**
 * A server that says that it will be there, in PostgreSQL's own words; or one of RDS that does not answer in time, as
 * an Aurora that paused itself does until it has woken up.
 */
const starting =
  /the database system is (starting up|not yet accepting connections|in recovery mode)|\.rds\.amazonaws\.com\b.*timeout expired/s

/** Tries again while a server is starting, for two minutes. Rejects with the error of the last try. */
export async function whileStarting<Result>(
  connect: () => Promise<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  for (const until = Date.now() + longestMs; ; ) {
    try {
      return await connect()
    } catch (error) {
      if (!isStarting(error) || Date.now() + everyMs > until) throw error
    }
    await wait(everyMs, undefined, { signal }).catch(() => {})
    signal?.throwIfAborted()
  }
}

/** Whether a connection failed for a server that is about to be there. */
export function isStarting(error: unknown): boolean {
  return error instanceof PgstowError && error.kind === "postgres" && starting.test(error.message)
}
