import type { Writable } from "node:stream"
import { identifier } from "../core/quote.ts"
import { patternsWithFlags, type TablePatterns } from "../core/table-patterns.ts"
import { type Child, startChild } from "../processes/child.ts"
import { withoutSystem } from "./chosen-tables.ts"
import type { Clients } from "./clients.ts"
import { type Connection, childEnv, conninfo, type Environment } from "./connection.ts"
import { explainDumpFailure } from "./dump-failure.ts"

export type DumpOptions = {
  readonly env: Environment
  readonly signal?: AbortSignal | undefined
  /** Called with each warning of pg_dump, without its name before it. */
  readonly onWarning?: ((message: string) => void) | undefined
  /** The id of an exported snapshot, whose session must stay open until the dump has begun to read. */
  readonly snapshot: string
  /** What to write it in, by PostgreSQL's name for it; the database's own takes no conversion. */
  readonly encoding: string
  /** How long the dump waits for its lock on a table before it fails. */
  readonly lockWaitSeconds: number
  /** Which tables are wanted; all, unless given. */
  readonly patterns?: TablePatterns | undefined
  /** The tables whose rows are left out. Their names must be in UTF-8 in the database too, or ASCII. */
  readonly withoutRowsOf?: readonly { readonly schema: string; readonly name: string }[]
}

/**
 * Dumps a whole database in pg_dump's custom format, uncompressed, into `stdout`. It never asks for a password.
 * `ended` rejects with a ChildError that says what to do.
 */
export function startDump(
  clients: Pick<Clients, "pgDump">,
  connection: Connection,
  options: DumpOptions,
  stdout: Writable | "pipe",
): Child {
  // In quotes nothing is a pattern, and what they hold is written as in SQL.
  const excluded = (options.withoutRowsOf ?? []).map(
    ({ schema, name }) => `--exclude-table-data=${identifier(schema)}.${identifier(name)}`,
  )
  const chosen = options.patterns
    ? patternsWithFlags(withoutSystem(options.patterns)).map(({ flag, pattern }) => `${flag}=${pattern}`)
    : []
  const wanted = [
    `--snapshot=${options.snapshot}`,
    `--encoding=${options.encoding}`,
    `--lock-wait-timeout=${options.lockWaitSeconds}s`,
  ]
  const args = [
    "--format=custom",
    "--compress=0",
    ...wanted,
    ...chosen,
    ...excluded,
    "--no-password",
    "--dbname",
    conninfo(connection),
  ]
  return startChild(
    { ...clients.pgDump, args, env: childEnv(connection, options.env) },
    {
      stdout,
      counted: "stdout",
      signal: options.signal,
      onStderr(line) {
        const [, warning] = /^(?:pg_\w+: )?warning: +(.*)$/i.exec(line) ?? []
        // Every session says so; `readCollationChange` says it once, with both versions.
        if (warning?.endsWith("has a collation version mismatch")) return
        if (warning !== undefined) options.onWarning?.(warning)
      },
      explain: (failure) => explainDumpFailure(failure, connection),
    },
  )
}
