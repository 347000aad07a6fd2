import { beforeAll, expect, it } from "vitest"
import * as z from "zod"
import { type Account, openAccount } from "./account.ts"
import { openAdopted } from "./adopted.ts"
import { allowsCall, type Call, drivenSettings, readRecording } from "./recorded-calls.ts"
import { readableId, type Synthesized, synthesize } from "./synthesize.ts"

/** What the stack's roles really asked of AWS, recorded by test/aws, against the policies of the template. */

let synthesized: Synthesized
let account: Account
let calls: readonly Call[]

beforeAll(() => {
  synthesized = synthesize(drivenSettings)
  account = openAccount(synthesized)
  calls = readRecording()
}, 300_000)

it.each([
  ["", () => account, []],
  [
    " with a bucket and keys that an earlier stack left, but that no key is written into a secret which has one",
    () => openAdopted(drivenSettings),
    ["makekeyrole secretsmanager:PutSecretValue"],
  ],
])("every recorded call is allowed%s", async (_, where, expected) => {
  expect(calls.length).toBeGreaterThan(50)
  const open = where()
  const denied: string[] = []
  for (const call of calls) if (!(await allowsCall(open, call))) denied.push(`${call.by} ${call.action}`)
  expect(denied).toEqual(expected)
})

const statementSchema = z.looseObject({
  Effect: z.string(),
  Action: z.union([z.string(), z.array(z.string())]).transform((action) => [action].flat()),
})
const policySchema = z.looseObject({
  PolicyDocument: z.looseObject({ Statement: z.array(statementSchema) }),
})

/** The template without one action in one statement of a policy. */
function without(policy: string, statement: number, action: string): Synthesized {
  const resources = structuredClone(synthesized.resources)
  const { PolicyDocument } = policySchema.parse(resources[policy]?.Properties)
  const Statement = PolicyDocument.Statement.flatMap((one, index) => {
    if (index !== statement) return [one]
    const Action = one.Action.filter((other) => other !== action)
    return Action.length === 0 ? [] : [{ ...one, Action }]
  })
  const resource = resources[policy]
  if (resource !== undefined)
    resource.Properties = { ...resource.Properties, PolicyDocument: { ...PolicyDocument, Statement } }
  return { ...synthesized, resources }
}

/** What is granted for cases that the emulator's tests do not bring about. */
const unused: readonly { readonly grants: RegExp; readonly because: string }[] = [
  { grants: / sqs:/, because: "Lambda and the scheduler send there what failed; the library adds two more" },
  {
    grants: / secretsmanager:DescribeSecret$/,
    because: "the library grants it together with GetSecretValue",
  },
  {
    grants: /(gone|lost)/,
    because: "tasks of these databases fail early, or never start; see those of orders",
  },
  {
    grants: /^Functionscleanuprole (s3:AbortMultipartUpload|s3:PutObject|kms:GenerateDataKey)$/,
    because: "no backup was interrupted long enough ago",
  },
  { grants: /^Functionsmeasurerole events:PutEvents$/, because: "no backup stayed unverified for an hour" },
  {
    grants: /^Functionsstart(drill|refresh)role events:PutEvents$/,
    because: "every drill and every refresh could be started",
  },
  { grants: /^Functionsstophungrole ecs:StopTask$/, because: "no task ran for a day" },
  {
    grants: /^Functionsverifybackuprole (ecs:RunTask|ecs:TagResource|iam:PassRole)$/,
    because: "no backup has 20 GiB",
  },
  {
    grants: /^SchedulesRole lambda:InvokeFunction$/,
    because: "the hourly and daily schedules did not come up",
  },
]

it("a grant that is taken away makes a recorded call fail, or is there for a reason", async () => {
  const never: string[] = []
  for (const [id, { Type, Properties }] of Object.entries(synthesized.resources)) {
    if (Type !== "AWS::IAM::Policy") continue
    const { Statement } = policySchema.parse(Properties).PolicyDocument
    const { Roles } = z.object({ Roles: z.tuple([z.object({ Ref: z.string() })]) }).parse(Properties)
    const role = readableId(Roles[0].Ref)
    const own = calls.filter(({ by }) => by === role)
    for (const [index, { Effect, Action }] of Statement.entries())
      for (const action of Effect === "Allow" ? Action : []) {
        const poorer = openAccount(without(id, index, action))
        if (await allowsAll(poorer, own)) never.push(`${role} ${action}`)
      }
  }
  expect(never.filter((grant) => !unused.some(({ grants }) => grants.test(grant)))).toEqual([])
  expect(unused.filter(({ grants }) => !never.some((grant) => grants.test(grant)))).toEqual([])
}, 240_000)

async function allowsAll(poorer: Account, own: readonly Call[]): Promise<boolean> {
  for (const call of own) if (!(await allowsCall(poorer, call))) return false
  return true
}
