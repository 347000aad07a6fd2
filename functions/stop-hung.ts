import { DescribeTasksCommand, ECSClient, ListTasksCommand, StopTaskCommand } from "@aws-sdk/client-ecs"
import * as z from "zod"
import { lambdaHandler } from "./handler.ts"
import { stoppedHung } from "./run-task.ts"

export const stopHungSettings = z.object({
  cluster: z.string(),
  /** What the families begin with whose tasks may not run on for ever. */
  familyPrefixes: z.array(z.string()),
  maxRunHours: z.number(),
})

const hourMs = 60 * 60 * 1000
/** As many as ECS describes at once. */
const atOnce = 100

const ecs = new ECSClient()

/** Stops the tasks that have run for too long: nothing else would. What becomes of them is told as of any that stop. */
export const handler = lambdaHandler(
  z.object({}),
  stopHungSettings,
  async (_, { settings, log, signal }): Promise<string[]> => {
    const { cluster, familyPrefixes, maxRunHours } = settings
    const stopped: string[] = []
    for (let nextToken: string | undefined; ; ) {
      const page = await ecs.send(new ListTasksCommand({ cluster, maxResults: atOnce, nextToken }), {
        abortSignal: signal,
      })
      const arns = page.taskArns ?? []
      const { tasks = [] } =
        arns.length === 0 ? {} : await ecs.send(new DescribeTasksCommand({ cluster, tasks: arns }))
      for (const { taskArn, taskDefinitionArn = "", createdAt } of tasks) {
        const [, family = ""] = /task-definition\/(.*):\d+$/.exec(taskDefinitionArn) ?? []
        const hours = (Date.now() - (createdAt?.getTime() ?? Date.now())) / hourMs
        if (hours < maxRunHours || !familyPrefixes.some((prefix) => family.startsWith(prefix))) continue
        log.warn("stops a task that ran for too long", { taskArn, hours })
        await ecs.send(new StopTaskCommand({ cluster, task: taskArn, reason: stoppedHung(maxRunHours) }))
        if (taskArn !== undefined) stopped.push(taskArn)
      }
      nextToken = page.nextToken
      if (nextToken === undefined) return stopped
    }
  },
)
