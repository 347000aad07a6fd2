import { setTimeout as sleep } from "node:timers/promises"
import { signManifest } from "../catalog/manifest-signature.ts"
import { formatCount } from "../console/format.ts"
import type { Context } from "../context.ts"
import { backupId } from "../core/backup-id.ts"
import { formatVersion, type Manifest, partialFormatVersion } from "../core/manifest.ts"
import { bigTableBytes, defaultJobs, type PlannedSegment, planSegments } from "../core/plan.ts"
import { leavesOut, noPatterns, patternsInWords, type TablePatterns } from "../core/table-patterns.ts"
import type { ChosenTables } from "../postgres/chosen-tables.ts"
import { type Clients, chooseClients, findClients, newestClients } from "../postgres/clients.ts"
import { readCollationChange } from "../postgres/collation-version.ts"
import { type Connection, describe, takesSettings, withSettings } from "../postgres/connection.ts"
import { LockWaitError } from "../postgres/dump-failure.ts"
import { readFunctionPaths } from "../postgres/function-paths.ts"
import { readGlobals } from "../postgres/globals.ts"
import { globalsSql } from "../postgres/globals-sql.ts"
import { neutralLocale } from "../postgres/money.ts"
import { readOperatorPaths } from "../postgres/operator-paths.ts"
import { refuseTransactionPooler } from "../postgres/pooler.ts"
import { inspectServer } from "../postgres/server.ts"
import { openSession, type Session } from "../postgres/session.ts"
import { openSnapshot } from "../postgres/snapshot.ts"
import { takingSystemRoots } from "../postgres/system-roots.ts"
import { readTableRows } from "../postgres/table-rows.ts"
import { explainLockWait, type PlannedTable, readPlannedTables, readTables } from "../postgres/tables.ts"
import { readHidden, readUnloggedTables } from "../postgres/unread-rows.ts"
import { machine } from "../processes/machine.ts"
import type { Storage } from "../storage/storage.ts"
import { findZstd } from "../streams/zstd.ts"
import { version } from "../version.ts"
import { storeObjects } from "./objects.ts"
import type { BackupOptions } from "./options.ts"
import { probeStorages } from "./probe-storages.ts"
import { backupWriter } from "./writer.ts"

export type WrittenBackup = {
  readonly manifest: Manifest
  /** Why storages failed. */
  readonly failures: ReadonlyMap<Storage, unknown>
  /** What is not in the backup, a sentence each. */
  readonly warnings: readonly string[]
}

/**
 * Dumps the database into every storage. Rejects with a LockWaitError where somebody waits to change a table that is
 * locked here, and where no storage holds the backup: then what was stored is removed.
 *
 * @param unable the storages that can take nothing; undefined where that could not be found out before the server
 *   has named the database
 */
export async function writeBackup(
  options: BackupOptions,
  unable: ReadonlyMap<Storage, unknown> | undefined,
  context: Context,
): Promise<WrittenBackup> {
  const { storages, recipients, compressLevel, lockWaitSeconds, patterns = noPatterns } = options
  const { env, log, now } = context
  const startedAt = now()
  const found = await findClients(context, options.clientFolders)
  const installed = takingSystemRoots(found, options.connection, env)
  const newest = newestClients(installed)
  const session = await openSession(newest, options.connection, { env, signal: context.signal })
  // A lost session is a lost snapshot: what reads from it ends too.
  const signal = AbortSignal.any([context.signal, session.lost])
  try {
    await refusePooler(newest, session, context)
    const database = await inspectDatabase(session)
    const { dataBytes, isInRecovery } = database.server
    const clients = chooseClients(installed, session.serverMajor)
    const name = {
      database: options.name ?? database.source.database,
      id: backupId(startedAt, Array.from({ length: 6 }, Math.random)),
    }
    const failures = unable ?? (await probeStorages(storages, name.database, context))
    const snapshot = await openSnapshot(session, {
      lockWaitSeconds,
      patterns,
      onVanished: (table) => log.info(`the table ${table} was dropped as the backup began, and is not in it`),
    })
    const { chosen } = snapshot
    const tables = leavesOut(patterns) ? await readPlannedTables(session, chosen) : undefined
    const streams = await planStreams(session, database, options, chosen)
    const { jobs, segments } = streams
    logBegin(database, name, streams, context)
    if (tables) log.info(`the backup is partial: ${patternsInWords(patterns)}`)
    const { facts, warnings } = await readFacts(session, isInRecovery, database.source.settings, chosen)
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
          connection: database.connection,
          snapshot: snapshot.id,
          serverMajor: session.serverMajor,
          source: database.source,
          globals,
          expectedBytes: dataBytes,
          segments,
          choice: tables && { patterns, tables },
          jobs,
          lockWaitSeconds,
        },
        writer,
        context,
      ).catch(async (error: unknown) => {
        throw await reasonOf(session, error)
      })
      // Only while it answers has the session held its locks: without them a table could have been emptied.
      await session.execute("SELECT 1")
      const stated = {
        ...name,
        startedAt: startedAt.toISOString(),
        source: { ...database.source, clientVersion: clients.version },
        ...facts,
        ...(tables && { partial: partialOf(patterns, tables) }),
        snapshot: { time: snapshot.time, lsn: snapshot.lsn },
        objects,
      }
      const manifest = manifestOf(stated, options, now())
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

function logBegin(
  { server, connection }: Database,
  name: Pick<Manifest, "database" | "id">,
  { jobs, segments, resources }: Streams,
  { log }: Context,
): void {
  const streams = jobs > 1 ? `, ${formatCount(jobs, "stream")} at once` : ""
  log.info(`backing up ${describe(connection)}${streams}`, {
    ...name,
    server: server.serverVersion,
    isInRecovery: server.isInRecovery,
    jobs,
    ...resources,
    segments: segments.length,
  })
}

function partialOf(
  { tables, schemas, excludeTables, excludeSchemas, excludeTableData }: TablePatterns,
  planned: readonly PlannedTable[],
): NonNullable<Manifest["partial"]> {
  return {
    tables: [...tables],
    schemas: [...schemas],
    excludeTables: [...excludeTables],
    excludeSchemas: [...excludeSchemas],
    excludeTableData: [...excludeTableData],
    withoutRows: planned
      .filter(({ isIn, isLeftEmpty }) => isIn && isLeftEmpty)
      .map(({ schema, name }) => ({ schema, table: name })),
  }
}

/** Signed where there is a key to sign by. */
function manifestOf(
  stated: Omit<Manifest, "format" | "writtenBy" | "finishedAt" | "compression" | "encryption">,
  { recipients, compressLevel, signingKey }: BackupOptions,
  finishedAt: Date,
): Manifest {
  const { database, id, startedAt, objects, ...facts } = stated
  const manifest: Manifest = {
    format: facts.partial ? partialFormatVersion : formatVersion,
    database,
    id,
    writtenBy: `pgstow ${version}`,
    startedAt,
    finishedAt: finishedAt.toISOString(),
    ...facts,
    compression: { algorithm: "zstd", level: compressLevel },
    encryption: recipients ? { algorithm: "age", recipients: [...recipients] } : { algorithm: "none" },
    objects,
  }
  return signingKey ? signManifest(manifest, signingKey) : manifest
}

/** A snapshot does not survive in a pooler that lends connections by the transaction: a second session proves it. */
async function refusePooler(clients: Clients, session: Session, context: Context): Promise<void> {
  const second = await openSession(clients, session.connection, context)
  try {
    await refuseTransactionPooler(session, second)
  } finally {
    await second.close()
  }
}

type Database = {
  readonly server: Pick<
    Awaited<ReturnType<typeof inspectServer>>,
    "serverVersion" | "isInRecovery" | "dataBytes" | "freeConnections"
  >
  /** What the manifest says of it. */
  readonly source: Omit<Manifest["source"], "clientVersion">
  /** What its rows are read by. */
  readonly connection: Connection
}

/** Amounts of type money are read by a locale that every server has, where the connection takes settings. */
async function inspectDatabase(session: Session): Promise<Database> {
  const server = await inspectServer(session)
  const { isInRecovery: _, dataBytes: __, freeConnections: ___, money, ...source } = server
  const { connection } = session
  if (!money) return { server, source, connection }
  const writtenBy = takesSettings(connection) ? neutralLocale : money.lcMonetary
  return {
    server,
    source: { ...source, money: { ...money, writtenBy } },
    connection: withSettings(connection, { lc_monetary: neutralLocale }),
  }
}

type Streams = {
  readonly jobs: number
  readonly segments: readonly PlannedSegment[]
  /** What the number of jobs was chosen by, where it was not given. */
  readonly resources: Parameters<typeof defaultJobs>[0]
}

async function planStreams(
  session: Session,
  { server, source }: Database,
  options: BackupOptions,
  chosen: ChosenTables,
): Promise<Streams> {
  const resources = { ...machine(), freeConnections: server.freeConnections }
  const jobs = options.jobs === "auto" ? defaultJobs(resources) : options.jobs
  const tables = await readTables(session, bigTableBytes, chosen)
  const { encoding } = source
  return {
    jobs,
    segments: planSegments(tables, { jobs, serverMajor: session.serverMajor, encoding }),
    resources,
  }
}

type Facts = Pick<Manifest, "tableRows" | "operatorPaths" | "functionPaths" | "withoutRows">

/** Reads what a restore is to know that pg_dump does not write, and what will be missing. */
async function readFacts(
  session: Session,
  isInRecovery: boolean,
  settings: readonly string[],
  chosen: ChosenTables,
): Promise<{ readonly facts: Facts; readonly warnings: readonly string[] }> {
  const tableRows = await readTableRows(session, chosen)
  const operatorPaths = await readOperatorPaths(session)
  const functionPaths = await readFunctionPaths(session, settings)
  const withoutRows = isInRecovery ? await readUnloggedTables(session, chosen) : []
  const warnings = [...chosen.notes, ...(await readHidden(session)), ...(await readCollationChange(session))]
  const missing = `a standby has no rows of unlogged tables, so these are not in the backup: ${withoutRows.join(", ")}`
  return {
    facts: {
      tableRows,
      ...(operatorPaths.length > 0 && { operatorPaths }),
      ...(functionPaths.length > 0 && { functionPaths }),
      ...(withoutRows.length > 0 && { withoutRows }),
    },
    warnings: withoutRows.length > 0 ? [...warnings, missing] : warnings,
  }
}

/** Why storing failed: what reads from the snapshot of a session that was lost fails too, in other words. */
async function reasonOf(session: Session, error: unknown): Promise<unknown> {
  if (error instanceof LockWaitError) return explainLockWait(session, error)
  try {
    await Promise.race([session.execute("SELECT 1"), sleep(5_000, undefined, { ref: false })])
    return error
  } catch (lost) {
    return lost
  }
}
