import { afterAll, beforeAll, beforeEach, expect, it } from "vitest"
import { type AwsEndpoint, lambdaContext, startAwsEndpoint } from "./aws-endpoint.ts"

let aws: AwsEndpoint
let start: (event: unknown) => Promise<unknown>

beforeAll(async () => {
  aws = await startAwsEndpoint()
  process.env.PGSTOW_SETTINGS = JSON.stringify({
    familyPrefix: "Pgstow-refresh-",
    place: {
      cluster: "Pgstow",
      subnetIds: ["subnet-1"],
      securityGroupIds: ["sg-1"],
      publicIp: true,
      spot: false,
      capacityWaitSeconds: [0.001],
    },
    eventBus: "Pgstow",
  })
  const { handler } = await import("../../functions/start-refresh.ts")
  start = (event) => handler(event, lambdaContext)
})
afterAll(() => aws.close())
beforeEach(() => {
  aws.reset()
  aws.answer("ListTasks", { taskArns: [] })
  aws.answer("RunTask", ({ taskDefinition }) => ({ tasks: [{ taskArn: `task/${String(taskDefinition)}` }] }))
})

it("the refresh of a database is started as its definition says, and not while the one before runs", async () => {
  expect(await start({ database: "orders" })).toEqual({ started: "task/Pgstow-refresh-orders" })
  const [run] = aws.requests.filter(({ operation }) => operation === "RunTask")
  expect(run?.input).not.toHaveProperty("overrides")
  aws.reset()
  aws.answer("ListTasks", { taskArns: ["task/old"] })
  expect(await start({ database: "orders" })).toEqual({ running: "task/old" })
  expect(aws.requests.map(({ operation }) => operation)).toEqual(["ListTasks"])
})

it("a refresh that can't be started is a restore that failed, and people hear why", async () => {
  aws.answer("RunTask", { error: "AccessDeniedException" })
  await expect(start({ database: "orders" })).rejects.toThrow("RunTask was refused")
  expect(aws.events()).toMatchObject([{ type: "Restore Failed", database: "orders" }])
})
