import * as z from "zod"
import { keyOf, listBackups, listDatabases, manifestName, newestVerified } from "../task/catalog/catalog.ts"
import { type Manifest, storedBytes } from "../task/core/manifest.ts"
import { openStorage } from "../task/storage/open-storage.ts"
import { lambdaHandler } from "./handler.ts"
import { putMetrics } from "./metrics.ts"
import { putRequest } from "./request.ts"

export const measureSettings = z.object({
  stack: z.string(),
  storage: z.string(),
  databases: z.array(z.string()),
  /** What the server is called whose databases are all that the storage has beside these. */
  server: z.string().optional(),
  eventBus: z.string(),
})

const hourMs = 60 * 60 * 1000
/** After which nobody may be verifying a backup any more: a function has 15 minutes. */
const unverifiedMs = hourMs

/**
 * Measures the newest verified backup of each database, as the storage has it. A database without one has no
 * measure: its alarm takes the silence for an alarm. A backup's age counts from its end, which is when the next one
 * is a day away, however long they take. A server that is backed up as a whole is as old as the newest backup of any
 * of its databases, since one that was dropped gets no more; their sizes and durations are added up.
 *
 * A database that can't be listed keeps none of the others from being measured; this rejects after them.
 *
 * Has the newest backup verified where nobody did it: S3's event of its manifest may have come late, or never.
 */
export const handler = lambdaHandler(z.object({}), measureSettings, async (_, { settings, signal, env }) => {
  const { databases, eventBus, server, stack } = settings
  const storage = openStorage(settings.storage, { env, signal })
  try {
    const now = new Date()
    const newestOf = async (database: string): Promise<Manifest | undefined> => {
      const backups = await listBackups(storage, database)
      const [newest] = backups
      if (newest?.manifest !== undefined && newest.state === "unverified") {
        const { finishedAt } = newest.manifest
        if (now.getTime() - Date.parse(finishedAt) > unverifiedMs)
          await putRequest(eventBus, {
            type: "Verify Backup",
            detail: { object: { key: keyOf(newest, manifestName) } },
          })
      }
      return newestVerified(backups, now)?.manifest
    }
    const failures: unknown[] = []
    const measured = (database: string) =>
      newestOf(database).catch((failure: unknown) => {
        failures.push(failure)
        return undefined
      })
    for (const database of databases) put(stack, database, [await measured(database)], now)
    if (server !== undefined) {
      const manifests: (Manifest | undefined)[] = []
      for (const database of await listDatabases(storage))
        if (!databases.includes(database)) manifests.push(await measured(database))
      put(stack, server, manifests, now)
    }
    if (failures.length > 0) throw failures[0]
  } finally {
    storage.close()
  }
})

/** Puts out what there is to say of the newest backups of a database, or of the databases of a server. */
function put(stack: string, name: string, newest: readonly (Manifest | undefined)[], now: Date): void {
  const manifests = newest.filter((manifest) => manifest !== undefined)
  if (manifests.length === 0) return
  const sum = (numberOf: (manifest: Manifest) => number) =>
    manifests.reduce((total, manifest) => total + numberOf(manifest), 0)
  const ages = manifests.map(({ finishedAt }) => (now.getTime() - Date.parse(finishedAt)) / hourMs)
  putMetrics(
    { Stack: stack, Database: name },
    {
      BackupAgeHours: Math.min(...ages),
      BackupSize: sum(storedBytes),
      BackupDuration: sum(
        ({ startedAt, finishedAt }) => (Date.parse(finishedAt) - Date.parse(startedAt)) / 1000,
      ),
    },
    now,
  )
}
