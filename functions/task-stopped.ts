import * as z from "zod"
import { exitCodes } from "../task/errors.ts"
import { type PgstowEvent, publishEvent } from "../task/notify/events.ts"
import { lambdaHandler } from "./handler.ts"
import { putRequest } from "./request.ts"
import { retriesOf } from "./run-task.ts"

export const taskStoppedSettings = z.object({
  /** What the families of the stack's task definitions begin with: the kind of task and a database follow. */
  familyPrefix: z.string(),
  eventBus: z.string(),
})

/** ECS's "Task State Change", as far as it is used. */
const taskStoppedEvent = z.object({
  detail: z.object({
    taskArn: z.string(),
    taskDefinitionArn: z.string(),
    startedBy: z.string().default(""),
    /** Why it stopped, as one of ECS's words. */
    stopCode: z.string().default(""),
    stoppedReason: z.string().default("no reason given"),
    containers: z
      .array(z.object({ exitCode: z.int().optional(), reason: z.string().optional() }))
      .default([]),
  }),
})

/** Exit codes after which the program has said what happened. 1 may be a crash before it could. */
const spokenFor: ReadonlySet<number> = new Set(
  [0, ...Object.values(exitCodes)].filter((code) => code !== exitCodes.unexpected),
)

/** AWS took the machine: from a Spot task, or since the machine was failing. */
const endedByAws = ["SpotInterruption", "TerminationNotice", "InfrastructureHealth"]
/** AWS's doing, after which the same task may well succeed. */
const worthAnotherTry = [...endedByAws, "TaskFailedToStart"]
const maxRetries = 2

/** What a task of each kind failed at. */
const types: Readonly<Record<string, "Verification Failed" | "Restore Failed" | "Drill Failed">> = {
  verify: "Verification Failed",
  restore: "Restore Failed",
  refresh: "Restore Failed",
  drill: "Drill Failed",
}

/** `stoppedHung` of any number of hours. */
const hung = /it ran for more than [\d.]+ hours/

const hints: readonly (readonly [RegExp, string])[] = [
  [/OutOfMemory/, "Give the database a larger size in the settings."],
  // ECS says this of a secret that is missing, and in the same words of a network that reaches nothing.
  [
    /pull secrets or registry auth.*(timeout|deadline|dial tcp|connection issue)/i,
    "The tasks' subnets do not reach AWS: they need public addresses and a route to the internet, a NAT gateway, or the VPC endpoints that infra/README.md names.",
  ],
  [
    /(pull|retrieve) secret/i,
    "See that the tasks' subnets reach Secrets Manager, that the secret exists, and that it has the fields that the connection needs.",
  ],
  [/CannotPull|pull image/i, "See that the image exists, and that the tasks' subnets reach the registry."],
  [
    hung,
    "Look at its log for what it waited for: often a lock, or a server that no longer answers. Raise maxRunHours where it needs that long.",
  ],
  [/Spot/i, "AWS took the machine back. Set spot to false if that happens often."],
]

/** Reports a task that stopped without reporting a result: killed, out of memory, or never started. */
export const handler = lambdaHandler(
  taskStoppedEvent,
  taskStoppedSettings,
  async ({ detail }, { settings }): Promise<PgstowEvent | null> => {
    const { containers, startedBy, stopCode, stoppedReason, taskArn, taskDefinitionArn } = detail
    const codes = containers.map(({ exitCode }) => exitCode)
    const said = (code: number | undefined) =>
      code !== undefined &&
      spokenFor.has(code) &&
      // That it was told to stop is all that it knows of these.
      (code === 0 || !(endedByAws.includes(stopCode) || hung.test(stoppedReason)))
    if (codes.length > 0 && codes.every(said)) return null

    const exits = codes.map((code) => (code === undefined ? "no exit code" : `exit code ${code}`))
    const reasons = containers.flatMap(({ reason }) => reason ?? [])
    const why = [...exits, stoppedReason, ...reasons].join("; ")
    const [, name = ""] = /task-definition\/(.*):\d+$/.exec(taskDefinitionArn) ?? []
    const family = name.slice(settings.familyPrefix.length)
    const [, kind, database] = /^(backup|restore|verify|drill|refresh)(?:-(.*))?$/.exec(family) ?? []
    const retry = retriesOf(startedBy) + 1
    const again = kind === "backup" && worthAnotherTry.includes(stopCode) && retry <= maxRetries
    const advice = hints.find(([pattern]) => pattern.test(why))?.[1]
    const repeated = again
      ? `It is started again, for the ${retry === 1 ? "second" : "third"} time.`
      : undefined
    const hint = [repeated, advice].filter((sentence) => sentence !== undefined).join(" ")
    const event: PgstowEvent = {
      type: types[kind ?? ""] ?? "Backup Failed",
      database: database ?? "*",
      error: `task ${taskArn} stopped without reporting a result: ${why}`,
      ...(hint === "" ? {} : { hint }),
    }
    // Where another backup of the database runs meanwhile, the starting function leaves it at that.
    if (again)
      await putRequest(settings.eventBus, {
        type: "Start Backup",
        detail: { database: database ?? "*", retry },
      })
    await publishEvent(settings.eventBus, event)
    return event
  },
)
