import { ECSClient } from "@aws-sdk/client-ecs"
import * as z from "zod"
import { publishEvent, reasonOf } from "../task/notify/events.ts"
import { lambdaHandler } from "./handler.ts"
import { runningTask, runTask, taskPlaceSchema } from "./run-task.ts"

export const startRefreshSettings = z.object({
  /** What the family of each task definition begins with; the name of a database follows. */
  familyPrefix: z.string(),
  place: taskPlaceSchema,
  eventBus: z.string(),
})

const startRefreshEvent = z.object({
  database: z.string().min(1),
  /** Requests of the same token start one task. */
  token: z.string().max(200).optional(),
})

const ecs = new ECSClient()

/** Starts the restore of a database into its staging server. Where the one before still runs, it is left alone. */
export const handler = lambdaHandler(
  startRefreshEvent,
  startRefreshSettings,
  async ({ database, token }, { settings, signal, log }) => {
    const { eventBus, familyPrefix, place } = settings
    const family = familyPrefix + database
    try {
      const running = await runningTask(ecs, place, family)
      if (running === undefined) return { started: await runTask(ecs, place, { family, token }, signal) }
      log.info("a refresh is under way already", { database, running })
      return { running }
    } catch (cause) {
      await publishEvent(eventBus, { type: "Restore Failed", database, ...reasonOf(cause) })
      throw cause
    }
  },
)
