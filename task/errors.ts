/** The exit codes of the program, one for each kind of failure. The README's table is made from this one. */
export const exitCodes = {
  /** An unexpected failure. */
  unexpected: 1,
  /** A flag, a setting or an argument is wrong. */
  usage: 2,
  /** The PostgreSQL server, or a program (pg_dump, psql, zstd …): not reached, refused, or failed midway. */
  postgres: 3,
  /** A storage: not reached, refused, full, or failed midway. */
  storage: 4,
  /** The backup is complete in some storages and failed in others. */
  partial: 5,
  /** What is stored is not what the manifest says. */
  damaged: 6,
  /** A key is missing or wrong. */
  key: 7,
  /** No such backup. */
  notFound: 8,
  /** The restore ran to its end, and PostgreSQL refused some of it. */
  restoreErrors: 9,
  /** Nothing was done because nobody said yes. */
  notConfirmed: 10,
  /** The newest verified backup is older than the limit. */
  overdue: 11,
  /** A clock is wrong: this machine's, a storage's, or that of who made a backup dated in the future. */
  clock: 12,
  /** A backup is not signed by a key that was asked for. */
  signature: 13,
  /** The doctor found nothing that stops a backup, but something to put right. */
  warnings: 14,
  /** SIGINT. */
  interrupted: 130,
  /** SIGTERM. */
  terminated: 143,
} as const

export type FailureKind = keyof typeof exitCodes

/**
 * A failure that a person can act on.
 *
 * `message` says what failed and on what, lower case, without a full stop; `hint` is a sentence that says
 * what to do, by default what the cause says. Neither ever holds a secret.
 */
export class PgstowError extends Error {
  readonly kind: FailureKind
  readonly hint: string | undefined

  constructor(
    kind: FailureKind,
    message: string,
    options: { cause?: unknown; hint?: string | undefined } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = "PgstowError"
    this.kind = kind
    this.hint = options.hint ?? (options.cause instanceof PgstowError ? options.cause.hint : undefined)
  }

  get exitCode(): number {
    return exitCodes[this.kind]
  }
}

/** What to do about a failure whose own cause says nothing of that. */
export const generalHints: Readonly<Record<FailureKind, string>> = {
  unexpected: "Run it again with --debug and report what it prints.",
  usage: "See `pgstow --help`.",
  postgres: "Look into the server's log, which may say more, then run it again.",
  storage: "Check that the storage can be reached, and what this user may do there.",
  partial: "Correct what is wrong with that storage and back up again; the good copies stay.",
  damaged: "Use another copy of the backup, or another backup.",
  key: "Check that it is the key that belongs to this backup, or to this file.",
  notFound: "See what there is by `pgstow list`.",
  restoreErrors: "Look at each error: what it is about may be missing from the restored database.",
  notConfirmed: "Run it again on a terminal, or with --yes.",
  overdue: "Look into the log of the last backups.",
  clock: "Set the clock by NTP.",
  signature: "Use a backup that is signed by a key that you trust.",
  warnings: "Put right what is said above, or live with it.",
  interrupted: "Run it again when you like: it starts from the beginning.",
  terminated: "Run it again when you like: it starts from the beginning.",
}

/** The code that Node and libraries give an error: "ENOENT", "EPIPE"; undefined where there is none. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined
}

/** What to do where a file that the user named can't be read. */
export const makeReadable = "Check its name, and that the user that runs pgstow may read it."

/** What to do where an object of a backup is damaged. */
export const useAnotherCopy = generalHints.damaged

/** The same, where the object may be somebody else's. */
export const useAnotherCopyOfChanged = `It was cut, changed or swapped. ${useAnotherCopy}`

/** The messages of an error and of what caused it, outermost first, joined by ": ". */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(messageOf).join("; ")
  if (!(error instanceof Error)) return String(error)
  const own = error.message === "" ? error.name : error.message
  if (error.cause === undefined) return own
  const why = whyBeside(error.cause, own) ?? messageOf(error.cause)
  return why === "" ? own : `${own}: ${why}`
}

/** Why a file could not be used: of what Node says, the reason, the call and the path, what does not go before already. */
function whyBeside(cause: unknown, before: string): string | undefined {
  if (!(cause instanceof Error) || !("path" in cause) || typeof cause.path !== "string") return undefined
  const [, reason, call] = /^[A-Z]\w*: (.*?), (\w+ '.*)$/s.exec(cause.message) ?? []
  if (reason === undefined || call === undefined || !call.endsWith(` '${cause.path}'`)) return undefined
  const isNamed = before.includes(cause.path)
  if (before.endsWith(`: ${reason}`)) return isNamed ? "" : call
  return isNamed ? reason : undefined
}

/** Where an error was made, and what caused it. */
export function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const own = error.stack ?? error.message
  return error.cause === undefined ? own : `${own}\ncaused by: ${stackOf(error.cause)}`
}
