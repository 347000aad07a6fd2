import { existsSync, readFileSync } from "node:fs"
import { Logger } from "@aws-lambda-powertools/logger"
import middy from "@middy/core"
import type { Context } from "aws-lambda"
import * as z from "zod"
import { messageOf, PgstowError } from "../task/errors.ts"

/** What every function is handed beside its event. */
export type Services<Settings> = {
  readonly settings: Settings
  readonly log: Logger
  /** Aborted ten seconds before the function's time is up: long enough to say so. */
  readonly signal: AbortSignal
  readonly env: Readonly<Record<string, string | undefined>>
}

const log = new Logger({ serviceName: "pgstow" })
const endBeforeMs = 10_000

/**
 * A Lambda handler. The event, and the settings that the stack gave in PGSTOW_SETTINGS as JSON, are checked before
 * `run` sees them. Whatever is thrown fails the invocation, with all it has to say in its message: that is what
 * the runtime logs, once, and what goes to the dead letters. Lambda does not try again.
 */
export function lambdaHandler<Event extends z.ZodType, Settings extends z.ZodType, Result>(
  eventSchema: Event,
  settingsSchema: Settings,
  run: (event: z.output<Event>, services: Services<z.output<Settings>>) => Promise<Result>,
) {
  return middy<unknown, Result, Error, Context>()
    .onError((request) => {
      // Replaces the error, and leaves the response empty: middy throws what is here.
      request.error = readable(request.error)
    })
    .handler((given, context) => {
      log.addContext(context)
      const event = check(eventSchema, given, "the event")
      const fromStack = asRecord.parse(JSON.parse(process.env.PGSTOW_SETTINGS ?? "{}"))
      const settings = check(settingsSchema, { ...listsOfStack(), ...fromStack }, "PGSTOW_SETTINGS")
      const signal = AbortSignal.timeout(Math.max(0, context.getRemainingTimeInMillis() - endBeforeMs))
      return run(event, { settings, log, signal, env: process.env })
    })
}

const asRecord = z.record(z.string(), z.unknown())

/** Settings that lie beside the bundle, since the 4 KB of an environment hold no list of a hundred databases. */
function listsOfStack(): Record<string, unknown> {
  const file = new URL("settings.json", import.meta.url)
  return existsSync(file) ? asRecord.parse(JSON.parse(readFileSync(file, "utf8"))) : {}
}

function check<Schema extends z.ZodType>(schema: Schema, value: unknown, what: string): z.output<Schema> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  throw new PgstowError("usage", `${what} is refused: ${z.prettifyError(parsed.error)}`)
}

/** An error whose message holds its causes and its hint. */
function readable(error: unknown): Error {
  const hint = error instanceof PgstowError ? error.hint : undefined
  const shown = new Error(hint === undefined ? messageOf(error) : `${messageOf(error)}. ${hint}`)
  if (error instanceof Error) shown.name = error.name
  return shown
}
