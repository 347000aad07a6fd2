import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { generateX25519Identity, identityToRecipient } from "age-encryption"
import { expect, onTestFinished } from "vitest"
import { failureOfRun } from "./failure-line.ts"
import { type Finished, type Running, runPgstow, startPgstow } from "./pgstow.ts"
import type { PostgresServer } from "./postgres.ts"
import { sharedPostgres } from "./shared-postgres.ts"

/** A user's machine: a server with a database, a folder for backups, a key, and the program. */
export type Scene = {
  readonly server: PostgresServer
  /** An empty database, until the test fills it. */
  readonly database: string
  /** For whatever files the test needs; it goes when the test ends. */
  readonly folder: string
  /** The URL of a directory that does not exist yet. */
  readonly storage: string
  readonly identity: string
  readonly recipient: string
  /** What the user has exported: DATABASE_URL, PGSTOW_STORAGE, PGSTOW_RECIPIENTS, PGSTOW_IDENTITY. */
  readonly env: Readonly<Record<string, string>>
  readonly run: (args: readonly string[], env?: Readonly<Record<string, string>>) => Promise<Finished>
  readonly start: (args: readonly string[], env?: Readonly<Record<string, string>>) => Running
  /** Runs the program, and fails the test unless it ends well. Gives what it says with --json. */
  readonly json: (args: readonly string[], env?: Readonly<Record<string, string>>) => Promise<unknown>
  /** Fails the test where a storage has a backup. */
  readonly expectNoBackup: () => Promise<void>
}

export function expectNoBackup(run: Scene["run"]): Scene["expectNoBackup"] {
  return async () => expect(failureOfRun(await run(["list"])).kind).toBe("notFound")
}

/** Sets a scene that is taken down when the test ends, on the shared server of a major version or on `from`. */
export async function setScene(from?: number | PostgresServer): Promise<Scene> {
  const server = typeof from === "object" ? from : await sharedPostgres(from)
  const database = await server.createDatabase()
  const folder = await mkdtemp(join(tmpdir(), "pgstow-scene-"))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const identity = await generateX25519Identity()
  const recipient = await identityToRecipient(identity)
  const storage = `file://${folder}/backups`
  const env = {
    DATABASE_URL: server.url(database),
    PGSTOW_PG_BIN: server.binDir,
    PGSTOW_STORAGE: storage,
    PGSTOW_RECIPIENTS: recipient,
    PGSTOW_IDENTITY: identity,
    TMPDIR: folder,
  }
  const run: Scene["run"] = (args, more) => runPgstow(args, { ...env, ...more }, { cwd: folder })
  return {
    server,
    database,
    folder,
    storage,
    identity,
    recipient,
    env,
    run,
    start: (args, more) => startPgstow(args, { ...env, ...more }, { cwd: folder }),
    json: async (args, more) => {
      const { exitCode, stdout, stderr } = await run([...args, "--json"], more)
      if (exitCode !== 0) throw new Error(`pgstow ${args.join(" ")} exited with ${exitCode}: ${stderr}`)
      const answer: unknown = JSON.parse(stdout)
      return answer
    },
    expectNoBackup: expectNoBackup(run),
  }
}
