import { ChildError } from "../processes/child-error.ts"
import { type Connection, describe, filledIn } from "./connection.ts"
import { connectionHint } from "./connection-failure.ts"

export const grantHint =
  "Let the user read everything: GRANT pg_read_all_data TO … (PostgreSQL 14 and later), or GRANT USAGE ON SCHEMA … and SELECT ON ALL TABLES and ALL SEQUENCES IN SCHEMA …. Large objects need GRANT SELECT ON LARGE OBJECT, or their owner."

/** A program that waited for its lock on a table as long as it was allowed to. */
export class LockWaitError extends ChildError {}

/** By PostgreSQL's code where psql gives one: words come in the server's language. */
const lockWait = /: +55P03: |canceling statement due to (lock timeout|statement timeout.*LOCK TABLE)/s

/** What to do about what the server or pg_dump say. First match wins. */
const hints: readonly (readonly [RegExp, string])[] = [
  [
    /row-level security/,
    "Back up as a role that sees all rows: the table's owner, or one with BYPASSRLS. Rows would be missing otherwise.",
  ],
  [/permission denied for/, grantHint],
  [
    lockWait,
    "Another session holds a lock on the table, perhaps a migration: try again when it is done, or wait longer for locks.",
  ],
  [
    /server version mismatch/,
    "Install PostgreSQL's client programs of the server's version, or name their folder in PGSTOW_PG_BIN.",
  ],
  [
    /invalid snapshot identifier|snapshot "[^"]*" does not exist|could not import the requested snapshot/,
    "The session that holds the snapshot was lost, or reached another server: connect to the server itself, not through a pooler or a load balancer.",
  ],
  [
    /could not open relation|cache lookup failed|relation "[^"]*" does not exist/,
    "A table was changed or dropped while the backup began: try again.",
  ],
  [
    /invalid memory alloc request size|Cannot enlarge string buffer|string buffer exceeds maximum/,
    "COPY writes no row of more than 1 GB as text, and each byte of a bytea as two characters: look for such a value in this table, and store it as a large object or in pieces. Where there is none, the table is damaged.",
  ],
  [
    /invalid page|could not read block|missing chunk number|unexpected chunk number/,
    "The server can't read its own data: look into its log, and into what you have for a restore.",
  ],
  [
    /max_locks_per_transaction/,
    "There are more tables than the server has locks for: raise its max_locks_per_transaction, and restart it.",
  ],
  [
    /could not resize shared memory segment/,
    "The server's shared memory is too small: in a container, give it more (docker run --shm-size=1g), or do without parallel workers: ALTER ROLE … SET max_parallel_workers_per_gather = 0.",
  ],
  [/No space left on device/, "Free disk space on the server."],
]

/**
 * The failure of a program that reads a database, in the server's words, with what to do about it. A LockWaitError
 * where it did not get a lock in time.
 */
export function explainDumpFailure(
  failure: ChildError,
  connection: Connection,
  doing = `${failure.program} of`,
): ChildError {
  const { program, stderr, signal, exitStatus: status } = failure
  const known = hints.find(([pattern]) => pattern.test(stderr))?.[1]
  const hint =
    (known === undefined ? undefined : filledIn(known, connection)) ??
    connectionHint(stderr, connection) ??
    (signal ? undefined : "Look into the server's log.")
  const message = `${doing} ${describe(connection)} failed: ${reasonIn(stderr) || `it ${failure.ending}`}`
  const Failure = lockWait.test(stderr) ? LockWaitError : ChildError
  return new Failure(program, message, { status, signal, stderr, hint })
}

/** The message of the error, without the statement that it came from, which may be long. */
function reasonIn(stderr: string): string {
  return stderr
    .split("\n")
    .map((line) => reasonPattern.exec(line)?.[1])
    .filter((line) => line !== undefined)
    .map((line) =>
      line
        .replace(/^(query failed|Error message from server): /, "")
        .replace(/^[A-Z]+: +([0-9A-Z]{5}: )?/, ""),
    )
    .join("; ")
}

/** psql gives what the server says without its own name before it, and what libpq says of the connection. */
const reasonPattern =
  /^(?:(?:pg_\w+|psql): (?:error: |detail: (?!Query was|Command was))|(?=(?:ERROR|FATAL|PANIC): |connection to server was lost))(.*)$/
