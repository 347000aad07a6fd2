import { type ChildProcess, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { chmodSync, readFileSync } from "node:fs"
import { chown, mkdir, readFile, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { Context } from "../context.ts"
import { PgstowError } from "../errors.ts"
import type { Connection } from "../postgres/connection.ts"
import { type Child, type SystemUser, startChild } from "../processes/child.ts"
import { makeTemporaryFolder } from "../processes/temporary-folder.ts"
import type { ServerPrograms } from "./server-programs.ts"

/** A server of our own, whose superuser we are. */
export type ThrowAwayServer = {
  readonly version: string
  /** To its database `postgres`. */
  readonly connection: Connection
  /** Ends it, and removes all that it had. */
  stop(): Promise<void>
}

/** What is as safe as nothing, and so as fast as can be: nobody keeps what is in there. */
const settings = {
  fsync: "off",
  synchronous_commit: "off",
  full_page_writes: "off",
  wal_level: "minimal",
  max_wal_senders: "0",
  max_wal_size: "256MB",
  autovacuum: "off",
  // Files in its own folder: a server that is killed leaves nothing elsewhere.
  dynamic_shared_memory_type: "mmap",
  // What compares the definitions locks every table.
  max_locks_per_transaction: "1024",
  timezone: "UTC",
  lc_messages: "C",
  log_destination: "stderr",
  // Statements may hold rows.
  log_min_error_statement: "panic",
}

/** What a path to a Unix socket may be long at most, on any system: 104 bytes with the NUL at its end. */
const longestSocket = 103

/**
 * Makes a server in a new folder and starts it. Only this user and root can reach it, by a Unix socket; or by 127.0.0.1
 * with a password of its own, where the folder's name is too long for a socket. It ends, and its folder goes, when this
 * process ends in whatever way. As root, another user runs it, as PostgreSQL wants it.
 */
export async function startThrowAwayServer(
  { postgres, initdb, version }: ServerPrograms,
  { env: { PATH }, signal }: Pick<Context, "env" | "signal">,
): Promise<ThrowAwayServer> {
  const user = serverUser()
  const folder = makeTemporaryFolder()
  const guard = guardFolder(folder)
  const [data, socketFolder] = [join(folder, "data"), join(folder, "socket")]
  const own = async (path: string) => user && chown(path, user.uid, user.gid)
  const env = { PATH, LC_ALL: "C", TZ: "UTC", TMPDIR: tmpdir() }
  let server: Child | undefined
  const stop = async () => {
    server?.kill("SIGQUIT")
    const late = setTimeout(() => server?.kill("SIGKILL"), 5_000)
    await server?.ended.catch(() => {})
    clearTimeout(late)
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    await guard.dismiss()
  }
  try {
    // Its user passes through, and no other sees anything in it.
    if (user) chmodSync(folder, 0o711)
    for (const path of [data, socketFolder]) {
      await mkdir(path, { mode: 0o700 })
      await own(path)
    }
    const password = randomBytes(24).toString("hex")
    const passwordFile = join(folder, "password")
    await writeFile(passwordFile, password, { mode: 0o600 })
    await own(passwordFile)
    const cluster = `--username=postgres --auth=scram-sha-256 --encoding=UTF8 --no-locale --no-sync`
    const args = [...cluster.split(" "), `--pwfile=${passwordFile}`, `--pgdata=${data}`]
    const making = startChild({ file: initdb, args, env }, { user, ownSession: true, signal })
    guard.watch(making.pid)
    await making.ended
    await rm(passwordFile)

    const hasSocket = Buffer.byteLength(join(socketFolder, ".s.PGSQL.65535")) <= longestSocket
    const configuration = join(data, "postgresql.conf")
    const address = hasSocket
      ? { listen_addresses: "", unix_socket_directories: socketFolder }
      : { listen_addresses: "127.0.0.1", unix_socket_directories: "" }
    const lines = Object.entries({ ...settings, ...address }).map(
      ([name, value]) => `${name} = '${value.replaceAll("'", "''")}'`,
    )
    await writeFile(configuration, `${lines.join("\n")}\n`, { mode: 0o600 })
    await own(configuration)

    const port = hasSocket ? 5432 : await freePort()
    const serverArgs = ["-D", data, "-p", String(port)]
    server = startChild({ file: postgres, args: serverArgs, env }, { user, ownSession: true })
    guard.watch(server.pid)
    await ready(server, join(data, "postmaster.pid"), signal)
    const host = hasSocket ? socketFolder : "127.0.0.1"
    const params = { host, port: String(port), user: "postgres", dbname: "postgres", sslmode: "disable" }
    return { version, connection: { params, password }, stop }
  } catch (error) {
    await stop()
    signal.throwIfAborted()
    if (!(error instanceof PgstowError)) throw error
    throw new PgstowError("postgres", `a throw-away PostgreSQL ${version} could not be started`, {
      cause: error,
      hint: "See what it said; TMPDIR names the folder that it is made in. Or give --target, to restore into a server that runs.",
    })
  }
}

/** Who runs the server, where that can't be the user of this process. Throws where there is nobody else. */
function serverUser(): SystemUser | undefined {
  if (process.getuid?.() !== 0) return undefined
  const users = readFileSync("/etc/passwd", "utf8")
  for (const name of ["postgres", "nobody"]) {
    const [, uid, gid] = new RegExp(`^${name}:[^:]*:(\\d+):(\\d+):`, "m").exec(users) ?? []
    if (uid !== undefined && Number(uid) !== 0) return { uid: Number(uid), gid: Number(gid) }
  }
  throw new PgstowError("usage", "PostgreSQL does not run as root, and there is no user postgres or nobody", {
    hint: "Run the drill as another user than root, or make a user postgres.",
  })
}

/** Resolves when the server takes connections: it says so in the last line of its file. */
async function ready(server: Child, pidFile: string, signal: AbortSignal): Promise<void> {
  let isOver = false
  const ended = server.ended.finally(() => {
    isOver = true
  })
  ended.catch(() => {}) // It is awaited below.
  while (!isOver) {
    signal.throwIfAborted()
    const text = await readFile(pidFile, "utf8").catch(() => "")
    if (/\bready\s*$/.test(text)) return
    await sleep(20)
  }
  await ended
  throw new PgstowError("postgres", "the server ended as it was started")
}

/**
 * What is told here is what to end; the end of the input, which comes with the end of this process, in whatever way,
 * has it done. Then all temporary folders of this process go, whose names begin alike.
 */
const guardScript = `
  pid=
  while read -r line; do
    [ "$line" = done ] && exit 0
    pid=$line
  done
  if [ -n "$pid" ] && kill -QUIT "$pid"; then
    n=0
    while [ $n -lt 50 ] && kill -0 "$pid"; do n=$((n + 1)); sleep 0.1; done
    kill -KILL "$pid"
  fi
  n=0
  while [ $n -lt 50 ] && [ -e "$1" ]; do n=$((n + 1)); rm -rf "\${1%-*}"-*; sleep 0.1; done`

type Guard = {
  /** What is to be ended from now on. */
  watch(pid: number | undefined): void
  /** Nothing is left to do for it. */
  dismiss(): Promise<void>
}

/** A process that ends the server and removes its folder where this process can't. No signal to this one reaches it. */
function guardFolder(folder: string): Guard {
  const guard: ChildProcess = spawn("/bin/sh", ["-c", guardScript, "sh", folder], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
    cwd: "/",
  })
  const ended = new Promise<void>((resolve) => {
    guard.once("close", () => resolve())
    guard.once("error", () => resolve())
  })
  guard.stdin?.on("error", () => {}) // It is gone, and `ended` says so.
  guard.unref()
  return {
    watch: (pid) => void (pid !== undefined && guard.stdin?.write(`${pid}\n`)),
    async dismiss() {
      // It is waited for now.
      guard.ref()
      guard.stdin?.end("done\n")
      await ended
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1")
  await new Promise((resolve, reject) => server.once("listening", resolve).once("error", reject))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === "string") throw new TypeError("a TCP server has a port")
  return address.port
}
