import { formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import { incompleteName } from "../core/restored-name.ts"
import { PgstowError } from "../errors.ts"
import { unknownSource } from "../legacy/dump-facts.ts"
import { type Clients, findClients, newestClients } from "../postgres/clients.ts"
import { type Connection, withDatabase } from "../postgres/connection.ts"
import { createDatabase } from "../postgres/create-database.ts"
import { gatherStatistics } from "../postgres/gather-statistics.ts"
import { openMaintenanceSession } from "../postgres/maintenance.ts"
import { runPlainDump } from "../postgres/plain-dump.ts"
import { openSession } from "../postgres/session.ts"
import { settingsOfRestore } from "../postgres/session-settings.ts"
import { detachSubscription, subscriptionsIn } from "../postgres/subscriptions.ts"
import {
  checkDatabaseName,
  databaseExists,
  describeContents,
  dropDatabase,
  renameDatabase,
} from "../postgres/target-database.ts"
import { type TransactionControl, TransactionControlScanner } from "../postgres/transaction-control.ts"
import { askFirst } from "./into-existing.ts"
import { removeLeftover } from "./into-new.ts"
import type { Questions } from "./job.ts"

export type PlainRestoreOptions = Questions & {
  /** What it is, in messages: a backup's id, or a file. */
  readonly title: string
  /** The SQL, as often as it is asked for. It counts only when it has ended well. */
  readonly dump: () => AsyncIterable<Buffer>
  /** How much SQL it is, where that is known. */
  readonly totalBytes: number | undefined
  /** The target's server. */
  readonly connection: Connection
  /** Folders with client programs, searched first. */
  readonly clientFolders: readonly string[]
  /** The database to restore into: a new one unless it exists. */
  readonly name: string
  /** Whether to ANALYZE what was restored. */
  readonly analyze: boolean
}

export type PlainRestoreEnd = { readonly tables: number; readonly rawBytes: number }

/**
 * Restores a plain dump into a new database, or in one transaction into one that exists. The dump is read to its
 * end once before anything is made or asked, and refused for an existing one where it begins or ends a transaction. Rejects where anything fails: then there is no new database, and an
 * existing one is as it was.
 */
export async function restorePlain(options: PlainRestoreOptions, context: Context): Promise<PlainRestoreEnd> {
  const { title, dump, name } = options
  const { env, signal, progress } = context
  checkDatabaseName(name)
  const clients = newestClients(await findClients(env, options.clientFolders))
  const session = await openMaintenanceSession(clients, options.connection, name, {
    env,
    signal,
    settings: settingsOfRestore,
  })
  const { connection } = session
  try {
    const exists = await databaseExists(session, name)
    const scanner = new TransactionControlScanner()
    for await (const chunk of watched(dump(), `checking ${title}`, options, context))
      if (exists) scanner.write(chunk)
    if (scanner.found) throw ofItsOwn(title, name, scanner.found)
    progress.clear()
    const into = exists ? name : incompleteName(name)
    if (exists) {
      const contents = await inDatabase(clients, connection, name, context, describeContents)
      await askFirst(
        { name, connection, options: { ...options, clean: false }, manifest: { id: title } },
        contents,
      )
    } else {
      await removeLeftover({ session, clients, connection, options }, into, context)
      await createDatabase(session, into, { ...unknownSource, encoding: "" }, { choice: "default" })
    }
    const count = { rawBytes: 0 }
    const sql = watched(dump(), `restoring into ${formatName(into)}`, options, context, count)
    try {
      await runPlainDump(sql, { psql: clients.psql, connection: withDatabase(connection, into), env, signal })
    } catch (error) {
      // All of it was one transaction: nothing is in there.
      if (!exists) await dropDatabase(session, into)
      throw error
    }
    const { tables } = await inDatabase(clients, connection, into, context, async (session) => {
      for (const subscription of exists ? [] : await subscriptionsIn(session, into)) {
        await detachSubscription(session, subscription)
        context.log.warn(`the subscription ${formatName(subscription)} is disabled and has no slot`)
      }
      return describeContents(session)
    })
    const target = withDatabase(connection, into)
    const warnings = options.analyze ? await gatherStatistics(clients, target, [], { env, signal }) : []
    for (const warning of warnings) context.log.warn(warning)
    if (!exists) await renameDatabase(session, into, name)
    return { tables, ...count }
  } finally {
    progress.clear()
    await session.close()
  }
}

async function inDatabase<Value>(
  clients: Clients,
  connection: Connection,
  name: string,
  { env, signal }: Context,
  step: (session: Awaited<ReturnType<typeof openSession>>) => Promise<Value>,
): Promise<Value> {
  const session = await openSession(clients, withDatabase(connection, name), { env, signal })
  try {
    return await step(session)
  } finally {
    await session.close()
  }
}

async function* watched(
  dump: AsyncIterable<Buffer>,
  stage: string,
  { totalBytes }: PlainRestoreOptions,
  { progress, signal }: Context,
  count = { rawBytes: 0 },
): AsyncGenerator<Buffer> {
  for await (const chunk of dump) {
    signal.throwIfAborted()
    count.rawBytes += chunk.length
    progress.update({ stage, doneBytes: count.rawBytes, totalBytes })
    yield chunk
  }
}

function ofItsOwn(title: string, name: string, { statement, line }: TransactionControl): PgstowError {
  return new PgstowError(
    "usage",
    `${title} holds ${statement} (line ${line}), so it can't be restored into ${formatName(name)} all or not at all`,
    { hint: "Restore it into a new database: leave --into out, or give a name that no database has." },
  )
}
