import { CloudWatchLogsClient } from "@aws-sdk/client-cloudwatch-logs"
import { ECSClient } from "@aws-sdk/client-ecs"
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest"
import { followTask } from "../../infra/follow-task.ts"
import { type AwsEndpoint, startAwsEndpoint } from "../functions/aws-endpoint.ts"

const taskArn = "arn:aws:ecs:eu-central-1:111122223333:task/Pgstow/0a1b2c3d"
const patience = { tries: 3, everyMs: 1 }
const running = { taskArn, lastStatus: "RUNNING" }
const stopped = { taskArn, lastStatus: "STOPPED", containers: [{ exitCode: 0 }] }

let aws: AwsEndpoint
let clients: { ecs: ECSClient; logs: CloudWatchLogsClient }
let printed: string

beforeAll(async () => {
  aws = await startAwsEndpoint()
  clients = { ecs: new ECSClient(), logs: new CloudWatchLogsClient() }
})
afterAll(() => aws.close())
beforeEach(() => {
  aws.reset()
  printed = ""
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    printed += String(text)
    return true
  })
  const logConfiguration = {
    options: { "awslogs-group": "tasks", "awslogs-stream-prefix": "backup-orders" },
  }
  aws.answer("DescribeTaskDefinition", {
    taskDefinition: { containerDefinitions: [{ name: "pgstow", logConfiguration }] },
  })
})
afterEach(() => {
  vi.restoreAllMocks()
})

/** What ECS says of the task, one answer after the other, the last one for ever; undefined where it knows nothing. */
function answerWith(...answers: readonly (object | undefined)[]): void {
  let asked = 0
  aws.answer("DescribeTasks", () => {
    const task = answers[Math.min(asked, answers.length - 1)]
    asked += 1
    return task === undefined
      ? { tasks: [], failures: [{ arn: taskArn, reason: "MISSING" }] }
      : { tasks: [task], failures: [] }
  })
}

/** What the log holds: a line is there from the second look on. */
function answerLog(message: string): void {
  let looks = 0
  aws.answer("GetLogEvents", ({ nextToken }) => {
    looks += 1
    if (looks === 1) return { events: [], nextForwardToken: "start" }
    return { events: nextToken === "end" ? [] : [{ message }], nextForwardToken: "end" }
  })
}

it("a task is followed to its end, and its exit code given", async () => {
  answerLog('{"level":"info","message":"stored"}')
  answerWith(running, running, stopped)
  expect(await followTask(clients, "Pgstow", taskArn, patience)).toBe(0)
  expect(printed).toBe("stored\n")
})

it("a task that ECS has forgotten is not followed for ever: its log is printed, and said that nobody knows its end", async () => {
  answerLog('{"level":"info","message":"dumping"}')
  answerWith(running, running, undefined)
  await expect(followTask(clients, "Pgstow", taskArn, patience)).rejects.toMatchObject({
    message: `ECS has forgotten the task ${taskArn}, and how it ended with it`,
    hint: expect.stringContaining("backup-orders/pgstow/0a1b2c3d of tasks") as unknown,
  })
  expect(printed).toBe("dumping\n")
})

it("a task that ECS does not know of for a moment is followed on", async () => {
  answerLog("what it said")
  answerWith(running, undefined, undefined, running, undefined, undefined, stopped)
  expect(await followTask(clients, "Pgstow", taskArn, patience)).toBe(0)
})
