import { afterAll, beforeAll, beforeEach, expect, it } from "vitest"
import { stoppedHung } from "../../functions/run-task.ts"
import { exitCodes } from "../../task/errors.ts"
import { type AwsEndpoint, lambdaContext, startAwsEndpoint } from "./aws-endpoint.ts"

let aws: AwsEndpoint
let stopped: (detail: { family?: string; [name: string]: unknown }) => Promise<unknown>

beforeAll(async () => {
  aws = await startAwsEndpoint()
  process.env.PGSTOW_SETTINGS = JSON.stringify({ familyPrefix: "Pgstow-", eventBus: "Pgstow" })
  const { handler } = await import("../../functions/task-stopped.ts")
  stopped = ({ family = "backup-orders", ...detail }) => {
    const taskDefinitionArn = `arn:aws:ecs:eu-central-1:111122223333:task-definition/Pgstow-${family}:7`
    return handler({ detail: { taskArn: "task/1", taskDefinitionArn, ...detail } }, lambdaContext)
  }
})
afterAll(() => aws.close())
beforeEach(() => aws.reset())

it("a task out of memory is a failed backup, and people hear what to do", async () => {
  await stopped({
    stoppedReason: "Essential container in task exited",
    containers: [{ exitCode: 137, reason: "OutOfMemoryError: Container killed due to memory usage" }],
  })
  expect(aws.events()).toEqual([
    {
      type: "Backup Failed",
      database: "orders",
      error:
        "task task/1 stopped without reporting a result: exit code 137; Essential container in task exited; OutOfMemoryError: Container killed due to memory usage",
      hint: "Give the database a larger size in the settings.",
    },
  ])
})

it.each([
  ["ResourceInitializationError: unable to pull secrets or registry auth", "that the secret exists"],
  ["CannotPullContainerError: pull image manifest has been retried", "See that the image exists"],
])("a task that never started is a failed backup: %s", async (stoppedReason, hint) => {
  await stopped({ stoppedReason, containers: [{}] })
  expect(aws.events()).toMatchObject([
    { type: "Backup Failed", hint: expect.stringContaining(hint) as unknown },
  ])
})

it.each([
  ["restore-orders", "Restore Failed", "orders"],
  ["verify", "Verification Failed", "*"],
  ["drill-orders", "Drill Failed", "orders"],
  ["refresh-orders", "Restore Failed", "orders"],
  ["backup-a-b", "Backup Failed", "a-b"],
])("a task of %s that was killed tells of itself", async (family, type, database) => {
  await stopped({ family, containers: [{ exitCode: 137 }] })
  expect(aws.events()).toMatchObject([{ type, database }])
})

it.each([
  ["pgstow", "SpotInterruption", 143, 1],
  ["pgstow-retry-1", "SpotInterruption", 143, 2],
  ["pgstow", "TaskFailedToStart", undefined, 1],
  ["pgstow", "TerminationNotice", 143, 1],
  ["pgstow", "InfrastructureHealth", 143, 1],
  ["pgstow-retry-1", "InfrastructureHealth", 137, 2],
])(
  "a backup that AWS ended or did not start is started again: %s, %s",
  async (startedBy, stopCode, exitCode, retry) => {
    await stopped({ startedBy, stopCode, containers: [{ exitCode }] })
    expect(aws.events()).toEqual([
      { type: "Start Backup", source: "pgstow.request", database: "orders", retry },
      expect.objectContaining({
        type: "Backup Failed",
        hint: expect.stringContaining("It is started again") as unknown,
      }),
    ])
  },
)

it.each([
  ["for the third time", { startedBy: "pgstow-retry-2", stopCode: "SpotInterruption" }],
  ["where somebody stopped it", { stopCode: "UserInitiated" }],
  ["where it drills", { family: "drill-orders", stopCode: "InfrastructureHealth" }],
  ["where it restores", { family: "restore-orders", stopCode: "SpotInterruption" }],
])("is not started again %s", async (_, detail) => {
  await stopped({ containers: [{ exitCode: 137 }], ...detail })
  expect(aws.events().map(({ type }) => type)).not.toContain("Start Backup")
  expect(aws.events()).toHaveLength(1)
})

it.each([exitCodes.terminated, 137])(
  "a hung task that was stopped is told, with exit code %i",
  async (exitCode) => {
    await stopped({
      stopCode: "UserInitiated",
      stoppedReason: stoppedHung(24),
      containers: [{ exitCode }],
    })
    expect(aws.events()).toMatchObject([
      {
        type: "Backup Failed",
        error: expect.stringContaining("it ran for more than 24 hours") as unknown,
        hint: expect.stringContaining("maxRunHours") as unknown,
      },
    ])
  },
)

it("a task that ended well, or told by itself why not, is not spoken for", async () => {
  for (const code of [0, exitCodes.postgres, exitCodes.terminated])
    await stopped({ containers: [{ exitCode: code }] })
  expect(aws.events()).toEqual([])
})

it("an event of another kind is refused", async () => {
  await expect(stopped({ taskArn: 7 })).rejects.toThrow("the event is refused")
})
