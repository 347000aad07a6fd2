import type { Writable } from "node:stream"
import type { Pages, PlannedSegment } from "../core/plan.ts"
import { identifier, literal } from "../core/quote.ts"
import { type Child, startChild } from "../processes/child.ts"
import type { ChildError } from "../processes/child-error.ts"
import type { Clients } from "./clients.ts"
import { type Connection, childEnv, conninfo, type Environment } from "./connection.ts"
import { copiedRowsIn, sayCopiedRows } from "./copied-rows.ts"
import { explainDumpFailure } from "./dump-failure.ts"
import { noTimeLimits } from "./session-settings.ts"

export type CopyOutOptions = {
  readonly env: Environment
  readonly signal?: AbortSignal | undefined
  readonly serverMajor: number
  /** The id of an exported snapshot, whose session must stay open, and holds a lock on the table. */
  readonly snapshot: string
  /** How long the copy waits for its own lock on the table before it fails. */
  readonly lockWaitSeconds: number
  /** What to write the rows in, by PostgreSQL's name for it; the database's own takes no conversion. */
  readonly encoding: string
  /** Called with the number of rows once the server has sent them all. */
  readonly onRows: (rows: number) => void
}

/**
 * Copies a segment in COPY's text format, a line for each row, into `stdout`: values as pg_dump writes them. It
 * never asks for a password. `ended` rejects with a ChildError that says what to do.
 *
 * Behind a session that waits to change the table this lock waits too, and neither would ever get it: the session of
 * the snapshot holds its own until the end. Hence the limit, after which `ended` rejects with a LockWaitError.
 */
export function startCopyOut(
  clients: Pick<Clients, "psql">,
  connection: Connection,
  segment: Pick<PlannedSegment, "table" | "pages">,
  options: CopyOutOptions,
  stdout: Writable | "pipe",
): Child {
  const { schema, name } = segment.table
  const child = startChild(
    {
      ...clients.psql,
      args: [
        "-XAtqw",
        "-v",
        "ON_ERROR_STOP=1",
        "-v",
        "VERBOSITY=verbose",
        "-d",
        conninfo(connection, { client_encoding: "UTF8" }),
      ],
      env: childEnv(connection, options.env),
    },
    {
      stdin: "pipe",
      stdout,
      counted: "stdout",
      signal: options.signal,
      onStderr(line) {
        const rows = copiedRowsIn(line)
        if (rows !== undefined) options.onRows(rows)
      },
      explain: (failure: ChildError) =>
        explainDumpFailure(failure, connection, `copying ${identifier(schema)}.${identifier(name)} of`),
    },
  )
  child.stdin.on("error", () => {}) // It has ended: `ended` says why.
  child.stdin.end(scriptOf(segment, options))
  return child
}

/** As pg_dump sets them, so that what is written means the same wherever it is read. */
const settings = {
  client_min_messages: "warning",
  datestyle: "ISO",
  intervalstyle: "postgres",
  extra_float_digits: 3,
  synchronize_seqscans: "off",
  row_security: "off",
  bytea_output: "hex",
  search_path: "''",
  standard_conforming_strings: "on",
  // A range of pages is to be read by itself, and not be looked for in the whole table.
  enable_seqscan: "off",
  enable_tidscan: "on",
  max_parallel_workers_per_gather: 0,
}

/**
 * psql knows how many rows it copied only where they do not go the way of all its other output: `\copy … to
 * pstdout` keeps to stdout, and all else goes nowhere.
 */
function scriptOf(
  { table, pages }: Pick<PlannedSegment, "table" | "pages">,
  { snapshot, serverMajor, lockWaitSeconds, encoding }: CopyOutOptions,
): string {
  const name = `${identifier(table.schema)}.${identifier(table.name)}`
  const columns = table.columns.map(identifier).join(", ")
  const rows = pages
    ? `(SELECT ${columns} FROM ONLY ${name} WHERE ${rangeOf(pages)})`
    : `${name} (${columns})`
  // In one go: a server may be far away.
  const beginning = [
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    `SET TRANSACTION SNAPSHOT ${literal(snapshot)}`,
    ...Object.entries({ ...settings, ...noTimeLimits(serverMajor) }).map(
      ([setting, value]) => `SET LOCAL ${setting} = ${value}`,
    ),
    `SET LOCAL lock_timeout = '${lockWaitSeconds}s'`,
  ]
  return [
    `${beginning.join(" \\;\n")};`,
    "\\o /dev/null",
    `\\copy ${rows} TO pstdout WITH (ENCODING ${literal(encoding)})`,
    sayCopiedRows,
    "",
  ].join("\n")
}

function rangeOf({ first, end }: Pages): string {
  const upTo = end === null ? "" : ` AND ctid < '(${end},0)'`
  return `ctid >= '(${first},0)'${upTo}`
}
