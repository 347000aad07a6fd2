import { ECSClient } from "@aws-sdk/client-ecs"
import * as z from "zod"
import { readFindings, readManifest } from "../task/catalog/catalog.ts"
import { databaseOf } from "../task/core/database-folder.ts"
import { storedBytes } from "../task/core/manifest.ts"
import { PgstowError } from "../task/errors.ts"
import { publishEvent, reasonOf } from "../task/notify/events.ts"
import { openStorage } from "../task/storage/open-storage.ts"
import { verificationEvent } from "../task/verify/verification-event.ts"
import { verify } from "../task/verify/verify.ts"
import { lambdaHandler } from "./handler.ts"
import { runTask, taskPlaceSchema } from "./run-task.ts"

export const verifyBackupSettings = z.object({
  storage: z.string(),
  /** Backups of more bytes are verified by a task instead. */
  limitBytes: z.number(),
  /** The family of that task's definition. */
  family: z.string(),
  place: taskPlaceSchema,
  eventBus: z.string(),
})

/** S3's "Object Created" of a manifest, as far as it is used. */
const manifestArrived = z.object({ detail: z.object({ object: z.object({ key: z.string() }) }) })

const ecs = new ECSClient()

/** Verifies a backup as soon as its manifest is there, or has a task do it where that would take too long here. */
export const handler = lambdaHandler(
  manifestArrived,
  verifyBackupSettings,
  async ({ detail }, { settings, signal, env }) => {
    const { eventBus, family, limitBytes, place } = settings
    const [folder = "", id = ""] = detail.object.key.split("/")
    const database = databaseOf(folder)
    if (database === undefined) throw new PgstowError("usage", `${detail.object.key} is not a manifest's key`)
    const storage = openStorage(settings.storage, { env, signal })
    const verifyOrHandOver = async () => {
      const manifest = await readManifest(storage, { database, id })
      if (storedBytes(manifest) > limitBytes) {
        const command = ["verify", id, "--database", database]
        return { handedOver: await runTask(ecs, place, { family, command, token: id }, signal) }
      }
      const seen = await readFindings(storage, manifest)
      return verify(storage, manifest, { seen }, { now: () => new Date(), progress: silent, signal })
    }
    try {
      const result = await verifyOrHandOver().catch(async (cause: unknown) => {
        await publishEvent(eventBus, { type: "Verification Failed", database, id, ...reasonOf(cause) })
        throw cause
      })
      if (!("handedOver" in result)) await publishEvent(eventBus, verificationEvent(result))
      return result
    } finally {
      storage.close()
    }
  },
)

const silent = { update: () => {}, clear: () => {} }
