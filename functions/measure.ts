import * as z from "zod"
import { keyOf, listBackups, manifestName, newestVerified } from "../task/catalog/catalog.ts"
import { storedBytes } from "../task/core/manifest.ts"
import { openStorage } from "../task/storage/open-storage.ts"
import { lambdaHandler } from "./handler.ts"
import { putMetrics } from "./metrics.ts"
import { putRequest } from "./request.ts"

export const measureSettings = z.object({
  stack: z.string(),
  storage: z.string(),
  databases: z.array(z.string()),
  eventBus: z.string(),
})

const hourMs = 60 * 60 * 1000
/** After which nobody may be verifying a backup any more: a function has 15 minutes. */
const unverifiedMs = hourMs

/**
 * Measures the newest verified backup of each database, as the storage has it. A database without one has no
 * measure: its alarm takes the silence for an alarm. A backup's age counts from its end, which is when the next one
 * is a day away, however long they take.
 *
 * Has the newest backup verified where nobody did it: S3's event of its manifest may have come late, or never.
 */
export const handler = lambdaHandler(z.object({}), measureSettings, async (_, { settings, signal, env }) => {
  const storage = openStorage(settings.storage, { env, signal })
  try {
    const now = new Date()
    for (const database of settings.databases) {
      const backups = await listBackups(storage, database)
      const [newest] = backups
      if (newest?.manifest !== undefined && newest.state === "unverified") {
        const { finishedAt } = newest.manifest
        if (now.getTime() - Date.parse(finishedAt) > unverifiedMs)
          await putRequest(settings.eventBus, {
            type: "Verify Backup",
            detail: { object: { key: keyOf(newest, manifestName) } },
          })
      }
      const manifest = newestVerified(backups, now)?.manifest
      if (manifest === undefined) continue
      const startedAt = Date.parse(manifest.startedAt)
      putMetrics(
        { Stack: settings.stack, Database: database },
        {
          BackupAgeHours: (now.getTime() - Date.parse(manifest.finishedAt)) / hourMs,
          BackupSize: storedBytes(manifest),
          BackupDuration: (Date.parse(manifest.finishedAt) - startedAt) / 1000,
        },
        now,
      )
    }
  } finally {
    storage.close()
  }
})
