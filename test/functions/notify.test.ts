import { afterAll, beforeAll, beforeEach, expect, it, vi } from "vitest"
import { openStorage } from "../../task/storage/open-storage.ts"
import { type S3Endpoint, startS3Endpoint } from "../support/s3-endpoint.ts"
import { type AwsEndpoint, lambdaContext, startAwsEndpoint } from "./aws-endpoint.ts"

let aws: AwsEndpoint
let s3: S3Endpoint
let notified: (detailType: string, detail: object) => Promise<unknown>

beforeAll(async () => {
  aws = await startAwsEndpoint()
  s3 = await startS3Endpoint({ buckets: ["backups"], accessKeyId: "test", secretAccessKey: "test" })
  process.env.AWS_ENDPOINT_URL_S3 = s3.url
  process.env.PGSTOW_SETTINGS = JSON.stringify({
    stack: "Pgstow",
    topicArn: "arn:aws:sns:eu-central-1:111122223333:Topic",
    topicLevel: "error",
    databases: ["orders"],
    server: "main",
    bucket: "backups",
    webhooks: ["good", "denied", "broken"].map((secretArn) => ({ secretArn, level: "all" })),
  })
  const { handler } = await import("../../functions/notify.ts")
  notified = (detailType, detail) =>
    handler({ source: "pgstow", "detail-type": detailType, detail }, lambdaContext)
})
afterAll(async () => {
  await s3.close()
  await aws.close()
})
beforeEach(() => {
  aws.reset()
  aws.answer("GetSecretValue", ({ SecretId }) =>
    SecretId === "good"
      ? { SecretString: `${aws.url}/hook` }
      : SecretId === "broken"
        ? { SecretString: "hunter2" }
        : { error: "AccessDeniedException" },
  )
})

it("a webhook whose secret is wrong keeps neither the topic nor another webhook from being told", async () => {
  const failing = notified("Backup Failed", { database: "orders", error: "the server is gone" })
  const failure: unknown = await failing.catch((error: unknown) => error)
  expect(String(failure)).toContain("the webhook of denied was not told")
  expect(String(failure)).toContain("the webhook of broken was not told")
  expect(String(failure)).not.toContain("hunter2")
  expect(aws.posts).toMatchObject([{ path: "/hook", body: { type: "Backup Failed", database: "orders" } }])
  const published = aws.requests.filter(({ operation }) => operation === "Publish")
  expect(published).toMatchObject([
    { input: { Message: expect.stringContaining("the server is gone") as unknown } },
  ])
})

it("a drill is measured under its database's name, of a server under the server's, and one that failed is counted", async () => {
  aws.answer("GetSecretValue", { SecretString: `${aws.url}/hook` })
  const lines: string[] = []
  const write = vi.spyOn(process.stdout, "write").mockImplementation((line) => lines.push(String(line)) > 0)
  const drilled = {
    id: "20260102T030000Z-k3v9x2ab",
    storage: "s3://backups",
    restoreSeconds: 60,
    seconds: 90,
  }
  try {
    await notified("Drill Succeeded", { database: "orders", ...drilled })
    await notified("Drill Succeeded", { database: "crm", ...drilled })
    await notified("Drill Failed", { database: "orders", error: "an index is missing" })
  } finally {
    write.mockRestore()
  }
  const measures = lines
    .filter((line) => line.includes('"_aws"'))
    .map((line) => {
      const { _aws, ...measure } = JSON.parse(line) as Record<string, unknown>
      return measure
    })
  expect(measures).toMatchObject([
    { Stack: "Pgstow", Database: "orders", RestoreDuration: 60 },
    { Stack: "Pgstow", Database: "main", RestoreDuration: 60 },
    { Stack: "Pgstow", DrillFailures: 1 },
  ])
  expect(aws.posts.map(({ body }) => body)).toMatchObject(
    // Each of the three webhooks is told of each.
    ["Drill Succeeded", "Drill Succeeded", "Drill Failed"].flatMap((type) => [{ type }, { type }, { type }]),
  )
})

it("a good backup is told with a link to the report, as soon as there is one, and with none before", async () => {
  aws.answer("GetSecretValue", { SecretString: `${aws.url}/hook` })
  const backup = {
    database: "orders",
    id: "20260102T030000Z-k3v9x2ab",
    storages: ["s3://backups"],
    storedBytes: 7,
    rawBytes: 28,
    seconds: 1,
  }
  await notified("Backup Succeeded", backup)
  for (const { body } of aws.posts) expect(body).not.toHaveProperty("report")
  aws.posts.length = 0
  const storage = openStorage(`s3://backups?endpoint=${s3.url}`, { env: process.env })
  await storage.put("report.html", Buffer.from("<!doctype html>"))
  storage.close()
  await notified("Backup Succeeded", backup)
  const [told] = aws.posts.map(({ body }) => body)
  expect(told).toMatchObject({ text: expect.stringContaining("\nReport: http") as unknown })
  const url = new URL(String(Reflect.get(told ?? {}, "report")))
  expect(url.pathname).toBe("/backups/report.html")
  expect(Object.fromEntries(url.searchParams)).toMatchObject({
    "X-Amz-Expires": String(12 * 60 * 60),
    "X-Amz-Credential": expect.stringContaining("/eu-central-1/s3/aws4_request") as unknown,
    "X-Amz-Signature": expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
  })
})
