import { randomBytes } from "node:crypto"
import { pipeline } from "node:stream/promises"
import { codeOf, PgstowError } from "../errors.ts"
import { outputOf, startChild } from "../processes/child.ts"
import { ChildError } from "../processes/child-error.ts"
import type { Executable } from "../processes/program.ts"
import { type Connection, childEnv, conninfo, type Environment } from "./connection.ts"

export type PlainDumpOptions = {
  /** The psql to use. */
  readonly psql: Executable
  readonly connection: Connection
  readonly env: Environment
  readonly signal?: AbortSignal | undefined
  /** Called with every line that psql complains with. */
  readonly onStderr?: ((line: string) => void) | undefined
}

/**
 * Runs a plain dump of pg_dump in psql, in one transaction: all of it, or nothing where anything fails, the
 * stream of the dump included. No psql command in the dump is obeyed (one could run programs here:
 * CVE-2025-8714).
 */
export async function runPlainDump(dump: AsyncIterable<Buffer>, options: PlainDumpOptions): Promise<void> {
  const { psql, connection, env, signal, onStderr } = options
  const environment = childEnv(connection, env)
  await refuseOldPsql(psql, environment)
  const args = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null", "--file=-"]
  const program = { ...psql, args: [`--dbname=${conninfo(connection)}`, ...args], env: environment }
  const child = startChild(program, { signal, stdin: "pipe", counted: "stdin", onStderr })
  let fedBytes = 0
  async function* counted(script: AsyncIterable<Buffer>) {
    for await (const chunk of script) {
      fedBytes += chunk.length
      yield chunk
    }
  }
  const script = toScript(dump, randomBytes(32).toString("hex"))
  const [feeding, running] = await Promise.allSettled([pipeline(script, counted, child.stdin), child.ended])
  const lost = feeding.status === "fulfilled" ? child.lost(fedBytes) : undefined
  if (lost && (running.status === "fulfilled" || lost.isCounted)) throw lost
  // Where psql gave up, writing to it fails too, and says nothing of why.
  if (feeding.status === "rejected" && !isBrokenPipe(feeding.reason)) throw feeding.reason
  if (running.status === "rejected") throw explain(running.reason)
  if (feeding.status === "rejected") throw feeding.reason
}

/**
 * What psql is fed. It is restricted from the first line on: psql then refuses every command of its own. The
 * dump's own \restrict would be refused too, and becomes a comment. COMMIT follows when `dump` has ended well:
 * where it fails, or where this process dies, psql sees its input end and nothing is kept.
 *
 * @param key letters and digits, unknown to all who could write into the dump
 */
export async function* toScript(dump: AsyncIterable<Buffer>, key: string): AsyncGenerator<Buffer> {
  yield Buffer.from(`\\restrict ${key}\nBEGIN;\n`)
  let begun = false
  let held = Buffer.alloc(0)
  for await (const chunk of dump) {
    held = Buffer.concat([held, chunk])
    if (held.length < headBytes + tailBytes) continue
    if (!begun) commentOut(held, ownRestrict)
    begun = true
    yield held.subarray(0, -tailBytes)
    held = held.subarray(-tailBytes)
  }
  if (!begun) commentOut(held, ownRestrict)
  commentOut(held, ownUnrestrict)
  yield held
  yield Buffer.from("\nCOMMIT;\n")
}

const headBytes = 512
const tailBytes = 512
const ownRestrict = /^(?:--[^\n]*\n|\r?\n)*\\(?=restrict [A-Za-z0-9]+\r?\n)/
const ownUnrestrict = /\n\\(?=unrestrict [A-Za-z0-9]+\s*$)/

/** Turns the backslash at the end of what `pattern` matches, and the letter behind it, into "--". */
function commentOut(bytes: Buffer, pattern: RegExp): void {
  const match = pattern.exec(bytes.toString("latin1"))
  if (match) bytes.write("--", match.index + match[0].length - 1)
}

/** Throws where psql does not know \restrict: it could not be kept from obeying the dump. */
async function refuseOldPsql(psql: Executable, env: Record<string, string>): Promise<void> {
  const help = await outputOf({ ...psql, args: ["--help=commands"], env })
  if (!help.includes("\\restrict"))
    throw new PgstowError(
      "postgres",
      `${psql.file} can't be kept from obeying commands inside a plain dump`,
      {
        hint: "Install psql 18, 17.6, 16.10, 15.14, 14.19 or 13.22, or a newer one of these versions.",
      },
    )
}

function explain(error: unknown): unknown {
  if (!(error instanceof ChildError)) return error
  const [, line] =
    /:(\d+): error: (?:backslash commands are restricted|\\unrestrict: )/.exec(error.stderr) ?? []
  if (line === undefined) return error
  return new PgstowError("damaged", `the dump holds a command to psql (line ${line}), which is not obeyed`, {
    hint: "pg_dump writes none: whoever could write into the database, or the file, put it there.",
  })
}

function isBrokenPipe(error: unknown): boolean {
  const code = codeOf(error)
  return code === "EPIPE" || code === "ECONNRESET" || code === "ERR_STREAM_PREMATURE_CLOSE"
}
