import type { Context } from "../context.ts"
import { chooseDatabases } from "../core/choose-databases.ts"
import { PgstowError } from "../errors.ts"
import { findClients, newestClients } from "../postgres/clients.ts"
import { describe, withDatabase } from "../postgres/connection.ts"
import { readDatabaseNames } from "../postgres/database-names.ts"
import { openMaintenanceSession } from "../postgres/maintenance.ts"
import { examineSource, type SourceOptions, type SourceReport } from "./examine-source.ts"

export type SourcesOptions = SourceOptions & {
  /** Every database of the server, but for those that these patterns leave out; undefined is the connection's own. */
  readonly all?: { readonly include: readonly string[]; readonly exclude: readonly string[] } | undefined
}

/** Looks into one database after another. Rejects with nothing but the signal's reason. */
export async function examineSources(options: SourcesOptions, context: Context): Promise<SourceReport[]> {
  const { connection, all } = options
  if (all === undefined) return [await examineSource(options, context)]
  let names: string[]
  try {
    names = chooseDatabases(await readNames(options, context), all)
  } catch (error) {
    context.signal.throwIfAborted()
    if (!(error instanceof PgstowError)) throw error
    // It fails of the same, and says more.
    return [await examineSource(options, context)]
  }
  if (names.length === 0) return [noDatabase(describe(connection))]
  const reports: SourceReport[] = []
  for (const name of names)
    reports.push(await examineSource({ ...options, connection: withDatabase(connection, name) }, context))
  return reports
}

async function readNames({ connection, clientFolders }: SourceOptions, context: Context): Promise<string[]> {
  const clients = newestClients(await findClients(context, clientFolders))
  const session = await openMaintenanceSession(clients, connection, "", context)
  try {
    return await readDatabaseNames(session)
  } finally {
    await session.close()
  }
}

function noDatabase(subject: string): SourceReport {
  return {
    database: undefined,
    findings: [
      {
        check: "source.databases",
        severity: "error",
        subject,
        what: "there is no database to back up",
        why: "The patterns of --include and --exclude leave none.",
        fix: "other patterns: * stands for anything",
      },
    ],
    size: undefined,
    dataDirectory: undefined,
    takenBy: null,
  }
}
