import * as z from "zod"
import { listBackups, newestVerified } from "../task/catalog/catalog.ts"
import { storedBytes } from "../task/core/manifest.ts"
import { openStorage } from "../task/storage/open-storage.ts"
import { lambdaHandler } from "./handler.ts"
import { putMetrics } from "./metrics.ts"

export const measureSettings = z.object({
  stack: z.string(),
  storage: z.string(),
  databases: z.array(z.string()),
})

const hourMs = 60 * 60 * 1000

/**
 * Measures the newest verified backup of each database, as the storage has it. A database without one has no
 * measure: its alarm takes the silence for an alarm.
 */
export const handler = lambdaHandler(z.object({}), measureSettings, async (_, { settings, signal, env }) => {
  const storage = openStorage(settings.storage, { env, signal })
  try {
    const now = new Date()
    for (const database of settings.databases) {
      const backups = await listBackups(storage, database)
      const manifest = newestVerified(backups, now)?.manifest
      if (manifest === undefined) continue
      const startedAt = Date.parse(manifest.startedAt)
      putMetrics(
        { Stack: settings.stack, Database: database },
        {
          BackupAgeHours: (now.getTime() - startedAt) / hourMs,
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
