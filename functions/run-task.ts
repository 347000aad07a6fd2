import { setTimeout as wait } from "node:timers/promises"
import { type ECSClient, RunTaskCommand, type RunTaskCommandInput } from "@aws-sdk/client-ecs"
import * as z from "zod"
import { PgstowError } from "../task/errors.ts"

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
  /** Requests of the same token start one task, however often they come (within a day). */
  readonly token?: string | undefined
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
    const { tasks, failures } = await ecs.send(new RunTaskCommand(request), { abortSignal: signal })
    const started = tasks?.[0]?.taskArn
    if (started !== undefined) return started
    reason = failures?.map((failure) => failure.reason ?? failure.detail).join("; ") || "no reason given"
    if (!/capacity/i.test(reason)) throw notStarted(task.family, reason)
  }
  throw notStarted(
    task.family,
    reason,
    "AWS had no room in these subnets. Try again later, or name subnets in more zones.",
  )
}

function requestOf(
  place: TaskPlace,
  { family, command, token }: TaskRequest,
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
    startedBy: "pgstow",
    ...(command === undefined
      ? {}
      : { overrides: { containerOverrides: [{ name: containerName, command: [...command] }] } }),
    // Each try is another request to ECS; the same try, asked for twice, is the same one.
    ...(token === undefined ? {} : { clientToken: `${token}-${index}` }),
  }
}

function notStarted(family: string, reason: string, hint?: string): PgstowError {
  return new PgstowError(
    "unexpected",
    `ECS did not start ${family}: ${reason}`,
    hint === undefined ? {} : { hint },
  )
}
