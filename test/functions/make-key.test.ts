import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from "age-encryption"
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest"
import { type AwsEndpoint, lambdaContext, startAwsEndpoint } from "./aws-endpoint.ts"

const secretArn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:identity-AbCdEf"

let aws: AwsEndpoint
let request: (type: string, properties?: object) => Promise<unknown>
/** What the secret holds. */
let kept: string | undefined

beforeAll(async () => {
  aws = await startAwsEndpoint()
  process.env.PGSTOW_SETTINGS = "{}"
  const { handler } = await import("../../functions/make-key.ts")
  request = (type, properties = {}) =>
    handler(
      {
        RequestType: type,
        ResponseURL: `${aws.url}/answer`,
        StackId: "stack",
        RequestId: "request",
        LogicalResourceId: "Identity",
        ResourceProperties: { secretArn, ...properties },
      },
      lambdaContext,
    )
})
afterAll(() => aws.close())
beforeEach(() => {
  aws.reset()
  kept = undefined
  aws.answer("GetSecretValue", () =>
    kept === undefined ? { error: "ResourceNotFoundException" } : { SecretString: kept },
  )
  aws.answer("PutSecretValue", ({ SecretString }) => {
    kept = String(SecretString)
    return {}
  })
})

const operations = () => aws.requests.map(({ operation }) => operation)

it("the first deployment makes an identity and hands out its recipient alone", async () => {
  await request("Create")
  expect(kept).toMatch(/^AGE-SECRET-KEY-1/)
  const recipient = await identityToRecipient(kept ?? "")
  expect(aws.puts).toEqual([
    {
      Status: "SUCCESS",
      Data: { recipient },
      StackId: "stack",
      RequestId: "request",
      LogicalResourceId: "Identity",
      PhysicalResourceId: secretArn,
    },
  ])
})

it("answers with an empty content type, which the answer's signed URL has in some regions", async () => {
  await request("Create")
  expect(aws.contentTypes).toEqual([""])
})

it.each(["Create", "Update"])("%s keeps an identity that is there", async (type) => {
  const identity = await generateX25519Identity()
  kept = identity
  await request(type)
  expect(kept).toBe(identity)
  expect(operations()).toEqual(["GetSecretValue"])
  expect(aws.puts).toMatchObject([{ Data: { recipient: await identityToRecipient(identity) } }])
})

it("of several keys the first is the one to seal for", async () => {
  const [newest, old] = [await generateX25519Identity(), await generateX25519Identity()]
  kept = `# made today\n${newest}\n${old}\n`
  await request("Update")
  expect(aws.puts).toMatchObject([{ Data: { recipient: await identityToRecipient(newest) } }])
})

it("makes a hybrid key where that is asked for", async () => {
  await request("Create", { kind: "hybrid" })
  expect(kept).toMatch(/^AGE-SECRET-KEY-PQ-1/)
  expect(aws.puts).toMatchObject([{ Data: { recipient: await identityToRecipient(kept ?? "") } }])
  // CloudFormation takes answers of 4 KiB.
  expect(JSON.stringify(aws.puts[0]).length).toBeLessThan(4096)
})

it("keeps a hybrid key that is there, whatever is not asked for", async () => {
  kept = await generateHybridIdentity()
  await request("Update")
  expect(operations()).toEqual(["GetSecretValue"])
  expect(aws.puts).toMatchObject([{ Data: { recipient: await identityToRecipient(kept) } }])
})

it.each([
  ["hybrid", "classic", generateX25519Identity],
  ["classic", "hybrid", generateHybridIdentity],
] as const)(
  "a %s key is asked for, and a %s one is there: the deployment fails with what to do",
  async (asked, found, generate) => {
    const identity = await generate()
    kept = identity
    await expect(request("Update", { kind: asked })).rejects.toThrow(
      `holds a ${found} key, and the settings ask for a ${asked} one`,
    )
    expect(kept).toBe(identity)
    expect(aws.puts).toMatchObject([
      { Status: "FAILED", Reason: expect.stringContaining("raise keyVersion") as unknown },
    ])
    expect(JSON.stringify(aws.puts)).not.toContain(identity.slice(20, 40))
  },
)

it("deletion succeeds and touches nothing", async () => {
  await request("Delete")
  expect(operations()).toEqual([])
  expect(aws.puts).toMatchObject([{ Status: "SUCCESS", PhysicalResourceId: secretArn }])
})

it("a secret that holds something else is not overwritten, and the deployment fails with the reason", async () => {
  kept = "hunter2"
  await expect(request("Update")).rejects.toThrow("holds something else than an age identity")
  expect(kept).toBe("hunter2")
  expect(aws.puts).toMatchObject([
    { Status: "FAILED", Reason: expect.stringContaining(secretArn) as unknown },
  ])
  expect(JSON.stringify(aws.puts)).not.toContain("hunter2")
})

it("a secret that was there already, and holds nothing, gets no key: somebody forgot to put it there", async () => {
  await expect(request("Create", { existing: "true" })).rejects.toThrow("holds nothing")
  expect(operations()).toEqual(["GetSecretValue"])
  expect(aws.puts).toMatchObject([
    { Status: "FAILED", Reason: expect.stringContaining("Put an age identity into it") as unknown },
  ])
})

it("a secret that can't be read fails the deployment at once", async () => {
  aws.answer("GetSecretValue", { error: "AccessDeniedException" })
  await expect(request("Create")).rejects.toThrow("GetSecretValue was refused")
  expect(aws.puts).toMatchObject([{ Status: "FAILED" }])
})
