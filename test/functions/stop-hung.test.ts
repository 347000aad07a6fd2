import { afterAll, beforeAll, beforeEach, expect, it } from "vitest"
import { type AwsEndpoint, lambdaContext, startAwsEndpoint } from "./aws-endpoint.ts"

let aws: AwsEndpoint
let stopHung: () => Promise<unknown>

beforeAll(async () => {
  aws = await startAwsEndpoint()
  process.env.PGSTOW_SETTINGS = JSON.stringify({
    cluster: "Pgstow",
    familyPrefixes: ["Pgstow-backup-", "Pgstow-verify"],
    maxRunHours: 24,
  })
  const { handler } = await import("../../functions/stop-hung.ts")
  stopHung = () => handler({}, lambdaContext)
})
afterAll(() => aws.close())
beforeEach(() => aws.reset())

const task = (name: string, family: string, hours: number) => ({
  taskArn: `task/${name}`,
  taskDefinitionArn: `arn:aws:ecs:eu-central-1:111122223333:task-definition/Pgstow-${family}:7`,
  createdAt: Date.now() / 1000 - hours * 3600,
})
const stops = () => aws.requests.filter(({ operation }) => operation === "StopTask").map(({ input }) => input)

it("backups and verifications that have run for too long are stopped, with the reason", async () => {
  aws.answer("ListTasks", { taskArns: ["task/any"] })
  aws.answer("DescribeTasks", {
    tasks: [
      task("hung", "backup-orders", 24.1),
      task("busy", "backup-shop", 23.9),
      task("stuck", "verify", 30),
    ],
  })
  expect(await stopHung()).toEqual(["task/hung", "task/stuck"])
  const reason = "it ran for more than 24 hours"
  expect(stops()).toEqual([
    { cluster: "Pgstow", task: "task/hung", reason },
    { cluster: "Pgstow", task: "task/stuck", reason },
  ])
})

it("a restore is left alone, however long it runs: somebody waits for it", async () => {
  aws.answer("ListTasks", { taskArns: ["task/any"] })
  aws.answer("DescribeTasks", { tasks: [task("long", "restore-orders", 100)] })
  expect(await stopHung()).toEqual([])
  expect(stops()).toEqual([])
})

it("all pages of tasks are looked at, and none is asked about where none runs", async () => {
  aws.answer("ListTasks", ({ nextToken }) =>
    nextToken === undefined ? { taskArns: [], nextToken: "2" } : { taskArns: ["task/any"] },
  )
  aws.answer("DescribeTasks", { tasks: [task("hung", "backup-orders", 25)] })
  expect(await stopHung()).toEqual(["task/hung"])
  expect(aws.requests.map(({ operation }) => operation)).toEqual([
    "ListTasks",
    "ListTasks",
    "DescribeTasks",
    "StopTask",
  ])
})
