import * as z from "zod"
import { listDatabases } from "../task/catalog/catalog.ts"
import { cleanup } from "../task/catalog/clean-up.ts"
import { retentionPolicySchema } from "../task/core/retention.ts"
import { PgstowError } from "../task/errors.ts"
import { publishEvent } from "../task/notify/events.ts"
import { openStorage } from "../task/storage/open-storage.ts"
import { lambdaHandler } from "./handler.ts"

export const cleanUpSettings = z.object({
  storage: z.string(),
  retention: retentionPolicySchema,
  /** The policies of the databases that have their own. */
  retentionOf: z.record(z.string(), retentionPolicySchema),
  eventBus: z.string(),
})

/** One database, or "*" for every one that the storage holds. */
const cleanUpEvent = z.object({ database: z.string().min(1) })

/** Applies the retention policy. The only part of the stack that may remove backups. */
export const handler = lambdaHandler(
  cleanUpEvent,
  cleanUpSettings,
  async ({ database: asked }, { settings, log, signal, env }) => {
    const { eventBus, retention, retentionOf } = settings
    const storage = openStorage(settings.storage, { env, signal })
    const failures: string[] = []
    try {
      for (const database of asked === "*" ? await listDatabases(storage) : [asked]) {
        const policy = retentionOf[database] ?? retention
        const options = { policy, database, dryRun: false }
        const { storages } = await cleanup([storage], options, { now: () => new Date(), signal })
        for (const { decisions, error, freedBytes, clockAheadSeconds } of storages) {
          log.info("cleaned up", { database, decisions, freedBytes, clockAheadSeconds, error })
          const removed = decisions.flatMap(({ keep, id }) => (keep ? [] : [id]))
          if (error !== null) {
            failures.push(`${database}: ${error}`)
            await publishEvent(eventBus, { type: "Cleanup Failed", database, error })
          } else if (removed.length > 0)
            await publishEvent(eventBus, { type: "Cleanup Succeeded", database, removed, freedBytes })
        }
      }
    } finally {
      storage.close()
    }
    if (failures.length > 0) throw new PgstowError("storage", failures.join("; "))
  },
)
