import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { chown, mkdtemp, rm, writeFile } from "node:fs/promises"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { text } from "node:stream/consumers"
import { setTimeout as sleep } from "node:timers/promises"
import { notRun } from "./not-run.ts"
import { freePort, type PostgresServer, serverUser } from "./postgres.ts"

const program = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin"]
  .map((folder) => join(folder, "pgbouncer"))
  .find((file) => existsSync(file))

/** Why a test with a pooler can't run here, for its title. */
export const needsPgbouncer = notRun(program !== undefined, "pgbouncer is not installed")

export type Pgbouncer = {
  /** The server's superuser through the pooler. The password is in it. */
  url(database: string): string
  stop(): Promise<void>
}

/** Starts a PgBouncer on 127.0.0.1 in front of a server. */
export async function startPgbouncer(
  server: PostgresServer,
  poolMode: "session" | "transaction",
  settings: Readonly<Record<string, string>> = {},
): Promise<Pgbouncer> {
  if (program === undefined) throw new Error("pgbouncer is not installed")
  const folder = await mkdtemp(join(tmpdir(), "pgstow-pgbouncer-"))
  const [port, user] = [await freePort(), serverUser()]
  if (user) await chown(folder, user.uid, user.gid)
  await writeFile(join(folder, "users"), `"postgres" "${server.password}"\n`)
  await writeFile(
    join(folder, "pgbouncer.ini"),
    `[databases]
* = host=127.0.0.1 port=${server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${join(folder, "users")}
pool_mode = ${poolMode}
${Object.entries(settings)
  .map(([name, value]) => `${name} = ${value}\n`)
  .join("")}`,
  )
  const child = spawn(program, [join(folder, "pgbouncer.ini")], {
    ...user,
    stdio: ["ignore", "ignore", "pipe"],
  })
  const words = text(child.stderr)
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()))
  while (!(await listens(port))) {
    if (child.exitCode !== null) throw new Error(`pgbouncer did not start: ${await words}`)
    await sleep(20)
  }
  return {
    url: (database) => server.url(database).replace(`:${server.port}/`, `:${port}/`),
    stop: async () => {
      child.kill("SIGTERM")
      await ended
      await rm(folder, { recursive: true })
    },
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.end(() => resolve(true)))
    socket.once("error", () => resolve(false))
  })
}
