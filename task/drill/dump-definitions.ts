import { readToc, type TocEntry } from "../archive/toc.ts"
import { type Clients, chooseClients } from "../postgres/clients.ts"
import { type Connection, childEnv, conninfo, type Environment } from "../postgres/connection.ts"
import { startChild } from "../processes/child.ts"

/**
 * What pg_dump makes of the definitions in a database, as entries of a table of contents: by the pg_dump that wrote the
 * backup, where it is here and knows the server, since others may put them into other words.
 */
export async function dumpDefinitions(
  clients: readonly Clients[],
  connection: Connection,
  {
    serverMajor,
    archiveMajor,
    encoding,
    env,
    signal,
  }: {
    readonly serverMajor: number
    readonly archiveMajor: number
    /** That of the dump that it is compared with. */
    readonly encoding: string
    readonly env: Environment
    readonly signal: AbortSignal
  },
): Promise<readonly TocEntry[]> {
  const { pgDump } = chooseClients(clients, Math.max(serverMajor, archiveMajor))
  const args = ["--format=custom", "--compress=0", "--schema-only", `--encoding=${encoding}`, "--no-password"]
  const dump = startChild(
    {
      ...pgDump,
      args: [...args, "--dbname", conninfo(connection)],
      // Times in definitions are written by it, and databases have their own.
      env: childEnv(connection, { ...env, PGTZ: "UTC" }),
    },
    { stdout: "pipe", counted: "stdout", signal },
  )
  const chunks: Buffer[] = []
  const read = async () => {
    // Without an encoding, a stream gives buffers.
    for await (const chunk of dump.stdout as AsyncIterable<Buffer>) chunks.push(chunk)
  }
  // How it ended says more than that its output broke off.
  await Promise.allSettled([read(), dump.ended])
  await dump.ended
  const bytes = Buffer.concat(chunks)
  const lost = dump.lost(bytes.length)
  if (lost) throw lost
  async function* all() {
    yield bytes
  }
  return (await readToc(all())).entries
}
