import { randomBytes } from "node:crypto"
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { generateX25519Identity, identityToRecipient } from "age-encryption"
import { bundle } from "../../task/build/bundle.ts"
import { bundleProgram } from "../../task/build/bundle-program.ts"
import { outputOf } from "../../task/processes/child.ts"
import { type PostgresCluster, startPostgres } from "../support/postgres.ts"
import { pythonTools } from "../support/python-tools.ts"
import { type Measured, measure } from "./measure.ts"
import { type Service, startService } from "./service.ts"

/** As a server of some 2 GB of memory would have them; what is not here is PostgreSQL's default. */
export const serverSettings = {
  shared_buffers: "256MB",
  max_wal_size: "4GB",
  checkpoint_timeout: "30min",
  maintenance_work_mem: "128MB",
  wal_level: "replica",
  // Nobody else is to work while something is measured.
  autovacuum: "off",
}

/** What startPostgres sets beside these, and matters here. */
export const throwAwaySettings = { fsync: "off", synchronous_commit: "off", full_page_writes: "off" }

/** Everything that is needed to measure: a server that speaks TLS alone, the programs, the keys. */
export type Bed = AsyncDisposable & {
  readonly server: PostgresCluster
  /** On disk; it goes when all is over. */
  readonly folder: string
  /** In memory; it goes when all is over. */
  readonly memoryFolder: string
  /** How programs reach the server, what they need, and where they find each other. */
  readonly env: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

/** Where scripts find these, beside what `Bed.env` names. */
export type RunFolders = {
  /** What is left in here is what was stored. */
  readonly OUT: string
  readonly SCRATCH: string
  readonly MEMORY: string
}

/** Sets everything up. What was begun is taken down again where that fails. */
export async function makeBed(signal: AbortSignal): Promise<Bed> {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-bench-"))
  const undo = new AsyncDisposableStack()
  undo.defer(() => rm(folder, { recursive: true, force: true }))
  try {
    const memoryFolder = await mkdtemp("/dev/shm/pgstow-bench-")
    undo.defer(() => rm(memoryFolder, { recursive: true, force: true }))
    const server = await startPostgres({ onDisk: true, tls: true, settings: serverSettings })
    undo.defer(() => server.stop())
    // Whatever it is at work on, for minutes perhaps, then ends at once.
    const crash = () => void server.crash()
    signal.addEventListener("abort", crash)
    undo.defer(() => signal.removeEventListener("abort", crash))
    signal.throwIfAborted()
    const [program, uploader] = [join(folder, "pgstow.mjs"), join(folder, "upload.mjs")]
    bundleProgram(program)
    bundle("test/bench/upload.ts", uploader)
    const python = join(pythonTools(["cryptography==50.0.2"]), "python3")
    const keyFile = join(folder, "sentinel.key")
    await writeFile(keyFile, randomBytes(32).toString("base64"), { mode: 0o600 })
    const identity = await generateX25519Identity()
    const env = {
      ...server.env,
      PATH: [server.binDir, process.env.PATH].join(delimiter),
      HOME: "/nonexistent",
      LC_ALL: "C.UTF-8",
      PGSSLMODE: "verify-full",
      PGSSLROOTCERT: server.rootCertificate ?? "",
      NODE: process.execPath,
      PGSTOW: program,
      UPLOADER: uploader,
      PYTHON: python,
      EMITI: join(import.meta.dirname, "emiti.py"),
      ENCRYPTION_KEY: randomBytes(32).toString("base64url").concat("="),
      SENTINEL_KEY_FILE: keyFile,
      PGSTOW_PG_BIN: server.binDir,
      PGSTOW_IDENTITY: identity,
      PGSTOW_RECIPIENTS: await identityToRecipient(identity),
      AWS_EC2_METADATA_DISABLED: "true",
    }
    return { server, folder, memoryFolder, env, signal, [Symbol.asyncDispose]: () => undo.disposeAsync() }
  } catch (error) {
    await undo.disposeAsync()
    throw error
  }
}

/** An S3 endpoint in a process of its own, and the environment by which pgstow stores there. */
export async function startSink(
  folder: string,
): Promise<{ readonly service: Service; readonly env: Readonly<Record<string, string>> }> {
  const service = await startService("s3-sink.ts", [folder])
  // The sink prints an object of texts.
  const env = JSON.parse(service.answer) as Record<string, string>
  return { service, env }
}

/**
 * Measures a script in new folders, which go afterwards, together with a new S3 endpoint that keeps its objects in
 * OUT. Nothing else is in the environment than that of the bed and `env`.
 */
export async function measureIn(
  bed: Bed,
  script: string,
  env: Readonly<Record<string, string>>,
): Promise<Measured & { readonly storedBytes: number }> {
  const folder = join(bed.folder, "run")
  const folders: RunFolders = {
    OUT: join(folder, "out"),
    SCRATCH: join(folder, "scratch"),
    MEMORY: join(bed.memoryFolder, "run"),
  }
  for (const one of Object.values(folders)) await mkdir(one, { recursive: true })
  const sink = await startSink(folders.OUT)
  try {
    const all = { ...bed.env, ...sink.env, ...folders, ...env }
    const { server, signal } = bed
    const measured = await measure({ script, env: all, folder }, { serverFolder: server.socketDir, signal })
    return { ...measured, storedBytes: await bytesIn(folders.OUT) }
  } finally {
    await sink.service.stop()
    for (const one of [folder, folders.MEMORY]) await rm(one, { recursive: true, force: true })
  }
}

/** The bytes of all files below a folder, but for a certificate. */
async function bytesIn(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile() && !entry.name.endsWith(".crt"))
  const sizes = await Promise.all(
    files.map(async (file) => (await stat(join(file.parentPath, file.name))).size),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** How many bytes of a database pg_dump gives out. It is also read once by this. */
export async function rawBytesOf({ env, signal }: Bed, database: string): Promise<number> {
  const args = ["-c", "set -o pipefail; pg_dump -Fc -Z0 | wc -c"]
  return Number(await outputOf({ file: "bash", args, env: { ...env, PGDATABASE: database } }, signal))
}
