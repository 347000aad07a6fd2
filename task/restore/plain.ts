import { formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import { incompleteName } from "../core/restored-name.ts"
import { PgstowError } from "../errors.ts"
import { unknownSource } from "../legacy/dump-facts.ts"
import { type Clients, findClients, newestClients } from "../postgres/clients.ts"
import { type Connection, withDatabase } from "../postgres/connection.ts"
import { gatherStatistics } from "../postgres/gather-statistics.ts"
import { inTransaction } from "../postgres/in-transaction.ts"
import { runPlainDump } from "../postgres/plain-dump.ts"
import { detachSubscription, subscriptionsIn } from "../postgres/subscriptions.ts"
import type { Target } from "../postgres/target.ts"
import {
  databaseExists,
  describeContents,
  type Made,
  NotThatDatabaseError,
  renameMade,
} from "../postgres/target-database.ts"
import { type TransactionControl, TransactionControlScanner } from "../postgres/transaction-control.ts"
import { askFirst } from "./into-existing.ts"
import { makeDatabase, removeLeftover, tryDropping } from "./into-new.ts"
import { type Leaves, tellingLeft } from "./name-what-is-left.ts"
import { type NamedAfter, openNamedTarget } from "./open-named-target.ts"
import type { Questions } from "./options.ts"
import { takePlace } from "./take-place.ts"

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
  /** The database to restore into: a new one unless it exists. Undefined for a new one, named after `after`. */
  readonly into: string | undefined
  readonly after: NamedAfter
  /** What the original is called, where that is known and `into` not given. */
  readonly original: string | undefined
  /** Whether to ANALYZE what was restored. */
  readonly analyze: boolean
}

export type PlainRestoreEnd = {
  readonly name: string
  readonly tables: number
  readonly rawBytes: number
  /** As a RestoreResult has it. */
  readonly rename: readonly string[]
}

/**
 * Restores a plain dump into a new database, or in one transaction into one that exists. The dump is read to its
 * end once before anything is made or asked, and refused for an existing one where it begins or ends a transaction.
 * Rejects where anything fails: then there is no new database, or what it rejects with names it, and an existing one is
 * as it was.
 */
export async function restorePlain(options: PlainRestoreOptions, context: Context): Promise<PlainRestoreEnd> {
  const { env, signal, progress } = context
  const clients = newestClients(await findClients(context, options.clientFolders))
  const { target, name } = await openNamedTarget(clients, options.connection, options, { env, signal })
  try {
    return await tellingLeft(signal, (leaves) =>
      restoreThere({ ...options, name }, clients, target, context, leaves),
    )
  } finally {
    progress.clear()
    await target.close()
  }
}

type NamedOptions = PlainRestoreOptions & { readonly name: string }

async function restoreThere(
  options: NamedOptions,
  clients: Clients,
  target: Target,
  context: Context,
  leaves: Leaves,
): Promise<PlainRestoreEnd> {
  const { title, dump, name } = options
  const { env, signal, progress } = context
  const { connection } = target
  const exists = await databaseExists(await target.outside(), name)
  await readThrough(options, exists, context)
  progress.clear()
  const into = exists ? name : incompleteName(name)
  if (exists) {
    const contents = await describeContents(await target.inside(name))
    await askFirst({ name, connection, options: { ...options, clean: false }, title }, contents)
  }
  const made = exists ? undefined : await makeEmpty(options, target, into, leaves)
  await target.leave()
  const rename =
    options.original === undefined || exists
      ? () => []
      : await takePlace(await target.outside(), options.original, context.now())
  const count = { rawBytes: 0 }
  const sql = watched(dump(), `restoring into ${formatName(into)}`, options, context, count)
  try {
    await runPlainDump(sql, { psql: clients.psql, connection: withDatabase(connection, into), env, signal })
  } catch (error) {
    // All of it was one transaction: nothing is in there.
    if (!exists && (await tryDropping(target, into))) leaves(undefined)
    throw error
  }
  if (!exists) await detachAll(target, into, context)
  const { tables } = await describeContents(await target.inside(into))
  const warnings = options.analyze ? await gatherStatistics(() => target.inside(into), [], signal) : []
  for (const warning of warnings) context.log.warn(warning)
  await target.leave()
  if (made) {
    leaves({ database: into, holds: "all" })
    const session = await target.outside()
    await inTransaction(session, () => renameMade(session, made, name)).catch((error: unknown) => {
      // What is there now is for others to drop.
      if (error instanceof NotThatDatabaseError) leaves(undefined)
      throw error
    })
    leaves({ database: name, holds: "all" })
  }
  return { name, tables, rename: rename(name), ...count }
}

async function makeEmpty(
  options: PlainRestoreOptions,
  target: Target,
  name: string,
  leaves: Leaves,
): Promise<Made> {
  await removeLeftover(target, name, options)
  const source = { ...unknownSource, encoding: "" }
  return (await makeDatabase(target, name, source, leaves, { choice: "default" })).made
}

/** Reads all of the dump, and throws a PgstowError where it can't be restored into a database that exists. */
async function readThrough(options: NamedOptions, exists: boolean, context: Context): Promise<void> {
  const { title, name, dump } = options
  const scanner = new TransactionControlScanner()
  for await (const chunk of watched(dump(), `checking ${title}`, options, context))
    if (exists) scanner.write(chunk)
  if (scanner.found) throw ofItsOwn(title, name, scanner.found)
}

/** A copy must neither take what the original waits for, nor drop its slot when it goes. */
async function detachAll(target: Target, database: string, { log }: Context): Promise<void> {
  const session = await target.inside(database)
  for (const subscription of await subscriptionsIn(session, database)) {
    await detachSubscription(session, subscription)
    log.warn(`the subscription ${formatName(subscription)} is disabled and has no slot`)
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
