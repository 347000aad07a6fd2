import type { Log } from "./console/log.ts"
import type { Progress } from "./console/progress.ts"
import type { PgstowError } from "./errors.ts"
import type { Prefix } from "./processes/program.ts"

/** What every command is handed beside its own options. */
export type Context = {
  readonly env: Readonly<Record<string, string | undefined>>
  /** What PostgreSQL's programs run through, where they do not run here. */
  readonly prefix?: Prefix | undefined
  readonly log: Log
  readonly progress: Progress
  /** Aborted by SIGINT and SIGTERM, and by `end`. */
  readonly signal: AbortSignal
  /** Aborts `signal` from within, where something that the command needs all the time is lost. */
  readonly end?: ((reason: PgstowError) => void) | undefined
  /** Aborted when the command is over. */
  readonly over?: AbortSignal | undefined
  readonly now: () => Date
}
