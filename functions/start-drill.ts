import { ECSClient } from "@aws-sdk/client-ecs"
import * as z from "zod"
import { listBackups, listDatabases, newestVerified } from "../task/catalog/catalog.ts"
import { PgstowError } from "../task/errors.ts"
import { publishEvent, reasonOf } from "../task/notify/events.ts"
import { openStorage } from "../task/storage/open-storage.ts"
import { lambdaHandler, type Services } from "./handler.ts"
import { runningTask, runTask, taskPlaceSchema } from "./run-task.ts"

export const startDrillSettings = z.object({
  databases: z.array(z.string()),
  /** What the server is called whose databases are all that the storage has beside these. */
  server: z.string().optional(),
  /** What the family of each drill's task definition begins with; the name of a database, or the server, follows. */
  familyPrefix: z.string(),
  place: taskPlaceSchema,
  storage: z.string(),
  eventBus: z.string(),
})

const startDrillEvent = z.object({
  /** A database, or the server. */
  database: z.string().min(1),
  /** Requests of the same token start one task. */
  token: z.string().max(200).optional(),
})

const ecs = new ECSClient()

/**
 * Starts the drill of a database. Where the one before still runs, it is left alone: nobody needs to hear of that, since
 * it ends, or is stopped, and people are told. Of a server, the database whose last drill was longest ago.
 */
export const handler = lambdaHandler(startDrillEvent, startDrillSettings, async (event, services) => {
  const { settings, signal, log } = services
  const { eventBus, familyPrefix, place, server } = settings
  try {
    const family = familyPrefix + event.database
    const running = await runningTask(ecs, place, family)
    if (running !== undefined) {
      log.info("a drill is under way already", { database: event.database, running })
      return { running }
    }
    const command =
      event.database === server
        ? ["drill", "latest", "--database", await drilledLongestAgo(services)]
        : undefined
    return { started: await runTask(ecs, place, { family, command, token: event.token }, signal) }
  } catch (cause) {
    await publishEvent(eventBus, { type: "Drill Failed", database: event.database, ...reasonOf(cause) })
    throw cause
  }
})

/** Which of the server's databases that have a verified backup was drilled longest ago, however that went. */
async function drilledLongestAgo({
  settings,
  env,
  signal,
}: Services<z.output<typeof startDrillSettings>>): Promise<string> {
  const storage = openStorage(settings.storage, { env, signal })
  try {
    const now = new Date()
    const last: { readonly database: string; readonly at: number }[] = []
    for (const database of await listDatabases(storage)) {
      if (settings.databases.includes(database)) continue
      const backups = await listBackups(storage, database)
      if (newestVerified(backups, now) === undefined) continue
      const drills = backups.flatMap(({ findings }) =>
        findings.filter(({ kind }) => kind.startsWith("drill")),
      )
      last.push({ database, at: Math.max(0, ...drills.map(({ at }) => at.getTime())) })
    }
    const longestAgo = Math.min(...last.map(({ at }) => at))
    // By chance among equals: findings go with their backups, and the first by name would be drilled each time.
    const equals = last.filter(({ at }) => at === longestAgo)
    const next = equals[Math.floor(Math.random() * equals.length)]
    if (next !== undefined) return next.database
    throw new PgstowError("notFound", `there is no verified backup of any database of ${settings.server}`, {
      hint: "Back it up, and see that it is verified.",
    })
  } finally {
    storage.close()
  }
}
