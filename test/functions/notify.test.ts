import { afterAll, beforeAll, beforeEach, expect, it, vi } from "vitest"
import { type AwsEndpoint, lambdaContext, startAwsEndpoint } from "./aws-endpoint.ts"

let aws: AwsEndpoint
let notified: (detailType: string, detail: object) => Promise<unknown>

beforeAll(async () => {
  aws = await startAwsEndpoint()
  process.env.PGSTOW_SETTINGS = JSON.stringify({
    stack: "Pgstow",
    topicArn: "arn:aws:sns:eu-central-1:111122223333:Topic",
    topicLevel: "error",
    databases: ["orders"],
    server: "main",
    webhooks: ["good", "denied", "broken"].map((secretArn) => ({ secretArn, level: "all" })),
  })
  const { handler } = await import("../../functions/notify.ts")
  notified = (detailType, detail) =>
    handler({ source: "pgstow", "detail-type": detailType, detail }, lambdaContext)
})
afterAll(() => aws.close())
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
