import type { Log } from "./console/log.ts"
import type { Progress } from "./console/progress.ts"

/** What every command is handed beside its own options. */
export type Context = {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Log
  readonly progress: Progress
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal
  readonly now: () => Date
}
