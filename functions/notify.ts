import type { Logger } from "@aws-lambda-powertools/logger"
import { GetObjectCommand, HeadObjectCommand, S3Client } from "@aws-sdk/client-s3"
import { GetSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager"
import { PublishCommand, SNSClient } from "@aws-sdk/client-sns"
import { getSignedUrl } from "@aws-sdk/s3-request-presigner"
import * as z from "zod"
import { messageOf, PgstowError } from "../task/errors.ts"
import { parseChannels } from "../task/notify/channel.ts"
import { eventSource, type PgstowEvent } from "../task/notify/events.ts"
import { messageFor, plainText } from "../task/notify/message.ts"
import { notify } from "../task/notify/notify.ts"
import { lambdaHandler } from "./handler.ts"
import { type MetricName, putMetrics } from "./metrics.ts"
import { reportKey } from "./report-key.ts"

const level = z.enum(["all", "error"])

export const notifySettings = z.object({
  stack: z.string(),
  topicArn: z.string(),
  topicLevel: level,
  databases: z.array(z.string()).default([]),
  /** What the server is called whose databases are all beside these: metrics have its name. */
  server: z.string().optional(),
  /** The bucket that holds the report. */
  bucket: z.string().optional(),
  webhooks: z.array(z.object({ secretArn: z.string(), level, format: z.string().optional() })),
})

const happened = z
  .object({
    source: z.literal(eventSource),
    "detail-type": z.string(),
    detail: z.looseObject({ database: z.string() }),
  })
  // Nobody but pgstow may put events on this bus.
  .transform(({ "detail-type": type, detail }) => ({ ...detail, type }) as PgstowEvent)

const alarmChanged = z
  .object({
    source: z.literal("aws.cloudwatch"),
    detail: z.object({
      alarmName: z.string(),
      state: z.object({ value: z.string() }),
      configuration: z.object({ description: z.string().default("") }).default({ description: "" }),
    }),
  })
  .transform(({ detail: { alarmName, state, configuration } }): PgstowEvent => {
    const type = state.value === "ALARM" ? "Alarm Raised" : "Alarm Over"
    return { type, database: "*", alarm: alarmName, meaning: configuration.description }
  })

const metrics: Partial<Record<PgstowEvent["type"], MetricName>> = {
  "Backup Failed": "BackupFailures",
  "Verification Failed": "VerificationFailures",
  "Drill Failed": "DrillFailures",
}

const secrets = new SecretsManagerClient()
const sns = new SNSClient()
const s3 = new S3Client()
/** As long as Lambda's credentials may live. */
const linkSeconds = 12 * 60 * 60

/** Tells people what happened: the topic, and every webhook. Fails where one of them could not be told. */
export const handler = lambdaHandler(
  z.union([happened, alarmChanged]),
  notifySettings,
  async (said, { settings, log }) => {
    const { bucket, databases, server, stack, topicArn, topicLevel, webhooks } = settings
    const event =
      said.type === "Backup Succeeded" && bucket !== undefined
        ? { ...said, ...(await linkToReport(bucket, log)) }
        : said
    const metric = metrics[event.type]
    if (metric !== undefined) putMetrics({ Stack: stack }, { [metric]: 1 }, new Date())
    if (event.type === "Drill Succeeded")
      putMetrics(
        {
          Stack: stack,
          Database: databases.includes(event.database) ? event.database : (server ?? event.database),
        },
        { RestoreDuration: event.restoreSeconds },
        new Date(),
      )
    if (event.type === "Backup Started") return
    const problems: string[] = []
    const message = messageFor(event)
    // The topic hears of alarms by themselves.
    const untold = "alarm" in event || (topicLevel === "error" && message.outcome === "success")
    const publish = new PublishCommand({
      TopicArn: topicArn,
      Subject: message.title.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 100),
      Message: plainText(message),
    })
    const tell = async ({ secretArn, level, format }: (typeof webhooks)[number]) => {
      const url = await readSecret(secretArn)
      const options = [`level=${level}`, ...(format === undefined ? [] : [`format=${format}`])]
      const channels = parseChannels([[...options, url].join(",")])
      await notify(event, channels, { log: { ...silent, warn: (problem) => problems.push(problem) } })
    }
    // Each by itself: one that is wrong keeps nobody else from being told.
    const outcomes = await Promise.allSettled([
      ...(untold ? [] : [sns.send(publish)]),
      ...webhooks.map((webhook) =>
        tell(webhook).catch((cause: unknown) => {
          throw new PgstowError("unexpected", `the webhook of ${webhook.secretArn} was not told`, { cause })
        }),
      ),
    ])
    for (const outcome of outcomes)
      if (outcome.status === "rejected") problems.push(messageOf(outcome.reason))
    if (problems.length > 0) throw new PgstowError("unexpected", problems.join("; "))
  },
)

/**
 * A link to the report, where there is one. Whoever has it can read the page for twelve hours, or until the credentials
 * expire that this function has got from Lambda: S3 takes no link for longer than those.
 */
async function linkToReport(bucket: string, log: Logger): Promise<{ report?: string }> {
  const object = { Bucket: bucket, Key: reportKey }
  try {
    await s3.send(new HeadObjectCommand(object))
    return { report: await getSignedUrl(s3, new GetObjectCommand(object), { expiresIn: linkSeconds }) }
  } catch (error) {
    // Of an object that is not there S3 says just that, to whoever may list the bucket, and denies access to others.
    log.info("there is no report to link to", { error: messageOf(error) })
    return {}
  }
}

const silent = { debug: () => {}, info: () => {}, error: () => {}, close: () => {} }

async function readSecret(secretArn: string): Promise<string> {
  const { SecretString } = await secrets.send(new GetSecretValueCommand({ SecretId: secretArn }))
  return SecretString?.trim() ?? ""
}
