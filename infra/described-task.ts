import { setTimeout as wait } from "node:timers/promises"
import { DescribeTasksCommand, type ECSClient, type Task } from "@aws-sdk/client-ecs"
import { PgstowError } from "../task/errors.ts"

/** How often to ask, and how long to wait in between. */
export type Patience = { readonly tries: number; readonly everyMs: number }

/** Longer than ECS has been seen to know nothing of a task that it had just started. */
const patience = { tries: 30, everyMs: 2_000 }

/**
 * What ECS says of a task that was started, as soon as it says anything: its answers may lag behind what it has done.
 * Rejects where it knows nothing of the task for a minute.
 */
export async function describedTask(
  ecs: ECSClient,
  cluster: string,
  taskArn: string,
  { tries, everyMs }: Patience = patience,
): Promise<Task> {
  for (let tried = 1; ; tried += 1) {
    const { tasks } = await ecs.send(new DescribeTasksCommand({ cluster, tasks: [taskArn] }))
    const [task] = tasks ?? []
    if (task !== undefined) return task
    if (tried >= tries)
      throw new PgstowError("notFound", `ECS knows nothing of the task ${taskArn}`, {
        hint: "It may run all the same: look for it in the ECS console, and for its log in CloudWatch Logs.",
      })
    await wait(everyMs)
  }
}
