import { mkdtemp, rm } from "node:fs/promises"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { TestProject } from "vitest/node"
import { bundleProgram } from "../../task/build/bundle-program.ts"
import { type PostgresCluster, rememberPostgres, startPostgres } from "./postgres.ts"

declare module "vitest" {
  interface ProvidedContext {
    /** Where `sharedPostgres` asks for a server. */
    postgresBroker: string
    /** The program, built into one file: it starts in a third of the time that its sources take. */
    program: string
    /** Where Node keeps the program compiled from one run to the next. */
    compileCache: string
  }
}

/**
 * Vitest's global set-up: the program as it is built for its users, and one server of each major version for the
 * whole run, started when the first test asks for it, so that a run that needs no PostgreSQL does not wait for any.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  rememberPostgres()
  const folder = await mkdtemp(join(tmpdir(), "pgstow-program-"))
  const program = join(folder, "pgstow.mjs")
  bundleProgram(program)
  project.provide("program", program)
  project.provide("compileCache", join(folder, "compiled"))

  const clusters = new Map<string, Promise<PostgresCluster>>()
  const broker = createServer((request, response) => {
    const major = request.url?.slice(1) ?? ""
    // A connection that is used again may be ended by this side just then.
    response.setHeader("connection", "close")
    // For all tests that run at once, and those of them that try what many connections do.
    const settings = { max_connections: "250" }
    const cluster = clusters.get(major) ?? startPostgres({ major: Number(major), settings })
    clusters.set(major, cluster)
    cluster.then(
      (address) => response.end(JSON.stringify(address)),
      (error) => response.writeHead(500).end(String(error)),
    )
  })
  await new Promise((resolve, reject) => {
    broker.once("error", reject).listen(0, "127.0.0.1", () => resolve(undefined))
  })
  const address = broker.address()
  if (address === null || typeof address === "string") throw new TypeError("a TCP server has a port")
  project.provide("postgresBroker", `http://127.0.0.1:${address.port}`)

  return async () => {
    broker.close()
    await rm(folder, { recursive: true })
    for (const cluster of await Promise.allSettled(clusters.values()))
      if (cluster.status === "fulfilled") await cluster.value.stop()
  }
}
