import * as z from "zod"
import { exitCodes } from "../task/errors.ts"
import { type PgstowEvent, publishEvent } from "../task/notify/events.ts"
import { lambdaHandler } from "./handler.ts"

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

const hints: readonly (readonly [RegExp, string])[] = [
  [/OutOfMemory/, "Give the database a larger size in the settings."],
  [
    /(pull|retrieve) secret/i,
    "See that the secret exists, and that it has the fields that the connection needs.",
  ],
  [/CannotPull|pull image/i, "See that the image exists, and that the tasks' subnets reach the registry."],
  [/Spot/i, "AWS took the machine back. Start the backup again, or set spot to false."],
]

/** Speaks for a task that ended without a word: killed, out of memory, or never started. */
export const handler = lambdaHandler(
  taskStoppedEvent,
  taskStoppedSettings,
  async ({ detail }, { settings }): Promise<PgstowEvent | null> => {
    const { containers, stoppedReason, taskArn, taskDefinitionArn } = detail
    const codes = containers.map(({ exitCode }) => exitCode)
    if (codes.length > 0 && codes.every((code) => code !== undefined && spokenFor.has(code))) return null

    const exits = codes.map((code) => (code === undefined ? "no exit code" : `exit code ${code}`))
    const reasons = containers.flatMap(({ reason }) => reason ?? [])
    const why = [...exits, stoppedReason, ...reasons].join("; ")
    const hint = hints.find(([pattern]) => pattern.test(why))?.[1]
    const [, name = ""] = /task-definition\/(.*):\d+$/.exec(taskDefinitionArn) ?? []
    const family = name.slice(settings.familyPrefix.length)
    const [, kind, database] = /^(backup|restore|verify)(?:-(.*))?$/.exec(family) ?? []
    const event: PgstowEvent = {
      type:
        kind === "verify" ? "Verification Failed" : kind === "restore" ? "Restore Failed" : "Backup Failed",
      database: database ?? "*",
      error: `task ${taskArn} ended without a word: ${why}`,
      ...(hint === undefined ? {} : { hint }),
    }
    await publishEvent(settings.eventBus, event)
    return event
  },
)
