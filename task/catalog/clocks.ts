import { formatDuration } from "../console/format.ts"
import type { Storage } from "../storage/storage.ts"

/** How far two clocks may differ before that is told. */
const toleranceMs = 5 * 60 * 1000

/** Whether `time` lies so far ahead of `now` that the clock which said it was wrong, or this one is. */
export function isFromTheFuture(time: Date, now: Date): boolean {
  return time.getTime() - now.getTime() > toleranceMs
}

/**
 * By how many seconds this machine's clock is ahead of the storage's (negative where it is behind). Null where
 * they agree to five minutes, and where the storage has not told its time.
 */
export function clockAheadSeconds(storage: Storage, now: Date): number | null {
  const theirs = storage.clock()
  if (theirs === undefined) return null
  const ahead = now.getTime() - theirs.getTime()
  return Math.abs(ahead) > toleranceMs ? Math.round(ahead / 1000) : null
}

/** "this machine's clock is 1 h 0 min ahead of that of s3://…". */
export function describeClock(storageUrl: string, aheadSeconds: number): string {
  const side = aheadSeconds > 0 ? "ahead of" : "behind"
  const minutes = Math.round(Math.abs(aheadSeconds) / 60)
  return `this machine's clock is ${formatDuration(minutes * 60)} ${side} that of ${storageUrl}`
}
