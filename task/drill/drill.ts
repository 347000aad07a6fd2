import { tmpdir } from "node:os"
import { proveThere, putCheck } from "../catalog/catalog.ts"
import { findBackup, readCatalog, warnOfPassedOver } from "../catalog/find-backup.ts"
import type { Context } from "../context.ts"
import type { Check, DrillRecord, Problem } from "../core/check.ts"
import { formatProblem } from "../core/check.ts"
import type { Expectation } from "../core/expectation.ts"
import { type Manifest, storedBytes } from "../core/manifest.ts"
import { PgstowError } from "../errors.ts"
import type { Connection } from "../postgres/connection.ts"
import type { Copy } from "../restore/restore.ts"
import type { Storage } from "../storage/storage.ts"
import { version } from "../version.ts"
import { drillInto } from "./drill-into.ts"
import { checkRoom } from "./room-on-disk.ts"
import { chooseServerPrograms, findServerPrograms } from "./server-programs.ts"
import { startThrowAwayServer } from "./throw-away-server.ts"

export type DrillOptions = {
  readonly storages: readonly Storage[]
  /** As findBackup takes it. */
  readonly backup: string | Date
  readonly database: string | undefined
  /** The public keys of which one must have signed it; any backup will do where there are none. */
  readonly signedBy: readonly string[]
  readonly identities: readonly string[]
  /** The server to restore into; undefined starts one for it. */
  readonly target: Connection | undefined
  /** Folders with PostgreSQL's programs, searched first. */
  readonly clientFolders: readonly string[]
  readonly skipExtensions: readonly string[]
  /** As RestoreOptions has it. */
  readonly searchPath: readonly string[] | undefined
  /** Queries of the user's own. */
  readonly expectations: readonly Expectation[]
  readonly jobs: number | "auto"
}

export type DrillResult = {
  readonly storage: string
  readonly database: string
  readonly id: string
  /** "drill-failed" has problems. */
  readonly kind: "drilled" | "drill-failed"
  readonly problems: readonly Problem[]
  /** What was measured and counted; null where there was nothing to compare. */
  readonly drill: DrillRecord | null
  readonly storedBytes: number
  /** All of it, with the start of a server. */
  readonly seconds: number
  /** How long a server of its own took to start; null where there was one. */
  readonly startSeconds: number | null
}

/**
 * Restores a backup into a server that is thrown away, or into a database of its own on a given one, compares there what
 * came of it with what the backup says, and puts the finding beside it. Nothing else is left of it, however it ends.
 *
 * Resolves also where the drill failed by the backup, or by what the server lacks: `drillFailure` reports it. Rejects
 * where nothing was found out, and then puts nothing.
 */
export async function drill(options: DrillOptions, context: Context): Promise<DrillResult> {
  const { log, now } = context
  const startedAt = now()
  const { database, signedBy, backup } = options
  const catalog = await readCatalog(options.storages, { database, signedBy, warn: log.warn })
  const { entry, passedOver } = findBackup(catalog, backup, database)
  warnOfPassedOver(passedOver, log.warn)
  const { storage, manifest, findings } = entry
  const { problems, drill, startSeconds } = await withServer(entry, options, context, (server) =>
    drillInto(entry, { ...options, ...server }, server.context),
  )
  const kind = problems.length > 0 ? "drill-failed" : "drilled"
  context.signal.throwIfAborted()
  await proveThere(storage, manifest)
  const at = now()
  const check: Check = {
    kind,
    at: at.toISOString(),
    by: `pgstow ${version}`,
    problems,
    ...(drill === undefined ? {} : { drill }),
  }
  await putCheck(storage, manifest, check, findings)
  return {
    storage: storage.url,
    database: manifest.database,
    id: manifest.id,
    kind,
    problems,
    drill: drill ?? null,
    storedBytes: storedBytes(manifest),
    seconds: (at.getTime() - startedAt.getTime()) / 1000,
    startSeconds,
  }
}

/** What is to be said, and exited with, where a drill failed. */
export function drillFailure({ id, storage, problems }: DrillResult): PgstowError | undefined {
  const [first, ...others] = problems
  if (!first) return undefined
  const more = others.length > 0 ? `, and ${others.length} more` : ""
  return new PgstowError(
    "damaged",
    `the drill of ${id} in ${storage} failed: ${formatProblem(first)}${more}`,
    {
      hint: "See all of it with `pgstow show`. Where the server lacks something, install it there or give another by --target; otherwise drill another backup, and back up again.",
    },
  )
}

type Server = {
  readonly connection: Connection
  readonly isThrowAway: boolean
  /** Where the server is reached from: here, for one that is thrown away. */
  readonly context: Context
}

async function withServer<Value>(
  { manifest }: Copy,
  { target, clientFolders }: DrillOptions,
  context: Context,
  use: (server: Server) => Promise<Value>,
): Promise<Value & { readonly startSeconds: number | null }> {
  const { log, signal, progress } = context
  // Programs are run here, whatever the source's are run through.
  const here = { ...context, prefix: undefined, env: withoutServer(context.env) }
  if (target) {
    const { PGPASSWORD, PGPASSFILE } = context.env
    const reaching = { ...here, env: { ...here.env, PGPASSWORD, PGPASSFILE } }
    return {
      ...(await use({ connection: target, isThrowAway: false, context: reaching })),
      startSeconds: null,
    }
  }
  const major = majorOf(manifest)
  const programs = chooseServerPrograms(await findServerPrograms(context, clientFolders), major)
  if (major !== undefined && programs.major !== major)
    log.warn(`there is no PostgreSQL ${major} here: the drill goes to the newer ${programs.major}`)
  await checkRoom(tmpdir(), manifest)
  progress.update({ stage: `starting PostgreSQL ${programs.version}`, doneBytes: 0 })
  const begunAt = performance.now()
  const server = await startThrowAwayServer(programs, context)
  const startSeconds = (performance.now() - begunAt) / 1000
  try {
    signal.throwIfAborted()
    return {
      ...(await use({ connection: server.connection, isThrowAway: true, context: here })),
      startSeconds,
    }
  } finally {
    progress.clear()
    await server.stop()
  }
}

/** Of an imported backup it need not be known. */
function majorOf({ source }: Manifest): number | undefined {
  const major = Number.parseInt(source.serverVersion, 10)
  return Number.isNaN(major) ? undefined : major
}

/** Without what libpq would read of other servers. */
function withoutServer(env: Context["env"]): Context["env"] {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^PG(?!STOW_)/.test(name)))
}
