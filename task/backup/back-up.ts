import { setTimeout as sleep } from "node:timers/promises"
import { manifestsBefore, putCheck } from "../catalog/catalog.ts"
import { checkManifest } from "../catalog/check-manifest.ts"
import { clockAheadSeconds, describeClock } from "../catalog/clocks.ts"
import { signManifest } from "../catalog/manifest-signature.ts"
import { formatCount, formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import { backupId } from "../core/backup-id.ts"
import type { Check, Finding, Problem } from "../core/check.ts"
import { formatProblem } from "../core/check.ts"
import { shrinkWarnings } from "../core/compare-backups.ts"
import { formatVersion, type Manifest, rawBytes, storedBytes } from "../core/manifest.ts"
import { bigTableBytes, defaultJobs, planSegments } from "../core/plan.ts"
import { messageOf, PgstowError } from "../errors.ts"
import type { SigningKey } from "../keys/signing-key.ts"
import { type Clients, chooseClients, findClients, newestClients } from "../postgres/clients.ts"
import { type Connection, databaseIn, describe, takesSettings, withSettings } from "../postgres/connection.ts"
import { LockWaitError } from "../postgres/dump-failure.ts"
import { readGlobals } from "../postgres/globals.ts"
import { globalsSql } from "../postgres/globals-sql.ts"
import { neutralLocale } from "../postgres/money.ts"
import { readOperatorPaths } from "../postgres/operator-paths.ts"
import { refuseTransactionPooler } from "../postgres/pooler.ts"
import { inspectServer } from "../postgres/server.ts"
import { openSession, type Session } from "../postgres/session.ts"
import { openSnapshot } from "../postgres/snapshot.ts"
import { readTableRows } from "../postgres/table-rows.ts"
import { explainLockWait, readTables } from "../postgres/tables.ts"
import { readHidden, readUnloggedTables } from "../postgres/unread-rows.ts"
import { machine } from "../processes/machine.ts"
import { ObjectNotFoundError, type Storage } from "../storage/storage.ts"
import { findZstd } from "../streams/zstd.ts"
import { verify } from "../verify/verify.ts"
import { version } from "../version.ts"
import { storeObjects } from "./objects.ts"
import { probeStorages } from "./probe-storages.ts"
import { backupWriter } from "./writer.ts"

export type BackupOptions = {
  readonly connection: Connection
  /** Folders with client programs, searched first. */
  readonly clientFolders: readonly string[]
  readonly storages: readonly Storage[]
  /** The name in the catalog; the database's own where it is undefined. */
  readonly name: string | undefined
  /** Whom the backup is sealed for, as `parseRecipients` gave them; undefined stores it unencrypted. */
  readonly recipients: readonly string[] | undefined
  /** What the manifest is signed by. */
  readonly signingKey?: SigningKey | undefined
  /** How many streams at once, each with a connection; `auto` is what the machine and the server bear. */
  readonly jobs: number | "auto"
  /** zstd's. */
  readonly compressLevel: number
  readonly lockWaitSeconds: number
  /** Whether what was stored is read back. */
  readonly verify: boolean
  /** By how many percent a backup, or a table, must shrink for a warning. */
  readonly shrinkWarning: number
}

export type BackupResult = {
  readonly id: string
  readonly database: string
  readonly storedBytes: number
  readonly rawBytes: number
  /** From the start until the manifests were written; reading back comes on top. */
  readonly seconds: number
  readonly storages: readonly BackupCopy[]
  /** What the backup before took up; null where there is none that could be read. */
  readonly lastStoredBytes: number | null
  /** What is not in the backup, and what looks as if data was lost since the one before, a sentence each. */
  readonly warnings: readonly string[]
}

/** What became of the backup in one storage. */
export type BackupCopy = {
  readonly storage: string
  /** "stored" was not read back; "missing" has no manifest, so there is no backup. */
  readonly state: "verified" | "stored" | "damaged" | "missing"
  /** Why it failed, what is damaged, or why it could not be read back. */
  readonly error: string | null
}

/**
 * Backs up one database into every storage, in one pass over its data. A storage that fails is left out while the
 * others go on; `backupFailure` reports it. One that could not take anything is found out before the database is
 * asked for anything.
 *
 * Where somebody comes to wait for a table that the backup has locked, and has still to lock in another session,
 * neither would ever get on: the backup releases its locks and starts over once, in one stream, which takes all its locks at
 * the beginning.
 *
 * Rejects where no storage holds the backup: then none has a manifest, and what was stored is removed as far as
 * the writer may.
 */
export async function backup(options: BackupOptions, context: Context): Promise<BackupResult> {
  const { storages } = options
  const name = options.name ?? databaseIn(options.connection)
  const unable = name === undefined ? undefined : await probeStorages(storages, name, context)
  const { manifest, failures, warnings } = await writeBackup(options, unable, context).catch(
    (error: unknown) => {
      if (!(error instanceof LockWaitError) || context.signal.aborted) throw error
      context.log.warn(`${error.message}: the backup starts over, in one stream`)
      return writeBackup({ ...options, jobs: 1 }, unable, context)
    },
  )
  for (const storage of storages) {
    const aheadSeconds = failures.has(storage) ? null : clockAheadSeconds(storage, context.now())
    if (aheadSeconds !== null) context.log.warn(`${describeClock(storage.url, aheadSeconds)}: set it by NTP`)
  }
  const copies: BackupCopy[] = []
  for (const storage of storages) {
    const failure = failures.get(storage)
    if (failure) copies.push({ storage: storage.url, state: "missing", error: messageOf(failure) })
    else if (!options.verify) copies.push({ storage: storage.url, state: "stored", error: null })
    else copies.push(await readBack(storage, manifest, context))
    if (context.signal.aborted) throw unread(manifest, context.signal)
  }
  const earlier = await compareWithEarlier(manifest, options, context)
  return {
    id: manifest.id,
    database: manifest.database,
    storedBytes: storedBytes(manifest),
    rawBytes: rawBytes(manifest),
    seconds: (Date.parse(manifest.finishedAt) - Date.parse(manifest.startedAt)) / 1000,
    storages: copies,
    lastStoredBytes: earlier.lastStoredBytes,
    warnings: [...warnings, ...earlier.warnings],
  }
}

const comparedWith = 5

/** Holds a backup against the last ones. Who may not read the storages is not told anything. */
async function compareWithEarlier(
  manifest: Manifest,
  { storages, verify, shrinkWarning }: BackupOptions,
  { log }: Context,
): Promise<Pick<BackupResult, "lastStoredBytes" | "warnings">> {
  for (const storage of verify ? storages : []) {
    try {
      const earlier = await manifestsBefore(storage, manifest, comparedWith)
      const [last] = earlier
      if (!last) continue
      const warnings = shrinkWarnings(manifest, earlier, shrinkWarning)
      for (const warning of warnings) log.warn(warning)
      return { lastStoredBytes: storedBytes(last), warnings }
    } catch (error) {
      log.debug(`not compared with earlier backups: ${messageOf(error)}`)
    }
  }
  return { lastStoredBytes: null, warnings: [] }
}

/** What is to be said, and exited with, of a backup that is not good in every storage. */
export function backupFailure({ id, database, storages }: BackupResult): PgstowError | undefined {
  const bad = storages.filter(({ error }) => error !== null)
  if (bad.length === 0) return undefined
  const what = bad.map(({ storage, state, error }) => `${storage}: ${state}: ${error}`).join("; ")
  const damaged = bad.some(({ state }) => state === "damaged")
  const unread = bad.every(({ state }) => state === "stored")
  return new PgstowError(
    damaged ? "damaged" : bad.length < storages.length ? "partial" : "storage",
    `backup ${id} of ${formatName(database)} is not good everywhere: ${what}`,
    {
      hint: unread
        ? "Verify it from where it may be read; --no-verify says that this is not to be tried here."
        : "Fix the storage and back up again; the good copies stay.",
    },
  )
}

/** A snapshot does not survive in a pooler that lends connections by the transaction: a second session proves it. */
async function refusePooler(
  clients: Clients,
  session: Session,
  connection: Connection,
  context: Context,
): Promise<void> {
  const second = await openSession(clients, connection, context)
  try {
    await refuseTransactionPooler(session, second)
  } finally {
    await second.close()
  }
}

/** Reads back what one storage holds of a backup. */
export async function readBack(storage: Storage, manifest: Manifest, context: Context): Promise<BackupCopy> {
  try {
    const problems = await verifyWritten(storage, manifest, context)
    if (problems.length === 0) return { storage: storage.url, state: "verified", error: null }
    return { storage: storage.url, state: "damaged", error: problems.map(formatProblem).join("; ") }
  } catch (error) {
    if (error instanceof ObjectNotFoundError)
      return { storage: storage.url, state: "missing", error: "it took the manifest and does not have it" }
    return { storage: storage.url, state: "stored", error: `could not be read back: ${messageOf(error)}` }
  }
}

/** Verifies a backup, its manifest included. Throws an ObjectNotFoundError where the storage has no manifest. */
async function verifyWritten(
  storage: Storage,
  manifest: Manifest,
  context: Context,
): Promise<readonly Problem[]> {
  // Nobody can have checked it before it was there.
  const seen: readonly Finding[] = []
  const problem = await checkManifest(storage, manifest)
  if (!problem) return (await verify(storage, manifest, { seen }, context)).problems
  const problems = [problem]
  const check: Check = {
    kind: "failed",
    at: context.now().toISOString(),
    by: `pgstow ${version}`,
    problems,
  }
  await putCheck(storage, manifest, check, seen)
  return problems
}

/** What an interruption leaves once the manifests are written. */
function unread({ id }: Manifest, { reason }: AbortSignal): unknown {
  if (!(reason instanceof PgstowError)) return reason
  return new PgstowError(reason.kind, `${reason.message} before all of backup ${id} was read back`, {
    hint: `It is stored: check it by \`pgstow verify ${id}\`.`,
  })
}

/**
 * Dumps the database into every storage, and returns the manifest and why storages failed.
 *
 * @param unable the storages that can take nothing; undefined where that could not be found out before the server
 *   has named the database
 */
async function writeBackup(
  options: BackupOptions,
  unable: ReadonlyMap<Storage, unknown> | undefined,
  context: Context,
) {
  const { storages, recipients, compressLevel, lockWaitSeconds } = options
  const { env, log, now } = context
  const startedAt = now()
  const installed = await findClients(context, options.clientFolders)
  const newest = newestClients(installed)
  const session = await openSession(newest, options.connection, { env, signal: context.signal })
  const { connection: plain } = session
  // A lost session is a lost snapshot: what reads from it ends too.
  const signal = AbortSignal.any([context.signal, session.lost])
  try {
    await refusePooler(newest, session, plain, context)
    const { isInRecovery, dataBytes, freeConnections, money, ...source } = await inspectServer(session)
    const writtenBy = takesSettings(plain) ? neutralLocale : money?.lcMonetary
    const connection = money ? withSettings(plain, { lc_monetary: neutralLocale }) : plain
    const clients = chooseClients(installed, session.serverMajor)
    const name = {
      database: options.name ?? source.database,
      id: backupId(startedAt, Array.from({ length: 6 }, Math.random)),
    }
    const failures = unable ?? (await probeStorages(storages, name.database, context))
    const snapshot = await openSnapshot(session, { lockWaitSeconds })
    const resources = { ...machine(), freeConnections }
    const jobs = options.jobs === "auto" ? defaultJobs(resources) : options.jobs
    const segments = planSegments(await readTables(session, bigTableBytes), {
      jobs,
      serverMajor: session.serverMajor,
      encoding: source.encoding,
    })
    const streams = jobs > 1 ? `, ${formatCount(jobs, "stream")} at once` : ""
    log.info(`backing up ${describe(connection)}${streams}`, {
      ...name,
      server: source.serverVersion,
      isInRecovery,
      jobs,
      ...resources,
      segments: segments.length,
    })

    const tableRows = await readTableRows(session)
    const operatorPaths = await readOperatorPaths(session)
    const withoutRows = isInRecovery ? await readUnloggedTables(session) : []
    const warnings = [
      ...(await readHidden(session)),
      ...(withoutRows.length > 0
        ? [
            `a standby has no rows of unlogged tables, so these are not in the backup: ${withoutRows.join(", ")}`,
          ]
        : []),
    ]
    for (const warning of warnings) log.warn(warning)
    const globals = globalsSql(await readGlobals(session, log.warn))
    const zstd = await findZstd(env)
    const writer = backupWriter(
      { name, storages, recipients, compressLevel, zstd, failures, expectedBytes: dataBytes },
      { ...context, signal },
    )
    try {
      const objects = await storeObjects(
        {
          clients,
          connection,
          snapshot: snapshot.id,
          serverMajor: session.serverMajor,
          source,
          globals,
          expectedBytes: dataBytes,
          segments,
          jobs,
          lockWaitSeconds,
        },
        writer,
        context,
      ).catch(async (error: unknown) => {
        if (error instanceof LockWaitError) throw await explainLockWait(session, error)
        // Where the session was lost, that is why: what reads from its snapshot fails too, in other words.
        await Promise.race([session.execute("SELECT 1"), sleep(5_000, undefined, { ref: false })])
        throw error
      })
      // Only while it answers has the session held its locks: without them a table could have been emptied.
      await session.execute("SELECT 1")
      const unsigned: Manifest = {
        format: formatVersion,
        ...name,
        writtenBy: `pgstow ${version}`,
        startedAt: startedAt.toISOString(),
        finishedAt: now().toISOString(),
        source: {
          ...source,
          clientVersion: clients.version,
          ...(money && writtenBy !== undefined && { money: { ...money, writtenBy } }),
        },
        tableRows,
        ...(operatorPaths.length > 0 && { operatorPaths }),
        ...(withoutRows.length > 0 && { withoutRows }),
        snapshot: { time: snapshot.time, lsn: snapshot.lsn },
        compression: { algorithm: "zstd", level: compressLevel },
        encryption: recipients ? { algorithm: "age", recipients: [...recipients] } : { algorithm: "none" },
        objects,
      }
      const { signingKey } = options
      const manifest = signingKey ? signManifest(unsigned, signingKey) : unsigned
      signal.throwIfAborted()
      await writer.finish(manifest)
      return { manifest, failures: writer.failures, warnings }
    } finally {
      await writer.discard()
    }
  } finally {
    context.progress.clear()
    await session.close()
  }
}
