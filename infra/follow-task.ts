import { setTimeout as wait } from "node:timers/promises"
import {
  type CloudWatchLogsClient,
  GetLogEventsCommand,
  ResourceNotFoundException,
} from "@aws-sdk/client-cloudwatch-logs"
import {
  DescribeTaskDefinitionCommand,
  DescribeTasksCommand,
  type ECSClient,
  type Task,
} from "@aws-sdk/client-ecs"
import { PgstowError } from "../task/errors.ts"
import { describedTask, type Patience } from "./described-task.ts"

type Clients = { readonly ecs: ECSClient; readonly logs: CloudWatchLogsClient }
type LogStream = { readonly logGroupName: string; readonly logStreamName: string }

/** A minute: how often ECS, or the log of a task that has ended, is asked for what is not there yet. */
const patience = { tries: 30, everyMs: 2_000 }

/**
 * Prints what a task says until it has ended, and gives its exit code. ECS forgets a task about an hour after its
 * end: where it has known nothing of it for a minute, prints the rest of the log and rejects, since nobody can tell
 * any more how the task ended.
 */
export async function followTask(
  { ecs, logs }: Clients,
  cluster: string,
  taskArn: string,
  { tries, everyMs }: Patience = patience,
): Promise<number> {
  const first = await describedTask(ecs, cluster, taskArn, { tries, everyMs })
  const stream = await logStream(ecs, first, taskArn)
  let token: string | undefined
  let anything = false
  const print = async () => {
    const printed = await printFrom(logs, stream, token)
    token = printed.token
    anything ||= printed.lines > 0
  }
  for (let unknown = 0; ; ) {
    const { tasks } = await ecs.send(new DescribeTasksCommand({ cluster, tasks: [taskArn] }))
    const [task] = tasks ?? []
    await print()
    if (task?.lastStatus === "STOPPED") {
      // What it said last gets into the log a little later, and a task that ran has said something.
      const ran = task.containers?.[0]?.exitCode !== undefined
      for (let looks = 1; looks === 1 || (ran && !anything && looks < tries); looks += 1) {
        await wait(everyMs)
        await print()
      }
      return exitCodeOf(task)
    }
    unknown = task === undefined ? unknown + 1 : 0
    if (unknown >= tries) throw forgotten(taskArn, stream)
    await wait(everyMs)
  }
}

function forgotten(taskArn: string, { logGroupName, logStreamName }: LogStream): PgstowError {
  return new PgstowError("notFound", `ECS has forgotten the task ${taskArn}, and how it ended with it`, {
    hint: `All that its log holds is above, and in CloudWatch Logs: ${logStreamName} of ${logGroupName}. ECS forgets a task about an hour after its end. \`npm run cloud -- list\` shows what is stored.`,
  })
}

async function logStream(ecs: ECSClient, task: Task, taskArn: string): Promise<LogStream> {
  const definition = new DescribeTaskDefinitionCommand({ taskDefinition: task.taskDefinitionArn })
  const { taskDefinition } = await ecs.send(definition)
  const container = taskDefinition?.containerDefinitions?.[0]
  const options = container?.logConfiguration?.options ?? {}
  const id = taskArn.slice(taskArn.lastIndexOf("/") + 1)
  return {
    logGroupName: options["awslogs-group"] ?? "",
    logStreamName: `${options["awslogs-stream-prefix"]}/${container?.name}/${id}`,
  }
}

/** Prints what came after `token`, and gives the next one, and how many lines there were. */
async function printFrom(
  logs: CloudWatchLogsClient,
  stream: LogStream,
  token: string | undefined,
): Promise<{ readonly token: string | undefined; readonly lines: number }> {
  let lines = 0
  for (let from = token; ; ) {
    const request = new GetLogEventsCommand({ ...stream, startFromHead: true, nextToken: from })
    const page = await logs.send(request).catch((error: unknown) => {
      // A task that has said nothing yet has no stream.
      if (error instanceof ResourceNotFoundException) return undefined
      throw error
    })
    for (const { message } of page?.events ?? []) process.stdout.write(`${readable(message ?? "")}\n`)
    lines += page?.events?.length ?? 0
    if (page?.nextForwardToken === undefined || page.nextForwardToken === from) return { token: from, lines }
    from = page.nextForwardToken
  }
}

/** The message of a line of the program's log, and what to do where it says; any other line as it is. */
function readable(line: string): string {
  if (!line.startsWith("{")) return line
  try {
    // The program's own log lines: task/log.ts.
    const { message, hint } = JSON.parse(line) as { message?: string; hint?: string }
    return [message ?? line, ...(hint === undefined ? [] : [hint])].join("\n")
  } catch {
    return line
  }
}

function exitCodeOf(task: Task): number {
  const exitCode = task.containers?.[0]?.exitCode
  if (exitCode === undefined) process.stderr.write(`the task did not run: ${task.stoppedReason}\n`)
  return exitCode ?? 1
}
