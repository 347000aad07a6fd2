/**
 * What an error of pg_restore comes to for its user. A message belongs to the first that matches, in the words of
 * PostgreSQL 12 to 18, in English: what a server says in another language is "other".
 */
const rules = [
  {
    name: "connection-lost",
    title: "the connection was lost",
    hint: "Look into the server's log, and restore again: nothing after this was done.",
    pattern:
      /server closed the connection|no connection to the server|connection to server .* failed|terminating connection|could not (receive|send) data|SSL SYSCALL error|SSL connection has been closed|database system is|connection has been lost/,
  },
  {
    name: "shared-memory",
    title: "the server's shared memory is too small",
    hint: "In a container, give it more (docker run --shm-size=1g; a memory volume at /dev/shm in Kubernetes), or do without parallel workers: ALTER ROLE … SET max_parallel_maintenance_workers = 0.",
    pattern: /could not resize shared memory segment/,
  },
  {
    name: "disk-full",
    title: "the server has no more space",
    hint: "Give the server more storage, drop what is there of this restore, and restore again.",
    pattern: /No space left on device|could not (extend|write) .*file|disk is full|Disk quota exceeded/,
  },
  {
    name: "damaged-dump",
    title: "the dump can't be read",
    hint: "Verify the backup, and restore another one.",
    pattern:
      /could not read from input file|unexpected end of file|input file (is too short|does not appear|appears to be)|magic string|unrecognized data block|unexpected data block/,
  },
  {
    name: "too-new-dump",
    title: "the dump is newer than pg_restore",
    hint: "Install the client programs of the version that wrote the backup, or newer ones.",
    pattern: /^unsupported version .* in file header/,
  },
  {
    name: "missing-role",
    title: "a role is missing",
    hint: "Restore again with --create-roles, or leave owners and grants out (--no-owner --no-acl).",
    pattern: /^role ".*" does not exist/s,
  },
  {
    name: "foreign-owner",
    title: "an owner may not be set",
    hint: "Leave owners out (--no-owner), give everything to one role (--role), or restore as a superuser.",
    pattern: /^must be (able to SET ROLE|member of role) /,
  },
  {
    name: "extension-comment",
    title: "a comment on an extension may not be set",
    hint: "This does no harm: the extension is there, and belongs to whoever installed it.",
    pattern: /^must be owner of extension /,
  },
  {
    name: "missing-extension",
    title: "an extension is not there",
    hint: "Install it on the server, or have an administrator run CREATE EXTENSION, and restore again.",
    pattern:
      /^extension ".*" (is not available|is not allow|has no installation script|must be|does not exist)|^permission denied to create extension|could not open extension control file|^could not access file "/,
  },
  {
    name: "unknown-setting",
    title: "the server does not know a setting",
    hint: "It is older than the backup's server: for a time limit this does no harm, for others look at what they do.",
    pattern: /^unrecognized configuration parameter/,
  },
  {
    name: "already-exists",
    title: "something is there already",
    hint: "Restore into a new database, or with --clean, which first drops what the backup holds.",
    pattern: / already exists|^multiple primary keys for table/,
  },
  {
    name: "still-needed",
    title: "something can't be dropped",
    hint: "What the backup does not hold depends on it: drop that first, or restore into a new database.",
    pattern: /^cannot drop /,
  },
  {
    name: "permission-denied",
    title: "the user lacks a right",
    hint: "Grant it, or restore as a user that has it.",
    pattern: /^permission denied|^must be (owner|superuser)|^only (superuser|role)/i,
  },
  {
    name: "constraint-violated",
    title: "rows violate a constraint",
    hint: "They did so in the backup's database, or a function or collation is another here: fix the rows by hand; --not-valid makes foreign keys in spite of them.",
    pattern:
      /violates |is violated by some row|could not create (unique index|exclusion constraint)|contains null values|no partition of relation|conflicting key value/,
  },
  {
    name: "bad-data",
    title: "values are refused",
    hint: "Compare the encoding, the version and the extensions of both databases.",
    pattern:
      /^invalid |^malformed |no equivalent in encoding|out of range|value too long|missing data for column|extra data after/,
  },
  {
    name: "time-limit",
    title: "a time limit, or a lock",
    hint: "End what else uses the database, or raise statement_timeout and lock_timeout of the user and the database.",
    pattern: /^canceling statement|^deadlock detected|could not obtain lock/,
  },
  {
    name: "not-populated",
    title: "a materialized view reads one that is not filled yet",
    hint: "Restore with --no-refresh, and fill them afterwards: REFRESH MATERIALIZED VIEW, in the order in which they read each other.",
    pattern: /^materialized view ".*" has not been populated/,
  },
  {
    name: "too-many-locks",
    title: "one transaction can't lock so much",
    hint: "Raise the server's max_locks_per_transaction, restore into a new database, or some tables at a time.",
    pattern: /^out of shared memory/,
  },
  {
    name: "search-path",
    title: "a function looks names up in the search_path, which is empty in a restore",
    hint: "Give the function named in the context its own in the source (ALTER FUNCTION … SET search_path = public, …), and back up again; until then, restore with --search-path public, which gives it that for as long as the restore takes.",
    // No message: see classOf.
    pattern: /^$/,
  },
  {
    name: "missing-object",
    title: "something that is needed is missing",
    hint: "This usually follows from another error: fix that one first.",
    pattern: / does not exist$|^no schema has been selected|^there is no unique constraint/m,
  },
  {
    name: "not-built-in",
    title: "the server is built without something",
    hint: "Restore into a server whose PostgreSQL is built with it: its version does not matter.",
    pattern:
      /not supported (by|in) this build|^unsupported XML feature|^compression method \S+ not supported|not supported on this platform/,
  },
  {
    name: "unknown-syntax",
    title: "the server does not understand a command",
    hint: "It is older than the backup's server: restore into that version or a newer one.",
    pattern: /^syntax error|^unrecognized |^unsupported |is not supported/,
  },
] as const

const other = {
  name: "other",
  title: "other errors",
  hint: "See what the server says of each.",
} as const

/** pg_dump names the schema of all that is not PostgreSQL's own. */
const unqualified =
  /^(?:(?:function|procedure) [^".(]+\(.*\)|(?:relation|type|table) "[^".]+") does not exist|^operator does not exist/

/** What a person does about an error depends on this. */
export type RestoreErrorClass = (typeof rules)[number]["name"] | "other"

/** One error that pg_restore reported. */
export type RestoreError = {
  readonly class: RestoreErrorClass
  /** What the server, or pg_restore itself, said; without details. */
  readonly message: string
  /** What was being restored, as pg_restore calls it: "INDEX orders_placed_at_idx app". Null where it does not say. */
  readonly entry: string | null
  /** What was said beside the message, a line each: DETAIL, HINT, CONTEXT and the like. */
  readonly detail: string | null
  /** The beginning of the command that failed. */
  readonly statement: string | null
  /** The entry of the archive, where it is known. */
  readonly dumpId?: number | undefined
  /** The object of the backup that holds the rows, where they are not in the archive. */
  readonly object?: string | undefined
}

/** The errors of one class, and what to do about them. */
export type RestoreErrorGroup = {
  readonly class: RestoreErrorClass
  readonly title: string
  readonly hint: string
  readonly count: number
  /** The first of them. */
  readonly examples: readonly Omit<RestoreError, "dumpId" | "object">[]
}

/**
 * @param severity what the server called it, where it was the server: after an ERROR the connection is still there
 * @param circumstances what it said beside the message, and the statement
 */
export function classOf(
  message: string,
  severity?: string,
  {
    detail,
    statement,
  }: { readonly detail?: string | undefined; readonly statement?: string | undefined } = {},
): RestoreErrorClass {
  const isOfFunction =
    /^(CONTEXT: +)?(PL\/pgSQL|SQL) function /m.test(detail ?? "") || statement?.startsWith("REFRESH ")
  if (isOfFunction && unqualified.test(message)) return "search-path"
  const possible = severity === "ERROR" ? rules.filter(({ name }) => name !== "connection-lost") : rules
  return possible.find(({ pattern }) => pattern.test(message))?.name ?? other.name
}

/** What to call the errors of a class, and what to do about them. */
export function adviceOn(name: RestoreErrorClass): { readonly title: string; readonly hint: string } {
  return rules.find((rule) => rule.name === name) ?? other
}

const examplesKept = 5

/** No other error can have led to it. */
const missingAlone =
  "It is not in what was restored: left out, hidden from whoever backed up, or lost in the source itself. Make it there by hand, and then what needs it."

/** Errors by class, in the order in which the classes first came. Their counts add up to all of them. */
export function groupErrors(errors: readonly RestoreError[]): RestoreErrorGroup[] {
  return [...Map.groupBy(errors, (error) => error.class)].map(([name, found]) => {
    const { title, hint } = adviceOn(name)
    const isAlone = name === "missing-object" && found.length === errors.length
    const examples = found.slice(0, examplesKept).map((error) => {
      const { dumpId: _, object: __, ...example } = error
      return example
    })
    return { class: name, title, hint: isAlone ? missingAlone : hint, count: found.length, examples }
  })
}
