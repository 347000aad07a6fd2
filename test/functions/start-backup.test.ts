import { afterAll, beforeAll, beforeEach, expect, it } from "vitest"
import { type AwsEndpoint, lambdaContext, startAwsEndpoint } from "./aws-endpoint.ts"

let aws: AwsEndpoint
let start: (event: unknown) => Promise<unknown>

const place = {
  cluster: "Pgstow",
  subnetIds: ["subnet-1"],
  securityGroupIds: ["sg-1"],
  publicIp: true,
  spot: false,
  capacityWaitSeconds: [0.001, 0.001],
}

function configure(changes: object = {}) {
  process.env.PGSTOW_SETTINGS = JSON.stringify({
    databases: ["orders", "shop"],
    familyPrefix: "Pgstow-backup-",
    place: { ...place, ...changes },
    eventBus: "Pgstow",
  })
}

beforeAll(async () => {
  aws = await startAwsEndpoint()
  const { handler } = await import("../../functions/start-backup.ts")
  start = (event) => handler(event, lambdaContext)
})
afterAll(() => aws.close())
beforeEach(() => {
  aws.reset()
  configure()
  aws.answer("ListTasks", { taskArns: [] })
  aws.answer("RunTask", ({ taskDefinition }) => ({ tasks: [{ taskArn: `task/${String(taskDefinition)}` }] }))
})

const runs = () => aws.requests.filter(({ operation }) => operation === "RunTask").map(({ input }) => input)
const noRoom = { failures: [{ reason: "Capacity is unavailable at this time. Please try again later" }] }

it("one database is started where the stack says, once however often it is asked for", async () => {
  const event = { database: "orders", token: "execution-1" }
  expect(await start(event)).toEqual([{ database: "orders", started: "task/Pgstow-backup-orders" }])
  await start(event)
  expect(runs()[0]).toMatchObject({
    cluster: "Pgstow",
    taskDefinition: "Pgstow-backup-orders",
    capacityProviderStrategy: [{ capacityProvider: "FARGATE", weight: 1 }],
    networkConfiguration: {
      awsvpcConfiguration: { subnets: ["subnet-1"], securityGroups: ["sg-1"], assignPublicIp: "ENABLED" },
    },
  })
  const [first, again] = runs().map(({ clientToken }) => String(clientToken))
  expect(first).toBe(again)
  expect(first?.length).toBeLessThanOrEqual(64)
})

it("of one call for all databases each gets its own task", async () => {
  await start({ database: "*", token: "t" })
  expect(new Set(runs().map(({ clientToken }) => clientToken)).size).toBe(2)
})

it("a quota that is used up is waited for as room is", async () => {
  let asked = 0
  aws.answer("RunTask", () => {
    asked += 1
    return asked < 2
      ? {
          error: "ClientException",
          message: "You've reached the limit on the number of vCPUs you can run concurrently",
        }
      : { tasks: [{ taskArn: "task/at-last" }] }
  })
  expect(await start({ database: "orders" })).toEqual([{ database: "orders", started: "task/at-last" }])
})

it("a database whose backup is under way is left alone, and people hear of it", async () => {
  aws.answer("ListTasks", ({ family }) => ({
    taskArns: family === "Pgstow-backup-orders" ? ["task/old"] : [],
  }))
  expect(await start({ database: "*" })).toEqual([
    { database: "orders", running: "task/old" },
    { database: "shop", started: "task/Pgstow-backup-shop" },
  ])
  expect(aws.events()).toEqual([{ type: "Backup Skipped", database: "orders", running: "task/old" }])
})

it("Spot without room falls back to on-demand, and on-demand without room is tried again", async () => {
  configure({ spot: true })
  let asked = 0
  aws.answer("RunTask", () => {
    asked += 1
    return asked < 4 ? noRoom : { tasks: [{ taskArn: "task/at-last" }] }
  })
  expect(await start({ database: "orders", token: "t" })).toEqual([
    { database: "orders", started: "task/at-last" },
  ])
  const providers = runs().map(({ capacityProviderStrategy }) => JSON.stringify(capacityProviderStrategy))
  expect(providers.map((text) => /FARGATE(_SPOT)?/.exec(text)?.[0])).toEqual([
    "FARGATE_SPOT",
    "FARGATE",
    "FARGATE",
    "FARGATE",
  ])
  expect(new Set(runs().map(({ clientToken }) => clientToken)).size).toBe(4)
})

it("no room to the end fails, says so on the bus, and keeps no other database from starting", async () => {
  aws.answer("RunTask", ({ taskDefinition }) =>
    taskDefinition === "Pgstow-backup-orders" ? noRoom : { tasks: [{ taskArn: "task/shop" }] },
  )
  await expect(start({ database: "*" })).rejects.toThrow("ECS did not start Pgstow-backup-orders: Capacity")
  expect(runs().filter(({ taskDefinition }) => taskDefinition === "Pgstow-backup-shop")).toHaveLength(1)
  expect(aws.events()).toMatchObject([{ type: "Backup Failed", database: "orders" }])
})

it("a refusal for another reason than room is not tried again", async () => {
  aws.answer("RunTask", { error: "AccessDeniedException" })
  await expect(start({ database: "orders" })).rejects.toThrow("RunTask was refused")
  expect(runs()).toHaveLength(1)
  expect(aws.events()).toMatchObject([{ type: "Backup Failed", database: "orders" }])
})

it("a database that is not there is refused with those that are", async () => {
  await expect(start({ database: "ordes" })).rejects.toThrow(
    'no database "ordes" is backed up here. There are orders, shop; "*" stands for all of them.',
  )
  expect(aws.requests).toEqual([])
})

it.each([[{}], [{ database: 7 }], [{ database: "" }], [null], ["orders"]])(
  "a malformed event is refused and nothing is asked of AWS: %j",
  async (event) => {
    await expect(start(event)).rejects.toThrow("the event is refused")
    expect(aws.requests).toEqual([])
  },
)
