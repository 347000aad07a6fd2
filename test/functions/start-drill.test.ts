import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest"
import type { CheckKind } from "../../task/core/check.ts"
import { openStorage } from "../../task/storage/open-storage.ts"
import { storeSample } from "../support/sample-backup.ts"
import { type AwsEndpoint, lambdaContext, startAwsEndpoint } from "./aws-endpoint.ts"

let aws: AwsEndpoint
let folder: string
let start: (event: unknown) => Promise<unknown>

beforeAll(async () => {
  aws = await startAwsEndpoint()
  folder = await mkdtemp(join(tmpdir(), "pgstow-start-drill-"))
  process.env.PGSTOW_SETTINGS = JSON.stringify({
    databases: ["orders"],
    server: "main",
    familyPrefix: "Pgstow-drill-",
    place: {
      cluster: "Pgstow",
      subnetIds: ["subnet-1"],
      securityGroupIds: ["sg-1"],
      publicIp: true,
      spot: false,
      capacityWaitSeconds: [0.001],
    },
    storage: `file://${folder}`,
    eventBus: "Pgstow",
  })
  const { handler } = await import("../../functions/start-drill.ts")
  start = (event) => handler(event, lambdaContext)
})
afterAll(async () => {
  await aws.close()
  await rm(folder, { recursive: true })
})
beforeEach(() => {
  aws.reset()
  aws.answer("ListTasks", { taskArns: [] })
  aws.answer("RunTask", ({ taskDefinition }) => ({ tasks: [{ taskArn: `task/${String(taskDefinition)}` }] }))
})

const runs = () => aws.requests.filter(({ operation }) => operation === "RunTask").map(({ input }) => input)

it("a database's drill is started as its definition says", async () => {
  expect(await start({ database: "orders", token: "t" })).toEqual({ started: "task/Pgstow-drill-orders" })
  expect(runs()).toMatchObject([{ taskDefinition: "Pgstow-drill-orders" }])
  expect(runs()[0]).not.toHaveProperty("overrides")
})

it("where the drill before still runs, no other is started", async () => {
  aws.answer("ListTasks", { taskArns: ["task/old"] })
  expect(await start({ database: "orders" })).toEqual({ running: "task/old" })
  expect(runs()).toEqual([])
})

it("a drill that can't be started is one that failed, and people hear why", async () => {
  aws.answer("RunTask", { failures: [{ reason: "Capacity is unavailable at this time" }] })
  await expect(start({ database: "orders" })).rejects.toThrow("ECS did not start Pgstow-drill-orders")
  expect(aws.events()).toMatchObject([
    {
      type: "Drill Failed",
      database: "orders",
      error: expect.stringContaining("Capacity") as unknown,
      hint: expect.stringContaining("AWS had no room") as unknown,
    },
  ])
})

it("of a server that nothing is stored of, none can be started", async () => {
  await expect(start({ database: "main" })).rejects.toThrow(
    "there is no verified backup of any database of main",
  )
  expect(aws.events()).toMatchObject([{ type: "Drill Failed", database: "main" }])
})

it("of a server, the verified database is drilled whose last drill was longest ago, and none that has its own", async () => {
  const storage = openStorage(`file://${folder}`, { env: {} })
  const store = (database: string, checks: readonly CheckKind[]) =>
    storeSample(storage, { database, id: "20260102T030000Z-k3v9x2ab", checks })
  await store("orders", ["verified"])
  await store("crm", ["verified", "drilled"])
  await store("wiki", ["verified"])
  await store("new", [])
  await start({ database: "main" })
  expect(runs()).toMatchObject([
    {
      taskDefinition: "Pgstow-drill-main",
      overrides: {
        containerOverrides: [{ name: "pgstow", command: ["drill", "latest", "--database", "wiki"] }],
      },
    },
  ])
})

it("of databases that no drill is known of, each has its turn: findings go with their backups", async () => {
  const own = await mkdtemp(join(tmpdir(), "pgstow-start-drill-"))
  const before = process.env.PGSTOW_SETTINGS ?? ""
  process.env.PGSTOW_SETTINGS = before.replace(folder, own)
  try {
    const storage = openStorage(`file://${own}`, { env: {} })
    for (const database of ["crm", "wiki"])
      await storeSample(storage, { database, id: "20260102T030000Z-k3v9x2ab", checks: ["verified"] })
    for (let run = 0; run < 40; run++) await start({ database: "main" })
  } finally {
    process.env.PGSTOW_SETTINGS = before
    await rm(own, { recursive: true })
  }
  const commands = runs().map((input) => JSON.stringify(input))
  expect(commands).toHaveLength(40)
  for (const database of ["crm", "wiki"])
    expect(commands.some((command) => command.includes(`"--database","${database}"`))).toBe(true)
})
