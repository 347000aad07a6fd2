import * as z from "zod"
import { lambdaHandler } from "./handler.ts"
import { metricLine } from "./metrics.ts"

const level = z.enum(["info", "warn", "error"])

export const notifySettings = z.object({
  stack: z.string(),
  topicArn: z.string(),
  topicLevel: level,
  webhooks: z.array(
    z.object({ kind: z.enum(["slack", "discord", "webhook"]), secretArn: z.string(), level }),
  ),
})

const notifyEvent = z.object({ "detail-type": z.string(), detail: z.record(z.string(), z.unknown()) })

export const handler = lambdaHandler(notifyEvent, notifySettings, async (event, { settings }) => {
  const failed = { "Backup Failed": "BackupFailures", "Verification Failed": "VerificationFailures" } as const
  const type = event["detail-type"]
  if (type in failed)
    process.stdout.write(metricLine({ Stack: settings.stack }, { BackupFailures: 1 }, new Date()))
  await Promise.resolve()
})
