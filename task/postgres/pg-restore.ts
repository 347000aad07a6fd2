import { useList } from "../archive/select-entries.ts"
import type { TocEntry } from "../archive/toc.ts"
import { PgstowError } from "../errors.ts"
import { startChild } from "../processes/child.ts"
import { ChildError } from "../processes/child-error.ts"
import { type PlacedFile, placeFile } from "../processes/place-file.ts"
import type { Program } from "../processes/program.ts"
import { decompressInto, feedInto, type StartConsumer } from "../streams/decompress.ts"
import type { Clients } from "./clients.ts"
import { type Connection, childEnv, conninfo, describe, type Environment } from "./connection.ts"
import { adviceOn, type RestoreError } from "./restore-errors.ts"
import { type RestoreOutput, type RestoreStep, readRestoreOutput } from "./restore-output.ts"

/** Who owns what is restored: its original owners, the user who restores, or one role. */
export type Owners = "keep" | "none" | { readonly role: string }

export type PgRestoreOptions = {
  readonly clients: Pick<Clients, "pgRestore">
  /** The database to restore into. */
  readonly connection: Connection
  /** What to restore, in this order. */
  readonly entries: readonly TocEntry[]
  readonly owners: Owners
  readonly grants: "keep" | "none"
  readonly tablespaces: "keep" | "none"
  /**
   * `collect`: goes on after errors, to find them all, for a database that is thrown away if there are any.
   * `rollBack`: in one transaction, which ends with the first error. `clean`: the same, and first drops what it
   * is about to restore.
   */
  readonly mode: "collect" | "rollBack" | "clean"
  readonly env: Environment
  readonly signal?: AbortSignal | undefined
  readonly onStep?: ((step: RestoreStep) => void) | undefined
}

export type StreamOptions = PgRestoreOptions & {
  /** What the stream is called in messages. */
  readonly name: string
  /** Whether pg_restore may leave the end of the stream unread, as it does where it is not to restore the last rows. */
  readonly partial: boolean
  /** Whether the stream is compressed. */
  readonly compressed: boolean
  /** How many bytes may come out of it then. */
  readonly mostBytes?: number | undefined
  /** As `findZstd` gave it. */
  readonly zstd: string | undefined
}

/**
 * How a restore ended. `ok`: all is there; where pg_restore did not need the end of the stream, nobody has read it.
 * `errors`: it came to its end, and some of it was refused. `failed`: it did not come to its end.
 */
export type RestoreOutcome = {
  /** What pg_restore reported; where it failed, the last is the reason. */
  readonly errors: readonly RestoreError[]
  readonly warnings: readonly string[]
} & (
  | { readonly state: "ok"; readonly readToEnd: boolean }
  | { readonly state: "errors" }
  | { readonly state: "failed"; readonly failure: PgstowError }
)

/**
 * Restores an archive from a stream, decrypted and perhaps still compressed. Rejects with the reason of
 * `signal`; whatever else goes wrong is in the outcome. The last bytes of `source` must come only when all of it
 * is known to be right: where it fails, pg_restore is ended before it can commit.
 */
export async function restoreMain(
  source: AsyncIterable<Buffer>,
  options: StreamOptions,
): Promise<RestoreOutcome> {
  const { name, partial, compressed, mostBytes, zstd, signal } = options
  const passing = { name, signal, mayEndEarly: partial }
  return runPgRestore(options, [], async (program, onStderr) => {
    const start: StartConsumer = (signal) =>
      startChild(program, { stdin: "pipe", counted: "stdin", signal, onStderr })
    const rawBytes = compressed
      ? await decompressInto(source, start, { ...passing, mostBytes, zstd })
      : await feedInto(source, start, passing)
    return rawBytes !== undefined
  })
}

/** Restores entries that have no rows, from an archive's head in a file. Rejects as `restoreMain`. */
export async function restoreHead(head: PlacedFile, options: PgRestoreOptions): Promise<RestoreOutcome> {
  const { signal } = options
  return runPgRestore(options, [head.path], async (program, onStderr) => {
    await startChild(program, { signal, onStderr }).ended
    return true
  })
}

async function runPgRestore(
  options: PgRestoreOptions,
  args: readonly string[],
  run: (program: Program, onStderr: (line: string) => void) => Promise<boolean>,
): Promise<RestoreOutcome> {
  const { clients, connection, entries, signal } = options
  const env = childEnv(connection, options.env)
  const list = await placeFile(useList(entries), { prefix: clients.pgRestore.prefix, env }, signal)
  const reader = readRestoreOutput(options.onStep)
  try {
    const chosen = ["--use-list", list.path, "--no-password", "--dbname", conninfo(connection)]
    const program = { ...clients.pgRestore, args: [...argumentsOf(options), ...chosen, ...args], env }
    const readToEnd = await run(program, reader.line)
    // It has ended well: what looks like an error is in the name of something.
    return { state: "ok", errors: [], warnings: reader.end().warnings, readToEnd }
  } catch (error) {
    signal?.throwIfAborted()
    if (!(error instanceof PgstowError)) throw error
    return outcomeOfFailure(error, reader.end(), options)
  } finally {
    await list.remove()
  }
}

function argumentsOf({ owners, grants, tablespaces, mode }: PgRestoreOptions): string[] {
  return [
    "--format=custom",
    "--verbose",
    ...(owners === "keep" ? [] : ["--no-owner"]),
    ...(typeof owners === "string" ? [] : [`--role=${owners.role}`]),
    ...(grants === "keep" ? [] : ["--no-privileges"]),
    ...(tablespaces === "keep" ? [] : ["--no-tablespaces"]),
    ...(mode === "collect" ? [] : ["--single-transaction", "--exit-on-error"]),
    ...(mode === "clean" ? ["--clean", "--if-exists"] : []),
  ]
}

function outcomeOfFailure(
  failure: PgstowError,
  { errors, warnings, counted, ownCounted }: RestoreOutput,
  { connection, mode }: PgRestoreOptions,
): RestoreOutcome {
  if (!(failure instanceof ChildError)) return { state: "failed", errors, warnings, failure }
  const wentOn = mode === "collect" && failure.exitStatus === 1 && counted !== undefined
  // Without a connection, it goes on and fails at everything.
  const lost = errors.find((error) => error.class === "connection-lost")
  if (wentOn && counted === ownCounted) return { state: "ok", errors: [], warnings, readToEnd: false }
  if (wentOn && !lost) return { state: "errors", errors, warnings }
  const reason = lost ?? errors.at(-1)
  if (!reason) return { state: "failed", errors, warnings, failure }
  const message = `pg_restore into ${describe(connection)} failed: ${reason.message}`
  const { hint } = adviceOn(reason.class)
  return { state: "failed", errors, warnings, failure: new PgstowError("postgres", message, { hint }) }
}
