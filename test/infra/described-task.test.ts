import { ECSClient } from "@aws-sdk/client-ecs"
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest"
import { describedTask } from "../../infra/described-task.ts"
import { type AwsEndpoint, startAwsEndpoint } from "../functions/aws-endpoint.ts"

const taskArn = "arn:aws:ecs:eu-central-1:111122223333:task/Pgstow/0a1b2c3d"
const patience = { tries: 3, everyMs: 1 }

let aws: AwsEndpoint
let ecs: ECSClient

beforeAll(async () => {
  aws = await startAwsEndpoint()
  ecs = new ECSClient()
})
afterAll(() => aws.close())
beforeEach(() => aws.reset())

/** Answers that ECS knows nothing of the task, and then of it. */
function answerAfter(unknown: number): void {
  let asked = 0
  aws.answer("DescribeTasks", () => {
    asked += 1
    return asked > unknown
      ? { tasks: [{ taskArn, lastStatus: "PROVISIONING" }], failures: [] }
      : { tasks: [], failures: [{ arn: taskArn, reason: "MISSING" }] }
  })
}

it("a task that ECS does not know of yet is asked for until it does", async () => {
  answerAfter(2)
  expect(await describedTask(ecs, "Pgstow", taskArn, patience)).toMatchObject({ taskArn })
  expect(aws.requests).toHaveLength(3)
})

it("a task that ECS never hears of is reported, with where to look", async () => {
  answerAfter(3)
  await expect(describedTask(ecs, "Pgstow", taskArn, patience)).rejects.toMatchObject({
    message: `ECS knows nothing of the task ${taskArn}`,
    hint: expect.stringContaining("may run all the same") as unknown,
  })
})
