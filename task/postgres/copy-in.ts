import { basename } from "node:path"
import type { SegmentObject } from "../core/manifest.ts"
import { identifier, literal } from "../core/quote.ts"
import { PgstowError, useAnotherCopy } from "../errors.ts"
import { startChild } from "../processes/child.ts"
import { ChildError } from "../processes/child-error.ts"
import { decompressInto } from "../streams/decompress.ts"
import type { Clients } from "./clients.ts"
import { type Connection, childEnv, conninfo, describe, type Environment } from "./connection.ts"
import { copiedRowsIn, sayCopiedRows } from "./copied-rows.ts"
import type { Owners } from "./pg-restore.ts"
import { adviceOn, classOf, type RestoreError } from "./restore-errors.ts"
import { noTimeLimits } from "./session-settings.ts"

export type CopyInOptions = {
  readonly clients: Pick<Clients, "psql">
  /** The database to restore into. */
  readonly connection: Connection
  readonly serverMajor: number
  /** What the stream is called in messages. */
  readonly name: string
  /** The table to copy into, where that is not the segment's: it passes the rows on. */
  readonly into?: { readonly schema: string; readonly table: string } | undefined
  /** What the rows are written in, by PostgreSQL's name for it. */
  readonly encoding: string
  readonly owners: Owners
  /** As `findZstd` gave it. */
  readonly zstd: string | undefined
  readonly env: Environment
  readonly signal?: AbortSignal | undefined
}

/**
 * Loads a segment's rows, decrypted and still compressed, into its table: all of them or none. Resolves to what
 * the server refused, if it did.
 *
 * Rejects with the reason of `signal`, where the rows can't be read or are not as many as the segment has, and
 * where the connection is lost. The last bytes of `source` must come only when all of it is known to be right.
 */
export async function copyIn(
  source: AsyncIterable<Buffer>,
  segment: Pick<SegmentObject, "schema" | "table" | "columns" | "rows" | "rawBytes">,
  options: CopyInOptions,
): Promise<RestoreError | undefined> {
  const { clients, connection, name, zstd, signal } = options
  const { schema, table: itsName } = options.into ?? segment
  const table = `${identifier(schema)}.${identifier(itsName)}`
  let rows: number | undefined
  const program = {
    ...clients.psql,
    args: [
      "-XAtqw",
      "--set=ON_ERROR_STOP=1",
      `--dbname=${conninfo(connection, { client_encoding: "UTF8" })}`,
      `--command=${settingsOf(options)}`,
      `--command=${copyCommand(table, segment.columns, options.encoding)}`,
      `--command=${sayCopiedRows}`,
    ],
    env: childEnv(connection, options.env),
  }
  const onStderr = (line: string) => {
    rows = copiedRowsIn(line) ?? rows
  }
  try {
    await decompressInto(
      source,
      (signal) => startChild(program, { stdin: "pipe", counted: "stdin", signal, onStderr }),
      {
        name,
        zstd,
        mostBytes: segment.rawBytes,
        signal,
      },
    )
  } catch (error) {
    signal?.throwIfAborted()
    // Only what psql says itself, before any row is there, is a refusal that may be got over by trying again.
    if (!(error instanceof ChildError) || error.program !== basename(clients.psql.file)) throw error
    const refused = rows === undefined ? errorIn(error, segment.table) : undefined
    if (!refused) throw error
    if (refused.class !== "connection-lost") return refused
    const message = `copying ${table} into ${describe(connection)} failed: ${refused.message}`
    throw new PgstowError("postgres", message, { cause: error, hint: adviceOn(refused.class).hint })
  }
  if (rows !== segment.rows)
    throw new PgstowError(
      "damaged",
      `${name} has ${rows ?? "an unknown number of"} rows of ${table}, and ${segment.rows} by the manifest`,
      { hint: useAnotherCopy },
    )
  return undefined
}

/** Loading waits for nobody, and what the values mean must not depend on the role. */
function settingsOf({ serverMajor, owners }: CopyInOptions): string {
  const settings = {
    ...noTimeLimits(serverMajor),
    lock_timeout: 0,
    client_min_messages: "warning",
    intervalstyle: "postgres",
    array_nulls: "on",
    xmloption: "content",
    search_path: "''",
    row_security: "off",
  }
  const role = typeof owners === "string" ? [] : [`SET ROLE ${identifier(owners.role)}`]
  return [...role, ...Object.entries(settings).map(([name, value]) => `SET ${name} = ${value}`)].join("; ")
}

function copyCommand(table: string, columns: readonly string[], encoding: string): string {
  return `\\copy ${table} (${columns.map(identifier).join(", ")}) FROM pstdin WITH (ENCODING ${literal(encoding)})`
}

/** What the server said, or psql in its place; undefined where that is nothing, or where psql was killed. */
function errorIn({ stderr, exitStatus }: ChildError, table: string): RestoreError | undefined {
  if (exitStatus === undefined) return undefined
  const [, severity, message = "", detail = ""] =
    /^(ERROR|FATAL): +(.*)\n?([\s\S]*)$/m.exec(stderr) ??
    /^(psql: error: )?(.+)\n?([\s\S]*)$/m.exec(stderr) ??
    []
  if (message === "") return undefined
  return {
    class: classOf(message, severity, { detail }),
    message,
    entry: `TABLE DATA ${table}`,
    detail: detail.trim() === "" ? null : detail.trim(),
    statement: null,
  }
}
