import { formatCount, formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import { chooseDatabases } from "../core/choose-databases.ts"
import { messageOf, PgstowError } from "../errors.ts"
import { findClients, newestClients } from "../postgres/clients.ts"
import { describe, withDatabase } from "../postgres/connection.ts"
import { readDatabaseNames } from "../postgres/database-names.ts"
import { openMaintenanceSession } from "../postgres/maintenance.ts"
import type { Session } from "../postgres/session.ts"
import { type BackupResult, backup, backupFailure } from "./back-up.ts"
import type { BackupOptions } from "./options.ts"

export type BackupAllOptions = Omit<BackupOptions, "name"> & {
  /** Patterns of the databases to back up; all, where there is none. */
  readonly include: readonly string[]
  /** Patterns of those to leave out. */
  readonly exclude: readonly string[]
  /** Called with what became of each database, as it is done. */
  readonly onDatabase: (result: DatabaseBackup) => void
}

/** What became of one database: `failure` also where its backup is not good in every storage. */
export type DatabaseBackup = {
  readonly database: string
  readonly backup: BackupResult | undefined
  readonly failure: PgstowError | undefined
}

/**
 * Backs up the databases of a server one after another, each as its own backup. One
 * failing does not stop the others: `backupAllFailure` reports it.
 */
export async function backupAll(options: BackupAllOptions, context: Context): Promise<DatabaseBackup[]> {
  const { connection, clientFolders } = options
  const { env, signal } = context
  const clients = newestClients(await findClients(context, clientFolders))
  const session = await openMaintenanceSession(clients, connection, "", { env, signal })
  const names = await namesIn(session)
  const chosen = chooseDatabases(names, options)
  if (chosen.length === 0)
    throw new PgstowError("usage", `there is no database to back up: ${describe(connection)}`, {
      hint: `There are ${names.map(formatName).join(", ")}; look at --include and --exclude.`,
    })

  const results: DatabaseBackup[] = []
  for (const database of chosen) {
    const result = await backUpOne(database, options, context)
    options.onDatabase(result)
    results.push(result)
  }
  return results
}

async function backUpOne(
  database: string,
  options: BackupAllOptions,
  context: Context,
): Promise<DatabaseBackup> {
  const connection = withDatabase(options.connection, database)
  try {
    const made = await backup({ ...options, name: undefined, connection }, context)
    return { database, backup: made, failure: backupFailure(made) }
  } catch (error) {
    context.signal.throwIfAborted()
    if (!(error instanceof PgstowError)) throw error
    const { kind, hint } = error
    const message = `${formatName(database)} was not backed up: ${messageOf(error)}`
    return { database, backup: undefined, failure: new PgstowError(kind, message, { hint }) }
  }
}

async function namesIn(session: Session): Promise<string[]> {
  try {
    return await readDatabaseNames(session)
  } finally {
    await session.close()
  }
}

/** The failure to report, and to exit with, where a database has no good backup. */
export function backupAllFailure(results: readonly DatabaseBackup[]): PgstowError | undefined {
  const failed = results.filter(({ failure }) => failure !== undefined)
  const [first] = failed
  if (!first?.failure) return undefined
  const names = failed.map(({ database }) => formatName(database)).join(", ")
  return new PgstowError(
    first.failure.kind,
    `${failed.length} of ${formatCount(results.length, "database")} could not be backed up: ${names}`,
    {
      hint: `What was wrong with each is said above. Leave out with --exclude what needs no backup.${failed.length < results.length ? " The others have theirs." : ""}`,
    },
  )
}
