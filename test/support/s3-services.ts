import * as z from "zod"

const servicesSchema = z.array(
  z.object({ name: z.string(), url: z.url(), accessKeyId: z.string(), secretAccessKey: z.string() }),
)

/** The services that were started for this run, each with an empty bucket "backups". */
export const s3Services = servicesSchema.parse(JSON.parse(process.env.PGSTOW_TEST_S3_SERVICES ?? "[]"))
