import { listDatabases } from "../catalog/catalog.ts"
import type { Context } from "../context.ts"
import { chooseDatabases } from "../core/choose-databases.ts"
import { PgstowError } from "../errors.ts"
import type { Settings } from "../settings/config.ts"
import { storagesOf } from "../settings/inputs.ts"

/**
 * The databases that any of the storages has a folder of, but for those that a server's entry leaves out. A storage that fails
 * is passed over where others know of some: the command itself meets it again. Rejects where none does.
 */
export async function databasesStored(
  settings: Settings,
  exclude: readonly string[],
  context: Context,
): Promise<string[]> {
  const names = new Set<string>()
  const failures: PgstowError[] = []
  for (const storage of storagesOf(settings, context)) {
    try {
      for (const name of await listDatabases(storage)) names.add(name)
    } catch (error) {
      context.signal.throwIfAborted()
      if (!(error instanceof PgstowError)) throw error
      failures.push(error)
    } finally {
      storage.close()
    }
  }
  const chosen = chooseDatabases([...names], { include: [], exclude }).sort()
  const [failure] = failures
  if (chosen.length === 0 && failure) throw failure
  return chosen
}
