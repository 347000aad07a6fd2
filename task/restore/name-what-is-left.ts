import { formatName } from "../console/format.ts"
import { identifier } from "../core/quote.ts"
import { generalHints, PgstowError } from "../errors.ts"

/** A database that a restore has made. */
export type Left = {
  readonly database: string
  /** `perhaps`: nobody heard whether it was made. `part`: of what was to be restored. `all`: of it. */
  readonly holds: "perhaps" | "part" | "all"
}

/** Says what is there from now on: a database, or none that a message must name. */
export type Leaves = (left: Left | undefined) => void

/**
 * Does work that makes a database, and says by `leaves` what stands there. Where the work rejects, so does this:
 * with a PgstowError whose hint names the database and gives the statement that drops it. A signal goes before what
 * it made fail.
 */
export async function tellingLeft<T>(signal: AbortSignal, work: (leaves: Leaves) => Promise<T>): Promise<T> {
  let left: Left | undefined
  try {
    return await work((now) => {
      left = now
    })
  } catch (error) {
    const ended: unknown = signal.aborted && signal.reason instanceof PgstowError ? signal.reason : error
    throw left === undefined ? ended : withLeft(ended, left)
  }
}

function withLeft(error: unknown, left: Left): PgstowError {
  if (!(error instanceof PgstowError))
    return new PgstowError("unexpected", "something unexpected went wrong", {
      cause: error,
      hint: `${generalHints.unexpected} ${inWords(left)}`,
    })
  const { kind, message, cause, stack, hint = generalHints[kind] } = error
  const failure = new PgstowError(kind, message, { cause, hint: `${hint} ${inWords(left)}` })
  // What is wrong is where it was seen first.
  if (stack !== undefined) failure.stack = stack
  return failure
}

function inWords({ database, holds }: Left): string {
  const name = formatName(database)
  const quoted = formatName(identifier(database))
  // The server may go on for a while with what it was asked for last.
  if (holds === "perhaps")
    return `The database ${name} may be there, empty: drop it (DROP DATABASE IF EXISTS ${quoted} WITH (FORCE);).`
  return holds === "part"
    ? `The database ${name} holds what was restored so far: do not use it, and drop it (DROP DATABASE ${quoted} WITH (FORCE);).`
    : `The database ${name} holds all that was restored: use it as it is, or drop it (DROP DATABASE ${quoted};).`
}
