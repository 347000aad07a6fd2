import * as z from "zod"
import { stackConnectionSchema } from "./connection-schema.ts"
import { path, scheduleExpression } from "./setting-values.ts"
import { sizeSchema } from "./size-schema.ts"

/** What a copy of a database for others to work with is like, whoever says it: the settings, or another CDK app. */
export const stagingOptionsSchema = z.strictObject({
  into: z
    .string()
    .min(1)
    .refine((name) => Buffer.byteLength(name) <= 63, "must be at most 63 bytes long, as PostgreSQL's names")
    .describe("The database there, which each refresh replaces. Only one that a refresh made is dropped."),
  schedule: scheduleExpression
    .default("cron(0 8 ? * SUN *)")
    .describe("When: EventBridge's cron or rate, in the database's time zone. By default on Sundays at 8."),
  size: sizeSchema.optional().describe("What the task is given. By default the database's size."),
  options: z
    .array(z.string().min(1))
    .default([])
    .describe("More options of `pgstow restore`, each a word: --no-owner, --no-acl, --create-roles."),
})

export const stagingSchema = stagingOptionsSchema.extend({
  connection: stackConnectionSchema.describe(
    "The server to restore into, and a user that may create databases.",
  ),
  runFile: path
    .optional()
    .describe(
      "A file of SQL, read when the stack is deployed, that runs in the copy before it gets its name.",
    ),
})
