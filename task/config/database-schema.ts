import * as z from "zod"
import { chooseDatabases } from "../core/choose-databases.ts"
import { retentionPolicySchema } from "../core/retention.ts"
import { splitPatterns } from "../core/table-patterns.ts"
import type { Connection } from "./connection-schema.ts"
import { drillSchema } from "./drill-schema.ts"
import { machineShape } from "./machine-shape.ts"
import { isDaily, problemOfSchedule } from "./schedule-expression.ts"
import { scheduleExpression, wholeNumber } from "./setting-values.ts"
import { sizeSchema } from "./size-schema.ts"
import { stagingSchema } from "./staging-schema.ts"

/** What pg_dump takes, joined by spaces in a variable of the task. */
const patterns = z
  .array(
    z
      .string()
      .refine(
        (pattern) => splitPatterns(pattern).length === 1,
        "must be patterns as pg_dump takes them, names with spaces in double quotes",
      ),
  )
  .default([])

/** What a database's backups are like wherever they are made. */
export const sharedDatabaseShape = {
  name: z
    .string("must be the name that the catalog keeps the backups under")
    .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$/, "must be up to 40 letters, digits, _ and -, the first no sign")
    .describe(
      "The name that the catalog keeps the backups under. In the stack it also names folders, task definitions and schedules.",
    ),
  all: z
    .boolean()
    .default(false)
    .describe(
      "Every database of the server, each kept under its own name, in place of the connection's database alone. One entry at most.",
    ),
  exclude: z
    .array(z.string().regex(/^\S+$/, "must be names or patterns without spaces"))
    .default([])
    .describe("With all: databases to leave out, * for anything."),
  tables: patterns.describe("Only these tables, views and sequences, by patterns as pg_dump has them."),
  schemas: patterns.describe("Only these schemas."),
  excludeTables: patterns.describe("But not these tables."),
  excludeSchemas: patterns.describe("But not these schemas."),
  excludeTableData: patterns.describe("Of these tables the definitions, and no rows."),
  schedule: scheduleExpression
    .default("cron(0 3 * * ? *)")
    .describe("When to back up: EventBridge's cron or rate. By default every night at 3."),
  timeZone: z
    .string()
    .refine(isTimeZone, "must be the name of a time zone, of IANA's list")
    .default("UTC")
    .describe("The time zone of the schedule, by its IANA name."),
  maxAgeHours: wholeNumber(1, 24 * 400)
    .optional()
    .describe(
      "How old the newest backup may be before an alarm is raised, and before `pgstow status` fails. 26 where the schedule is daily.",
    ),
  retention: retentionPolicySchema
    .optional()
    .describe("What cleanup keeps of this database, in place of what it keeps of all."),
}

/** What only the stack on AWS knows of a database. */
export const stackDatabaseShape = {
  size: sizeSchema
    .default({ cpu: 1024, memoryMiB: 2048 })
    .describe("What a backup task on AWS Fargate is given."),
  drill: drillSchema.describe(
    "Tests the newest backup by a restore into a server that is thrown away, weekly by default; false for never.",
  ),
  staging: stagingSchema
    .optional()
    .describe(
      "A copy in another server, which the newest backup replaces by a schedule, masked by SQL of yours.",
    ),
}

/** What a database's backups are like in the stack, whoever says it: the settings, or another CDK app. */
export const databaseOptionsShape = {
  ...sharedDatabaseShape,
  size: stackDatabaseShape.size,
  drill: stackDatabaseShape.drill,
}

export const databaseOptionsSchema = z
  .object(databaseOptionsShape)
  .superRefine(needsMaxAge)
  .superRefine(refusesSchemasBesideTables)
  .transform((options) => ({ ...options, maxAgeHours: options.maxAgeHours ?? 26 }))

export type DatabaseOptions = z.output<typeof databaseOptionsSchema>

/** The options of databases, each with another name: what another app says of them, or the settings. */
export const databasesSchema = z.array(databaseOptionsSchema).superRefine(needsOwnNames)

/** The databases of a file of settings, connected to by what `connection` takes. */
export function databasesOf<Reached extends Connection>(connection: z.ZodType<Reached>) {
  const database = z
    .strictObject({
      ...sharedDatabaseShape,
      connection: connection.describe("How to reach the database. No password is ever written here."),
      restoreConnection: connection
        .optional()
        .describe("Who restores, and where to. By default the connection that backs up."),
      ...stackDatabaseShape,
      ...machineShape,
    })
    .superRefine(needsMaxAge)
    .superRefine(refusesSchemasBesideTables)
    .superRefine(refusesStagingOfAll)
  return z.array(database).superRefine(needsOwnNames)
}

/** pg_dump would pass over them, and so every backup is refused. */
function refusesSchemasBesideTables(
  options: Readonly<Record<"tables" | "schemas" | "excludeSchemas", readonly string[]>>,
  context: z.RefinementCtx,
): void {
  if (options.tables.length === 0) return
  for (const name of ["schemas", "excludeSchemas"] as const)
    if (options[name].length > 0)
      context.addIssue({
        code: "custom",
        path: [name],
        message: 'has no effect beside "tables": put the schema into the table\'s pattern, as "app.*"',
      })
}

function refusesStagingOfAll(
  { all, staging }: { readonly all: boolean; readonly staging?: object | undefined },
  context: z.RefinementCtx,
): void {
  if (all && staging !== undefined)
    context.addIssue({
      code: "custom",
      path: ["staging"],
      message: 'is for one database: give that an entry of its own, and name it under "exclude" here',
    })
}

function needsMaxAge(
  { schedule, maxAgeHours }: { schedule: string; maxAgeHours?: number | undefined },
  context: z.RefinementCtx,
): void {
  if (maxAgeHours !== undefined || problemOfSchedule(schedule) !== undefined || isDaily(schedule)) return
  context.addIssue({
    code: "custom",
    path: ["maxAgeHours"],
    message: "is needed where the schedule does not run every day: after how many hours is a backup overdue?",
  })
}

type Entry = {
  readonly name: string
  readonly all: boolean
  readonly exclude: readonly string[]
  /** Undefined where another app says what to connect to. */
  readonly connection?: Connection | undefined
}

/** What is wrong with a server that is backed up as a whole beside an entry for one database, as far as can be told. */
function problemOfBoth(
  { exclude, connection: server }: Entry,
  entry: Entry,
  path: string,
): string | undefined {
  const leftOut = (database: string) => chooseDatabases([database], { include: [], exclude }).length === 0
  const { name, connection } = entry
  // Be it the same database or one of another server: who restores by that name would get either.
  if (!leftOut(name))
    return `must name ${JSON.stringify(name)}, which ${path} backs up: both would store it under that name. If the server has another database of that name, rename ${path} instead`
  if (connection === undefined || !("host" in connection) || server === undefined || !("host" in server))
    return undefined
  const { host, port = 5432, database } = connection
  const sameServer = host !== undefined && host === server.host && port === (server.port ?? 5432)
  if (!sameServer || database === undefined || leftOut(database)) return undefined
  return `must name ${JSON.stringify(database)}, the database of ${path}, or it is backed up twice`
}

/** Letters and digits alone tell names apart, since CloudFormation's outputs have no others, and people no patience. */
function needsOwnNames(databases: readonly Entry[], context: z.RefinementCtx): void {
  const ofServers = [...databases.entries()].filter(([, { all }]) => all)
  for (const [index] of ofServers.slice(1))
    context.addIssue({
      code: "custom",
      path: [index, "all"],
      message: `is true for databases[${ofServers[0]?.[0]}] already: databases of two servers could have one name`,
    })
  for (const [index, { all, exclude }] of databases.entries())
    if (!all && exclude.length > 0)
      context.addIssue({
        code: "custom",
        path: [index, "exclude"],
        message: 'is of no use without "all": true',
      })
  for (const [index, server] of ofServers.slice(0, 1))
    for (const [other, entry] of databases.entries()) {
      const message = entry.all ? undefined : problemOfBoth(server, entry, `databases[${other}]`)
      if (message !== undefined) context.addIssue({ code: "custom", path: [index, "exclude"], message })
    }
  const first = new Map<string, number>()
  for (const [index, { name }] of databases.entries()) {
    const key = name.toLowerCase().replaceAll(/[^a-z0-9]/g, "")
    const earlier = first.get(key)
    first.set(key, earlier ?? index)
    if (earlier === undefined) continue
    const other = databases[earlier]?.name ?? ""
    const same = other === name ? "" : `, ${JSON.stringify(other)}, but for signs and capitals`
    context.addIssue({
      code: "custom",
      path: [index, "name"],
      message: `is ${JSON.stringify(name)}, as databases[${earlier}].name${same}: each database needs its own`,
    })
  }
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name })
    return true
  } catch {
    return false
  }
}
