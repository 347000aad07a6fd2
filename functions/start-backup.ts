import { ECSClient } from "@aws-sdk/client-ecs"
import * as z from "zod"
import { PgstowError } from "../task/errors.ts"
import { publishEvent, reasonOf } from "../task/notify/events.ts"
import { lambdaHandler } from "./handler.ts"
import { runningTask, runTask, taskPlaceSchema } from "./run-task.ts"

export const startBackupSettings = z.object({
  databases: z.array(z.string()),
  /** What the family of each database's task definition begins with; the database's name follows. */
  familyPrefix: z.string(),
  place: taskPlaceSchema,
  eventBus: z.string(),
})

const startBackupEvent = z.object({
  /** One database, or "*" for all of them. */
  database: z.string().min(1),
  /** Requests of the same token start one task. */
  token: z.string().max(200).optional(),
  /** How often this backup was tried before, by tasks that AWS ended or did not start. */
  retry: z.int().min(0).default(0),
})

/** The task that was started, or the one that is running already. */
type Start =
  | { readonly database: string; readonly started: string }
  | { readonly database: string; readonly running: string }

const ecs = new ECSClient()

/** Starts the backup of one database, or of all. A database whose backup is under way is left alone. */
export const handler = lambdaHandler(
  startBackupEvent,
  startBackupSettings,
  async ({ database, token, retry }, { settings, signal }): Promise<Start[]> => {
    const { databases, familyPrefix, place, eventBus } = settings
    if (database !== "*" && !databases.includes(database))
      throw new PgstowError("usage", `no database ${JSON.stringify(database)} is backed up here`, {
        hint: `There are ${databases.join(", ")}; "*" stands for all of them.`,
      })

    const start = async (name: string): Promise<Start> => {
      const family = familyPrefix + name
      const running = await runningTask(ecs, place, family)
      if (running === undefined)
        return { database: name, started: await runTask(ecs, place, { family, token, retry }, signal) }
      await publishEvent(eventBus, { type: "Backup Skipped", database: name, running })
      return { database: name, running }
    }

    const starts = await Promise.allSettled((database === "*" ? databases : [database]).map(start))
    const failures: unknown[] = []
    for (const [index, outcome] of starts.entries()) {
      if (outcome.status === "fulfilled") continue
      failures.push(outcome.reason)
      const name = database === "*" ? (databases[index] ?? database) : database
      await publishEvent(eventBus, { type: "Backup Failed", database: name, ...reasonOf(outcome.reason) })
    }
    if (failures.length > 0) throw new AggregateError(failures)
    return starts.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []))
  },
)
