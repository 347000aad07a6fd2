import type { Context } from "../context.ts"
import { databaseFolder } from "../core/database-folder.ts"
import { messageOf } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { failureOfAll } from "../streams/store-object.ts"

/**
 * Finds out which storages can take a backup of a database now, before anything is read from it: a dump that waits
 * for a storage holds its snapshot and its locks. Nothing is left in them.
 *
 * Gives why the others can't, each with a warning. Rejects where none can.
 */
export async function probeStorages(
  storages: readonly Storage[],
  database: string,
  { log }: Pick<Context, "log">,
): Promise<ReadonlyMap<Storage, unknown>> {
  const key = `${databaseFolder(database)}/probe`
  const failures = new Map<Storage, unknown>()
  const probe = async (storage: Storage) => {
    try {
      for (const note of await storage.probe(key)) log.warn(note)
    } catch (failure) {
      failures.set(storage, failure)
    }
  }
  await Promise.all(storages.map(probe))
  if (failures.size === storages.length) throw failureOfAll(failures, "a first byte")
  for (const [storage, failure] of failures)
    log.warn(`${storage.url} is left out of this backup: ${messageOf(failure)}`)
  return failures
}
