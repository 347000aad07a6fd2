import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { randomBytes, randomInt } from "node:crypto"
import { once } from "node:events"
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  globSync,
  openSync,
  readFileSync,
  statfsSync,
} from "node:fs"
import { chown, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { homedir, tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { text } from "node:stream/consumers"
import { finished } from "node:stream/promises"
import { setTimeout as sleep } from "node:timers/promises"
import { selfSignedCertificate } from "./self-signed-certificate.ts"

/** A PostgreSQL that is installed on this machine, with its server and all its client programs. */
export type InstalledPostgres = { readonly major: number; readonly version: string; readonly binDir: string }

/** Where a running server is: plain data, so that one process can tell another. */
export type ServerAddress = InstalledPostgres & {
  readonly port: number
  readonly socketDir: string
  /** The password of the superuser `postgres`. */
  readonly password: string
  /** The certificate that a client must trust to verify the server, where it speaks TLS. */
  readonly rootCertificate: string | undefined
}

export type PostgresServer = ServerAddress & {
  /** How to reach `database` as superuser over TCP. The password is in it. */
  url(database: string): string
  /** PGHOST, PGPORT, PGUSER and PGPASSWORD for the superuser over TCP. */
  readonly env: Readonly<Record<string, string>>
  /** Runs SQL, or a psql script, and resolves to what psql printed (unaligned, tuples only). */
  psql(sql: string, database?: string): Promise<string>
  /** Makes an empty database and resolves to its name. */
  createDatabase(name?: string): Promise<string>
}

export type PostgresCluster = PostgresServer & {
  /** Ends the server and removes its folder. May be called twice. */
  stop(): Promise<void>
  /** Ends the server at once, as a crash would, and leaves the folder until `stop`. */
  crash(): Promise<void>
}

export type StartOptions = {
  /** The programs to use; the newest installed of `major`, or of all, without. */
  readonly binDir?: string
  readonly major?: number
  /** For postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>
  /** Speak TLS with a certificate of the server's own for localhost and 127.0.0.1, and refuse TCP without it. */
  readonly tls?: boolean
  /** A replica that waits for a primary and serves what it has. */
  readonly standby?: boolean
  /** A replica of this server, of the same version, whose `wal_level` must be `replica`. */
  readonly primary?: PostgresServer
  /** Keep the data on disk: for gigabytes, and where that is what is measured. */
  readonly onDisk?: boolean
}

/** Where `install-postgres.ts` puts what it downloads: a folder that the user who runs servers can read. */
export const installRoot =
  process.getuid?.() === 0 ? "/var/tmp/pgstow-postgres" : join(homedir(), ".cache/pgstow/postgres")

/** The oldest major version that all the tests know. Older ones are tested by themselves, in `test/majors`. */
export const oldestTested = 15

const needed = ["postgres", "initdb", "psql", "pg_dump", "pg_restore", "pg_dumpall"]

/**
 * Every major version that is installed with its server and its client programs, oldest first. Where one is
 * installed twice, PGSTOW_TEST_POSTGRES (folders of programs, separated by ":") goes first, then PATH.
 * PGSTOW_TEST_MAJORS ("15 17") passes over all other majors.
 */
export function findPostgres(): InstalledPostgres[] {
  const { PGSTOW_TEST_FOUND: found } = process.env
  // `rememberPostgres` wrote it.
  if (found !== undefined) return JSON.parse(found) as InstalledPostgres[]
  const folders = [
    ...(process.env.PGSTOW_TEST_POSTGRES ?? "").split(delimiter),
    ...(process.env.PATH ?? "").split(delimiter).flatMap(binDirByPgConfig),
    ...globSync([
      "/usr/lib/postgresql/*/bin",
      "/usr/pgsql-*/bin",
      "/opt/homebrew/opt/postgresql@*/bin",
      "/usr/local/opt/postgresql@*/bin",
    ]),
    ...globSync([join(installRoot, "*/bin"), join(installRoot, "*/postgresql/bin")]).sort(newestFirst),
  ]
  const byMajor = new Map<number, InstalledPostgres>()
  for (const binDir of folders) {
    if (binDir === "" || !needed.every((name) => isExecutable(join(binDir, name)))) continue
    const version = execFileSync(join(binDir, "postgres"), ["--version"], { encoding: "utf8" })
    const [, number, major] = /\(PostgreSQL\) ((\d+)\S*)/.exec(version) ?? []
    if (number === undefined || byMajor.has(Number(major))) continue
    byMajor.set(Number(major), { major: Number(major), version: number, binDir })
  }
  const wanted = process.env.PGSTOW_TEST_MAJORS?.split(" ") ?? []
  return [...byMajor.values()]
    .filter(({ major }) => wanted.length === 0 || wanted.includes(String(major)))
    .sort((a, b) => a.major - b.major)
}

/** Makes what is found now the answer for this process and those that it starts, which need not look again. */
export function rememberPostgres(): void {
  process.env.PGSTOW_TEST_FOUND = JSON.stringify(findPostgres())
}

function newestFirst(a: string, b: string): number {
  return b.localeCompare(a, "en", { numeric: true })
}

/** Starts a server of its own in a new folder. It ends, and the folder goes, when this process ends too. */
export async function startPostgres(options: StartOptions = {}): Promise<PostgresCluster> {
  const installed = choose(options)
  const user = serverUser()
  const folder = await mkdtemp(join(options.onDisk ? tmpdir() : fastFolder(), "pgstow-postgres-"))
  const keep = removeWithThisProcess(folder)
  const remove = async () => {
    await rm(folder, { recursive: true, force: true })
    keep()
  }
  try {
    if (user) await chown(folder, user.uid, user.gid)
    const dataDir = join(folder, "data")
    const password = options.primary?.password ?? randomBytes(12).toString("hex")
    if (options.primary) await copyCluster(options.primary, dataDir)
    else await makeCluster(installed, dataDir, password)

    const tls = options.tls ? await installCertificate(folder) : {}
    if (options.tls) await writeFile(join(dataDir, "pg_hba.conf"), tlsOnly)
    const isStandby = options.standby === true || options.primary !== undefined
    if (isStandby) await writeFile(join(dataDir, "standby.signal"), "")
    const replica = isStandby ? { wal_level: "replica", max_wal_senders: "10" } : {}
    const primary = options.primary ? { primary_conninfo: conninfoOf(options.primary) } : {}
    const settings = {
      ...throwAwaySettings,
      ...hashSettings(installed),
      unix_socket_directories: folder,
      ...replica,
      ...primary,
      ...tls,
      ...options.settings,
    }
    const lines = Object.entries(settings).map(
      ([name, value]) => `${name} = '${value.replaceAll("'", "''")}'`,
    )
    await writeFile(join(dataDir, "postgresql.conf"), `${lines.join("\n")}\n`)

    const { port, ended, postmaster } = await startPostmaster(installed.binDir, folder)
    const end = async (signal: NodeJS.Signals) => {
      postmaster.kill(signal)
      const quit = setTimeout(() => postmaster.kill("SIGQUIT"), 5_000)
      await ended
      clearTimeout(quit)
    }
    return {
      ...serverAt({
        ...installed,
        port,
        socketDir: folder,
        password,
        rootCertificate: options.tls ? join(folder, "server.crt") : undefined,
      }),
      crash: () => end("SIGQUIT"),
      stop: async () => {
        await end("SIGINT")
        await remove()
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}

/** The functions that go with the address of a running server. */
export function serverAt(address: ServerAddress): PostgresServer {
  const { binDir, port, socketDir, password, major } = address
  // Without writing the copy to the log, which PostgreSQL can do since 15, and does unless told otherwise.
  const strategy = major >= 15 ? "STRATEGY file_copy" : ""
  const env = { PGHOST: "127.0.0.1", PGPORT: String(port), PGUSER: "postgres", PGPASSWORD: password }
  const psql = (sql: string, database = "postgres") =>
    // As an argument, a name with "=" in it would be taken for a connection string.
    run(join(binDir, "psql"), ["-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"], sql, {
      ...env,
      // Where no password is asked for, which takes half the time.
      PGHOST: socketDir,
      PGDATABASE: database,
    })
  return {
    ...address,
    url: (database) => `postgres://postgres:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}`,
    env,
    psql,
    createDatabase: async (name = `test_${randomBytes(6).toString("hex")}`) => {
      await psql(`CREATE DATABASE "${name.replaceAll('"', '""')}" TEMPLATE template0 ${strategy}`)
      return name
    },
  }
}

/** In memory where there is plenty of it, since there a database is made in a third of the CPU time. */
function fastFolder(): string {
  const inMemory = "/dev/shm"
  if (!existsSync(inMemory)) return tmpdir()
  const { bavail, bsize } = statfsSync(inMemory)
  return Math.min(bavail * bsize, process.availableMemory()) > 4 * 1024 ** 3 ? inMemory : tmpdir()
}

async function makeCluster(installed: InstalledPostgres, dataDir: string, password: string): Promise<void> {
  const passwordFile = `${dataDir}.password`
  await writeFile(passwordFile, password)
  const cluster =
    "--username=postgres --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --no-locale --no-sync"
  const settings = Object.entries(hashSettings(installed)).map(([name, value]) => `--set=${name}=${value}`)
  const args = [...cluster.split(" "), ...settings, `--pwfile=${passwordFile}`, dataDir]
  await run(join(installed.binDir, "initdb"), args)
}

/** Thousands of connections do not each take thousands of hashes, where PostgreSQL lets that be said. */
function hashSettings({ major }: InstalledPostgres): Record<string, string> {
  return major >= 16 ? { scram_iterations: "1" } : {}
}

/** Copies a server's cluster. */
async function copyCluster({ binDir, env }: PostgresServer, dataDir: string): Promise<void> {
  const args = ["--checkpoint=fast", "--no-sync", `--pgdata=${dataDir}`]
  await run(join(binDir, "pg_basebackup"), args, "", env)
}

const conninfoOf = ({ port, password }: PostgresServer) =>
  `host=127.0.0.1 port=${port} user=postgres password=${password}`

const throwAwaySettings = {
  listen_addresses: "127.0.0.1",
  shared_buffers: "64MB",
  fsync: "off",
  synchronous_commit: "off",
  full_page_writes: "off",
  wal_level: "minimal",
  max_wal_size: "256MB",
  // In its folder: a server that crashes leaves nothing elsewhere.
  dynamic_shared_memory_type: "mmap",
  max_wal_senders: "0",
  lc_messages: "C",
  log_destination: "stderr",
}

const tlsOnly = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"

function choose({ binDir, major }: StartOptions): InstalledPostgres {
  const all = findPostgres()
  const found = all.findLast((one) => (binDir ? one.binDir === binDir : !major || one.major === major))
  if (found) return found
  const wanted = binDir ?? `PostgreSQL ${major ?? ""}`
  throw new Error(
    `${wanted.trim()} is not installed with its server and clients (found: ${all.map(({ version }) => version).join(", ")}); ` +
      "install it, or run `node test/support/install-postgres.ts`",
  )
}

/** PostgreSQL refuses to run as root: who it runs as then. */
export function serverUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const users = readFileSync("/etc/passwd", "utf8")
  const [, uid, gid] =
    /^postgres:[^:]*:(\d+):(\d+):/m.exec(users) ?? /^nobody:[^:]*:(\d+):(\d+):/m.exec(users) ?? []
  return { uid: Number(uid), gid: Number(gid) }
}

async function startPostmaster(binDir: string, folder: string) {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    const log = openSync(join(folder, "log"), "w")
    // In a session of its own, so that Ctrl-C in a terminal reaches us and not the server under us.
    const postmaster = spawn(join(binDir, "postgres"), ["-D", join(folder, "data"), "-p", String(port)], {
      ...serverUser(),
      // The extensions of a package find the package's own libpq, and not the system's older one.
      env: binDir.startsWith(installRoot)
        ? { ...process.env, LD_LIBRARY_PATH: join(binDir, "../lib") }
        : process.env,
      stdio: ["ignore", log, log],
      detached: true,
    })
    closeSync(log)
    const ended = new Promise<void>((resolve) => postmaster.once("close", () => resolve()))
    postmaster.unref()
    if (await isReady(postmaster, join(folder, "data/postmaster.pid"))) return { port, postmaster, ended }
    await ended
    const words = await readFile(join(folder, "log"), "utf8")
    if (attempt === 3 || !words.includes("Address already in use"))
      throw new Error(`the PostgreSQL server did not start:\n${words}`)
  }
}

/** As pg_ctl does it: the server writes its status into the last line of postmaster.pid. */
async function isReady(postmaster: ChildProcess, pidFile: string): Promise<boolean> {
  while (postmaster.exitCode === null && postmaster.signalCode === null) {
    if (existsSync(pidFile) && /\bready\s*$/.test(await readFile(pidFile, "utf8"))) return true
    await sleep(20)
  }
  return false
}

/**
 * A shell that waits for the end of its input, which comes when this process ends, in whatever way, and then
 * ends the server in the folder, if one runs, and removes the folder. Returns how to call it off.
 */
function removeWithThisProcess(folder: string): () => void {
  const script = 'read line; read pid < "$1/data/postmaster.pid" && kill -QUIT "$pid" && sleep 1; rm -rf "$1"'
  const guard = spawn("/bin/sh", ["-c", script, "sh", folder], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  })
  guard.unref()
  return () => guard.kill("SIGKILL")
}

/** Puts a key and a certificate into the folder, and says by which settings the server takes them. */
async function installCertificate(folder: string): Promise<Record<string, string>> {
  const { key, cert } = await selfSignedCertificate()
  const [keyFile, certFile] = [join(folder, "server.key"), join(folder, "server.crt")]
  await writeFile(certFile, cert)
  await writeFile(keyFile, key, { mode: 0o600 })
  const user = serverUser()
  if (user) await chown(keyFile, user.uid, user.gid)
  return { ssl: "on", ssl_cert_file: certFile, ssl_key_file: keyFile }
}

/** Runs a program as the server's user and resolves to what it printed, without the last newline. */
async function run(
  file: string,
  args: string[],
  input = "",
  env: Record<string, string> = {},
): Promise<string> {
  const child = spawn(file, args, {
    ...serverUser(),
    env: { PATH: process.env.PATH, LC_ALL: "C", ...env },
    cwd: "/",
  })
  const status = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject)
    child.once("close", resolve)
  })
  child.stdin.end(input)
  const [, out, errors, code] = await Promise.all([
    finished(child.stdin).catch(() => {}),
    text(child.stdout),
    text(child.stderr),
    status,
  ])
  if (code !== 0) throw new Error(`${file} exited with ${code}: ${errors.trim()}`)
  return out.replace(/\n$/, "")
}

/**
 * A port of 127.0.0.1 at which nobody listens. It is none of those that Linux gives to connections, and to who asks for
 * any port: another process might get it before it is used.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const port = randomInt(12_000, 32_768)
    const server = createServer().listen(port, "127.0.0.1")
    try {
      await once(server, "listening")
      await new Promise((resolve) => server.close(resolve))
      return port
    } catch (error) {
      if (attempt === 100) throw error
    }
  }
}

function binDirByPgConfig(folder: string): string[] {
  const pgConfig = join(folder, "pg_config")
  if (folder === "" || !isExecutable(pgConfig)) return []
  return [execFileSync(pgConfig, ["--bindir"], { encoding: "utf8" }).trim()]
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
