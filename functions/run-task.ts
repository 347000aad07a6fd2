import { createHash } from "node:crypto"
import { setTimeout as wait } from "node:timers/promises"
import {
  type ECSClient,
  ListTasksCommand,
  RunTaskCommand,
  type RunTaskCommandInput,
} from "@aws-sdk/client-ecs"
import * as z from "zod"
import { messageOf, PgstowError } from "../task/errors.ts"

/** Where tasks run, and how. */
export const taskPlaceSchema = z.object({
  cluster: z.string(),
  subnetIds: z.array(z.string()),
  securityGroupIds: z.array(z.string()),
  publicIp: z.boolean(),
  /** Try Fargate Spot first. */
  spot: z.boolean(),
  /** How long to wait before each further try where there is no room, in seconds. */
  capacityWaitSeconds: z.array(z.number()),
})

export type TaskPlace = z.infer<typeof taskPlaceSchema>

/** The name that the stack gives the container of every task. */
export const containerName = "pgstow"

export type TaskRequest = {
  /** The task definition, by its family: the newest revision runs. */
  readonly family: string
  /** The command, where it is not the definition's own. */
  readonly command?: readonly string[]
  /** Requests of the same token and family start one task, however often they come (within a day). */
  readonly token?: string | undefined
  /** How often the same was tried before, by tasks that AWS ended or did not start. */
  readonly retry?: number
}

const startedByPrefix = "pgstow-retry-"

/** How often a task's work was tried before, by what ECS says it was started by. */
export function retriesOf(startedBy: string): number {
  return startedBy.startsWith(startedByPrefix) ? Number(startedBy.slice(startedByPrefix.length)) : 0
}

/** Why a task was stopped that ran for too long: what ECS then says of it. */
export function stoppedHung(hours: number): string {
  return `it ran for more than ${hours} hours`
}

/** What there is no room for now may have some in a minute: Fargate's own, or what the account may use of it. */
const noRoom = /capacity|limit on the number of|throttl|rate exceeded/i

/** The ARN of a task that runs or is starting, of this family. */
export async function runningTask(
  ecs: ECSClient,
  { cluster }: Pick<TaskPlace, "cluster">,
  family: string,
): Promise<string | undefined> {
  const { taskArns } = await ecs.send(new ListTasksCommand({ cluster, family }))
  return taskArns?.[0]
}

/**
 * Starts a task and gives its ARN. Where there is no room for it, tries again: on demand after Spot, then after
 * each of the place's waits. Rejects where there was none at the end, or ECS refused for any other reason.
 */
export async function runTask(
  ecs: ECSClient,
  place: TaskPlace,
  task: TaskRequest,
  signal: AbortSignal,
): Promise<string> {
  const tries = [
    ...(place.spot ? [{ provider: "FARGATE_SPOT", seconds: 0 }] : []),
    ...[0, ...place.capacityWaitSeconds].map((seconds) => ({ provider: "FARGATE", seconds })),
  ]
  let reason = ""
  for (const [index, { provider, seconds }] of tries.entries()) {
    await wait(seconds * 1000, undefined, { signal })
    const request = requestOf(place, task, provider, index)
    try {
      const { tasks, failures } = await ecs.send(new RunTaskCommand(request), { abortSignal: signal })
      const started = tasks?.[0]?.taskArn
      if (started !== undefined) return started
      reason = failures?.map((failure) => failure.reason ?? failure.detail).join("; ") || "no reason given"
    } catch (error) {
      // What the account may use is said by an error, not by a failure.
      reason = messageOf(error)
      if (!noRoom.test(reason)) throw error
    }
    if (!noRoom.test(reason)) throw notStarted(task.family, reason)
  }
  throw notStarted(
    task.family,
    reason,
    "AWS had no room in these subnets, or the account's quota of Fargate is used up. Try again later, name subnets in more zones, spread the schedules, or ask AWS for a larger quota.",
  )
}

function requestOf(
  place: TaskPlace,
  { family, command, token, retry = 0 }: TaskRequest,
  provider: string,
  index: number,
): RunTaskCommandInput {
  return {
    cluster: place.cluster,
    taskDefinition: family,
    capacityProviderStrategy: [{ capacityProvider: provider, weight: 1 }],
    networkConfiguration: {
      awsvpcConfiguration: {
        subnets: place.subnetIds,
        securityGroups: place.securityGroupIds,
        assignPublicIp: place.publicIp ? "ENABLED" : "DISABLED",
      },
    },
    propagateTags: "TASK_DEFINITION",
    startedBy: retry === 0 ? "pgstow" : `${startedByPrefix}${retry}`,
    ...(command === undefined
      ? {}
      : { overrides: { containerOverrides: [{ name: containerName, command: [...command] }] } }),
    // Each try is another request to ECS; the same try, asked for twice, is the same one.
    ...(token === undefined ? {} : { clientToken: `${digest(`${family} ${token}`)}-${index}` }),
  }
}

/** ECS takes tokens of up to 64 characters. */
function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 40)
}

function notStarted(family: string, reason: string, hint?: string): PgstowError {
  return new PgstowError(
    "unexpected",
    `ECS did not start ${family}: ${reason}`,
    hint === undefined ? {} : { hint },
  )
}
