import { listDatabases } from "../catalog/catalog.ts"
import type { Context } from "../context.ts"
import { chooseDatabases } from "../core/choose-databases.ts"
import type { Settings } from "../settings/config.ts"
import { storagesOf } from "../settings/inputs.ts"

/** The databases that any of the storages has a folder of, but for those that a server's entry leaves out. */
export async function databasesStored(
  settings: Settings,
  exclude: readonly string[],
  context: Context,
): Promise<string[]> {
  const names = new Set<string>()
  for (const storage of storagesOf(settings, context)) {
    try {
      for (const name of await listDatabases(storage)) names.add(name)
    } finally {
      storage.close()
    }
  }
  return chooseDatabases([...names], { include: [], exclude }).sort()
}
