import { ChildError } from "./child.ts"
import { type BackupResult, backupFailure } from "./commands/backup.ts"
import type { Context } from "./context.ts"
import { messageOf, PgstowError } from "./errors.ts"
import type { PgstowEvent } from "./events.ts"
import type { Channel } from "./notify/channel.ts"
import { notify } from "./notify/notify.ts"

/**
 * Tells `channels` that a backup of `database` begins, and how it ended. A channel that can't be told changes
 * nothing of that.
 */
export async function announceBackup(
  database: string,
  channels: readonly Channel[],
  { log, signal }: Pick<Context, "log" | "signal">,
  backup: () => Promise<BackupResult>,
): Promise<BackupResult> {
  const begun = notify({ type: "Backup Started", database }, channels, { log })
  const tell = async (event: PgstowEvent) => {
    await begun
    // Who stops the program does not wait for long.
    await notify(event, channels, signal.aborted ? { log, limitMs: 4_000 } : { log })
  }
  try {
    const result = await backup()
    const failure = backupFailure(result)
    await tell(failure ? failed(result.database, failure, result.id) : succeeded(result))
    return result
  } catch (error) {
    await tell(failed(database, signal.aborted ? signal.reason : error))
    throw error
  }
}

function succeeded({ database, id, storages, storedBytes, rawBytes, seconds }: BackupResult): PgstowEvent {
  const urls = storages.map(({ storage }) => storage)
  return { type: "Backup Succeeded", database, id, storages: urls, storedBytes, rawBytes, seconds }
}

function failed(database: string, error: unknown, id?: string): PgstowEvent {
  const hint = error instanceof PgstowError ? error.hint : undefined
  const output = lastWords(error)
  return {
    type: "Backup Failed",
    database,
    ...(id === undefined ? {} : { id }),
    error: messageOf(error),
    ...(hint === undefined ? {} : { hint }),
    ...(output.length === 0 ? {} : { output }),
  }
}

const linesTold = 10

/** The last lines that a program said whose failure is behind `error`. */
function lastWords(error: unknown): string[] {
  if (error instanceof ChildError) return error.stderr.trim().split("\n").slice(-linesTold)
  return error instanceof Error && error.cause !== undefined ? lastWords(error.cause) : []
}
