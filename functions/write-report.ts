import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3"
import * as z from "zod"
import { retentionPolicySchema } from "../task/core/retention.ts"
import { PgstowError } from "../task/errors.ts"
import { collect } from "../task/report/collect.ts"
import { makePage } from "../task/report/page.ts"
import { pageAssets } from "../task/report/page-assets.ts"
import { openStorage } from "../task/storage/open-storage.ts"
import { lambdaHandler } from "./handler.ts"
import { reportKey } from "./report-key.ts"

export const writeReportSettings = z.object({
  storage: z.string(),
  bucket: z.string(),
  retention: retentionPolicySchema,
  /** How old the newest verified backup of a database may be that does not say. */
  maxAgeHours: z.number(),
  /** The limits of the databases that have their own. */
  limitsOf: z.record(
    z.string(),
    z.object({ policy: retentionPolicySchema.exactOptional(), maxAgeHours: z.number().exactOptional() }),
  ),
})

const s3 = new S3Client()

/**
 * Writes the page about all that the storage holds beside the backups, in place of the one before. It lies in no
 * database's folder, so it is no backup, and no cleanup of one comes near it.
 */
export const handler = lambdaHandler(
  z.object({}),
  writeReportSettings,
  async (_, { settings, log, signal, env }) => {
    const { bucket, limitsOf, maxAgeHours, retention } = settings
    const storage = openStorage(settings.storage, { env, signal })
    try {
      const ownLimits = new Map(Object.entries(limitsOf))
      const options = { policy: retention, maxAgeHours, ownLimits }
      const data = await collect([storage], options, { now: () => new Date(), signal }).catch(
        (error: unknown) => {
          if (error instanceof PgstowError && error.kind === "notFound") return undefined
          throw error
        },
      )
      if (data === undefined) {
        log.info("there is no backup to report yet")
        return null
      }
      const page = makePage(data, await pageAssets())
      await s3.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: reportKey,
          Body: page,
          ContentType: "text/html; charset=utf-8",
          // Each link to it is to show the newest.
          CacheControl: "no-store",
        }),
        { abortSignal: signal },
      )
      return { key: reportKey, bytes: Buffer.byteLength(page), databases: data.databases.length }
    } finally {
      storage.close()
    }
  },
)
