import { basename } from "node:path"
import { pipeline } from "node:stream/promises"
import { formatName } from "../console/format.ts"
import { codeOf, makeReadable, messageOf, PgstowError } from "../errors.ts"
import { openRegularFile } from "../open-regular-file.ts"
import { type Connection, childEnv, conninfo, type Environment } from "../postgres/connection.ts"
import { startChild } from "../processes/child.ts"
import { ChildError } from "../processes/child-error.ts"
import type { Executable } from "../processes/program.ts"

/** A file of SQL of the user's own, as it was when the restore began. */
export type RunFile = {
  /** As the user named it. */
  readonly file: string
  readonly sql: Buffer
}

/** Reads the file. Throws a PgstowError of kind "usage" where that can't be, or where nothing is in it. */
export async function readRunFile(file: string): Promise<RunFile> {
  const wrong = (what: string, hint: string, cause?: unknown) =>
    new PgstowError("usage", `the file to run, ${formatName(file)}, ${what}`, { cause, hint })
  if (file === "") throw wrong("has no name", "Give --run the name of a file.")
  try {
    await using handle = await openRegularFile(file, { followLink: true })
    const sql = await handle.readFile()
    if (sql.toString("latin1").trim() === "")
      throw wrong("is empty", "Put the statements there that are to run, or leave --run out.")
    return { file, sql }
  } catch (cause) {
    if (cause instanceof PgstowError) throw cause
    throw wrong("can't be read", makeReadable, cause)
  }
}

export type RunFileOptions = {
  readonly psql: Executable
  /** The database to run it in. */
  readonly connection: Connection
  readonly env: Environment
  readonly signal: AbortSignal
}

/**
 * Runs a file in one psql, which obeys the backslash commands in it: the file is its user's own. Resolves to what psql
 * and the server warned of. Rejects with a PgstowError of kind "restoreErrors" where a statement fails, or where the
 * file ends within a transaction, which would undo what it did; and as a child does where psql itself fails.
 */
export async function runFile(
  { file, sql }: RunFile,
  { psql, connection, env, signal }: RunFileOptions,
): Promise<string[]> {
  const warnings: string[] = []
  const child = startChild(
    {
      ...psql,
      args: [
        "--no-psqlrc",
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        "--output=/dev/null",
        `--dbname=${conninfo(connection, { client_encoding: "UTF8" })}`,
        "--file=-",
        // Refused within a transaction, and does nothing else that outlives the session.
        "--command=DISCARD ALL",
      ],
      env: childEnv(connection, env),
    },
    {
      signal,
      stdin: "pipe",
      counted: "stdin",
      onStderr: (line) => {
        const [, place = "", warning] = /^(?:psql:<stdin>:(\d+): )?WARNING: +(.*)$/.exec(line) ?? []
        if (warning !== undefined && warnings.length < mostWarnings)
          warnings.push(`${basename(file)}${place === "" ? "" : `, line ${place}`}: ${warning}`)
      },
    },
  )
  const [feeding, running] = await Promise.allSettled([pipeline([sql], child.stdin), child.ended])
  signal.throwIfAborted()
  const lost = feeding.status === "fulfilled" ? child.lost(sql.length) : undefined
  if (lost && (running.status === "fulfilled" || lost.isCounted)) throw lost
  if (running.status === "rejected") throw explained(running.reason, file)
  // It says by \q that it wants no more.
  if (feeding.status === "rejected" && !isUnread(feeding.reason)) throw feeding.reason
  if (feeding.status === "rejected") warnings.push(`${basename(file)}: psql ended before its end`)
  return warnings
}

const mostWarnings = 20

function isUnread(error: unknown): boolean {
  return ["EPIPE", "ECONNRESET", "ERR_STREAM_PREMATURE_CLOSE"].includes(codeOf(error) ?? "")
}

/** What psql says of a statement, by the line that it ends in; what failed in another way is left as it is. */
function explained(error: unknown, file: string): unknown {
  if (!(error instanceof ChildError)) return error
  const name = formatName(file)
  const fix = "Correct the file, and restore again."
  if (/^ERROR: +DISCARD ALL cannot/m.test(error.stderr))
    return new PgstowError("restoreErrors", `${name} ends within a transaction, so nothing of that is kept`, {
      hint: `End it with COMMIT. ${fix}`,
    })
  const [, place = "", line, words = ""] = [...error.stderr.matchAll(failedStatement)].at(-1) ?? []
  if (line === undefined)
    return new PgstowError("postgres", `${name} could not be run: ${messageOf(error)}`, { hint: error.hint })
  const where = `${place === "<stdin>" ? name : formatName(place)}, line ${line}`
  return new PgstowError("restoreErrors", `${where}, failed: ${words.trim()}`, { hint: fix })
}

/** The server's words, or psql's own; `place` is another file where the user's includes one. */
const failedStatement = /^psql:(.+?):(\d+): (?:ERROR: +|error: )(.*)$/gm
