import { Readable } from "node:stream"
import { readToc, type Toc } from "../archive/toc.ts"
import { noPatterns, patternsWithFlags, type TablePatterns } from "../core/table-patterns.ts"
import { startChild } from "../processes/child.ts"
import { withoutSystem } from "./chosen-tables.ts"
import type { Clients } from "./clients.ts"
import { type Connection, childEnv, conninfo, type Environment } from "./connection.ts"
import { explainDumpFailure } from "./dump-failure.ts"

/**
 * What a dump of the database would have in it, without any rows. pg_dump locks every table as for a whole dump, in ACCESS
 * SHARE mode, for as long as it takes. Rejects with a ChildError that says what to do.
 */
export async function dumpDefinitions(
  clients: Pick<Clients, "pgDump">,
  connection: Connection,
  options: {
    readonly env: Environment
    readonly signal?: AbortSignal | undefined
    readonly lockWaitSeconds: number
    /** What of the database; all of it without. */
    readonly patterns?: TablePatterns | undefined
  },
): Promise<Toc> {
  const args = [
    "--format=custom",
    "--compress=0",
    "--schema-only",
    `--lock-wait-timeout=${options.lockWaitSeconds}s`,
    ...patternsWithFlags(withoutSystem(options.patterns ?? noPatterns)).map(
      ({ flag, pattern }) => `${flag}=${pattern}`,
    ),
    "--no-password",
    "--dbname",
    conninfo(connection),
  ]
  const dump = startChild(
    { ...clients.pgDump, args, env: childEnv(connection, options.env) },
    {
      stdout: "pipe",
      signal: options.signal,
      explain: (failure) => explainDumpFailure(failure, connection),
    },
  )
  const [ended, read] = await Promise.allSettled([dump.ended, tocOf(dump.stdout)])
  // The end of its output proves nothing.
  if (ended.status === "rejected") throw ended.reason
  if (read.status === "rejected") throw read.reason
  return read.value
}

/** Reads to the end: what a program writes when nobody reads any more ends it. */
async function tocOf(output: AsyncIterable<Uint8Array>): Promise<Toc> {
  const whole = Buffer.concat(await Array.fromAsync(output))
  return readToc(Readable.from([whole]))
}
