import * as z from "zod"
import { expectationsSchema } from "../core/expectation.ts"
import { problemOfSchedule, rhythmHours } from "./schedule-expression.ts"
import { scheduleExpression, wholeNumber } from "./setting-values.ts"
import { sizeSchema } from "./size-schema.ts"
import { pathText, wordsOf } from "./wrong-settings.ts"

/** A task definition holds 64 KB in all. */
const longestText = 24 * 1024

const schema = z
  .strictObject({
    schedule: scheduleExpression
      .default("cron(0 6 ? * SUN *)")
      .describe("When: EventBridge's cron or rate, in the database's time zone. By default on Sundays at 6."),
    maxAgeHours: wholeNumber(1, 24 * 800)
      .optional()
      .describe(
        "How old the last good drill may be before an alarm is raised. By default twice the time between two.",
      ),
    size: sizeSchema.optional().describe("What the task is given. By default the database's size."),
    storageGiB: wholeNumber(20, 200)
      .default(20)
      .describe("Its disk, which holds the restored database: 20, which cost nothing, to 200."),
    skipExtensions: z
      .array(z.string().regex(/^\S+$/, "must be names of extensions"))
      .default([])
      .describe("Without these extensions and what needs them."),
    expectations: expectationsSchema
      .refine(
        (all) => JSON.stringify(all).length <= longestText,
        `must be at most ${longestText} characters long in all`,
      )
      .default([])
      .describe("Queries to ask in the restored database, and what each must give."),
  })
  .superRefine(({ schedule, maxAgeHours }, context) => {
    if (maxAgeHours !== undefined || problemOfSchedule(schedule) !== undefined) return
    if (rhythmHours(schedule) !== undefined) return
    context.addIssue({
      code: "custom",
      path: ["maxAgeHours"],
      message:
        "is needed where the schedule is neither hourly, daily, weekly nor monthly: after how many hours is a drill overdue?",
    })
  })
  .transform((drill) => ({
    ...drill,
    maxAgeHours: drill.maxAgeHours ?? 2 * (rhythmHours(drill.schedule) ?? 0),
  }))

/** The restores by which the newest backup of a database is tested, or false for none. */
export const drillSchema = z.union([z.literal(false), schema], { error: problemOfObject }).prefault({})

/** Of a setting that is an object or false: what is wrong with the object. */
function problemOfObject({ code, ...issue }: { code?: string }): string | undefined {
  if (code !== "invalid_union") return undefined
  // Of an "invalid_union", `errors` holds the issues of each option.
  const { errors = [] } = issue as { errors?: z.core.$ZodIssue[][] }
  const [first] = errors.at(-1) ?? []
  if (first === undefined || (first.path.length === 0 && first.code === "invalid_type"))
    return "must be an object, or false"
  const words =
    first.code === "unrecognized_keys"
      ? `knows no ${first.keys.map((key) => JSON.stringify(key)).join(", ")}: a typo?`
      : wordsOf(first)
  return [pathText(first.path), words].join(" ").trim()
}
