import { afterAll, beforeAll, beforeEach, expect, it } from "vitest"
import { type AwsEndpoint, lambdaContext, startAwsEndpoint } from "./aws-endpoint.ts"

let aws: AwsEndpoint
let notified: (detailType: string, detail: object) => Promise<unknown>

beforeAll(async () => {
  aws = await startAwsEndpoint()
  process.env.PGSTOW_SETTINGS = JSON.stringify({
    stack: "Pgstow",
    topicArn: "arn:aws:sns:eu-central-1:111122223333:Topic",
    topicLevel: "error",
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
