import * as z from "zod"
import { chooseDatabases } from "../task/core/choose-databases.ts"
import { retentionPolicySchema } from "../task/core/retention.ts"
import { splitPatterns } from "../task/core/table-patterns.ts"
import { PgstowError } from "../task/errors.ts"
import { mixtureOf } from "./recipient-kinds.ts"
import { isDaily, problemOfSchedule } from "./schedule-expression.ts"
import { problemOfSize } from "./task-size.ts"

/** What each setting looks like, for messages. `[]` stands for any place in a list. */
const examples: Readonly<Record<string, string>> = {
  databases: '[{ "name": "orders", "connection": { "urlSecret": "pgstow/orders" } }]',
  "databases[].name": '"orders"',
  "databases[].connection": '{ "urlSecret": "pgstow/orders" }',
  "databases[].restoreConnection": '{ "urlSecret": "pgstow/orders-admin" }',
  "databases[].all": "true",
  "databases[].exclude": '["rdsadmin", "test_*"]',
  "databases[].tables": '["public.*"]',
  "databases[].schemas": '["app"]',
  "databases[].excludeTables": '["tmp_*"]',
  "databases[].excludeSchemas": '["scratch"]',
  "databases[].excludeTableData": '["audit.*", "public.sessions"]',
  "databases[].schedule": '"cron(0 3 * * ? *)"',
  "databases[].timeZone": '"Europe/Berlin"',
  "databases[].maxAgeHours": "26",
  "databases[].size": '{ "cpu": 1024, "memoryMiB": 2048 }',
  "databases[].retention": '{ "keepDaily": 7, "keepWeekly": 5, "keepMonthly": 12 }',
  retention: '{ "keepDaily": 7, "keepWeekly": 5, "keepMonthly": 12 }',
  recipients: '["age1…"]',
  network: '{ "vpcId": "vpc-0a1b2c3d", "subnetIds": ["subnet-0a1b2c3d", "subnet-4e5f6a7b"] }',
  "network.routeTableIds": '["rtb-0a1b2c3d"]',
  "network.letInto": '[{ "securityGroupId": "sg-0a1b2c3d", "port": 5432 }]',
  "network.subnetIds": '["subnet-0a1b2c3d", "subnet-4e5f6a7b"]',
  bucket: '{ "coldAfterDays": 30 }',
  "bucket.objectLock": '{ "mode": "GOVERNANCE", "days": 14 }',
  "bucket.copyTo":
    '{ "bucketArn": "arn:aws:s3:::my-second-bucket", "kmsKeyArn": "arn:aws:kms:eu-west-1:111122223333:key/0a1b2c3d-…" }',
  "bucket.existing":
    '{ "name": "pgstow-backupstoragebucket-1a2b3c", "kmsKeyArn": "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-…" }',
  identity: '{ "secret": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:backup-key-AbCdEf" }',
  notifications: '{ "emails": ["ops@example.com"], "webhooks": [{ "secret": "pgstow/slack" }] }',
  "notifications.emails": '["ops@example.com"]',
  "notifications.webhooks": '[{ "secret": "pgstow/slack", "level": "error" }]',
  tags: '{ "team": "shop" }',
  maxRunHours: "24",
  architecture: '"arm64"',
  logRetentionDays: "90",
}

const secret = z
  .string("must be the name or ARN of a secret in Secrets Manager")
  .regex(
    /^(arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[\w/+=.@!-]+|[\w/+=.@!-]+)$/,
    "must be the name or ARN of a secret in Secrets Manager, never the secret itself",
  )
  .superRefine((text, context) => {
    const endsLikeAnArn = /-[A-Za-z0-9]{6}$/.test(text)
    if (text.startsWith("arn:") === endsLikeAnArn) return
    context.addIssue({
      code: "custom",
      message: endsLikeAnArn
        ? "ends with a hyphen and six characters, which Secrets Manager takes for the end of an ARN: write the secret's complete ARN"
        : "is an ARN without its end, a hyphen and six characters: write the complete one, as `aws secretsmanager describe-secret` shows it",
    })
  })
const wholeNumber = (lowest: number, highest: number) => {
  const error = `must be a whole number from ${lowest} to ${highest}`
  return z.int({ error }).min(lowest, { error }).max(highest, { error })
}
const port = wholeNumber(1, 65_535)
const host = z.string().regex(/^[A-Za-z0-9.:_-]+$/, "must be a host name or an address")
const word = z.string().min(1)
const arnOf = (service: string) =>
  z
    .string()
    .regex(new RegExp(`^arn:aws[a-z-]*:${service}:`), `must be an ARN that begins with arn:aws:${service}:`)
/** The KMS key that a secret is encrypted with, where it is not Secrets Manager's own. */
const secretKey = arnOf("kms").optional()

/** The authority of a server: a secret with its certificate, and the key that this one is encrypted with. */
const authority = { caSecret: secret.optional(), caKmsKeyArn: secretKey }

/**
 * Where the credentials of a database come from, and, where they do not say, the database. `caSecret` holds the
 * certificate of the authority that signed the server's, in PEM, where that is not a public one or RDS's.
 */
const connectionSchema = z
  .union(
    [
      /** A secret that is a URL: postgresql://user:password@host:5432/database */
      z.strictObject({ urlSecret: secret, kmsKeyArn: secretKey, ...authority }),
      /** A secret as RDS writes it: JSON with username and password. What is not given here comes from it too. */
      z.strictObject({
        rdsSecret: secret,
        kmsKeyArn: secretKey,
        ...authority,
        host: host.optional(),
        port: port.optional(),
        database: word.optional(),
      }),
      /** RDS IAM authentication: no password anywhere. `resourceId` is the instance's or cluster's, "db-ABC…". */
      z.strictObject({
        iamUser: word,
        resourceId: z
          .string()
          .regex(/^(db|cluster|prx)-[A-Za-z0-9]+$/, 'must be like "db-ABCDEF" or "cluster-ABCDEF"'),
        host,
        port: port.default(5432),
        database: word,
        ...authority,
      }),
    ],
    'must be { "urlSecret": … }, { "rdsSecret": … } or { "iamUser": …, "resourceId": …, "host": …, "database": … }',
  )
  .superRefine(({ caSecret, caKmsKeyArn }, context) => {
    if (caKmsKeyArn === undefined || caSecret !== undefined) return
    context.addIssue({ code: "custom", path: ["caKmsKeyArn"], message: "is of no use without caSecret" })
  })

const sizeSchema = z.strictObject({ cpu: z.int(), memoryMiB: z.int() }).superRefine((size, context) => {
  const message = problemOfSize(size)
  if (message !== undefined) context.addIssue({ code: "custom", message })
})

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

/** What a database's backups are like, whoever says it: the settings, or another CDK app. */
export const databaseOptionsShape = {
  /** The name that the catalog keeps the backups under. Names folders, task definitions and schedules. */
  name: z
    .string("must be the name that the catalog keeps the backups under")
    .regex(
      /^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$/,
      "must be up to 40 letters, digits, _ and -, the first no sign",
    ),
  /**
   * Every database of the server, each kept under its own name. One entry at most, which `name` names: its tasks, its
   * schedule and its alarm, which looks at the newest backup of any of them. @default the connection's database alone
   */
  all: z.boolean().default(false),
  /** With `all`: databases to leave out, * for anything. @default none */
  exclude: z.array(z.string().regex(/^\S+$/, "must be names or patterns without spaces")).default([]),
  /** Only these tables, views and sequences, by patterns as pg_dump has them. @default all */
  tables: patterns,
  /** Only these schemas. @default all */
  schemas: patterns,
  /** But not these tables. @default none */
  excludeTables: patterns,
  /** But not these schemas. @default none */
  excludeSchemas: patterns,
  /** Of these tables the definitions, and no rows. @default none */
  excludeTableData: patterns,
  /** When to back up: EventBridge's cron or rate. @default every night at 3 */
  schedule: z
    .string()
    .superRefine((expression, context) => {
      const message = problemOfSchedule(expression)
      if (message !== undefined) context.addIssue({ code: "custom", message })
    })
    .default("cron(0 3 * * ? *)"),
  /** The time zone of `schedule`, by its IANA name. @default UTC */
  timeZone: z.string().refine(isTimeZone, "must be the name of a time zone, of IANA's list").default("UTC"),
  /** How old the newest backup may be before an alarm is raised. @default 26, where the schedule is daily */
  maxAgeHours: wholeNumber(1, 24 * 400).optional(),
  /** What a backup task is given. @default 1 vCPU and 2 GiB */
  size: sizeSchema.default({ cpu: 1024, memoryMiB: 2048 }),
  /** What cleanup keeps. @default the retention of all databases */
  retention: retentionPolicySchema.optional(),
}

export const databaseOptionsSchema = z
  .object(databaseOptionsShape)
  .superRefine(needsMaxAge)
  .superRefine(refusesSchemasBesideTables)
  .transform((options) => ({ ...options, maxAgeHours: options.maxAgeHours ?? 26 }))

export type DatabaseOptions = z.output<typeof databaseOptionsSchema>

const databaseSchema = z
  .strictObject({
    ...databaseOptionsShape,
    connection: connectionSchema,
    /** Who restores, and where to. @default the connection that backs up */
    restoreConnection: connectionSchema.optional(),
  })
  .superRefine(needsMaxAge)
  .superRefine(refusesSchemasBesideTables)

/** The options of databases, each with another name: what another app says of them, or these settings. */
export const databasesSchema = z.array(databaseOptionsSchema).superRefine(needsOwnNames)

/** Everything, or failures and warnings only. */
const level = z.enum(["all", "error"], "must be all or error")
/** An id of EC2's: eight or seventeen digits behind what it is the id of. */
const idOf = (kind: string) =>
  z.string().regex(new RegExp(`^${kind}-([0-9a-f]{8}|[0-9a-f]{17})$`), `must be like "${kind}-0a1b2c3d"`)

/** What a bucket is made with, and an existing one keeps as it is. */
const madeWith = ["coldAfterDays", "undeleteDays", "objectLock", "copyTo"] as const

const bucketOptionsShape = {
  /**
   * A bucket that is there already, such as one that an earlier stack left behind, and the KMS key that encrypts it.
   * Versioned, and with its events sent to EventBridge. Nothing about it is changed. @default a new one
   */
  existing: z
    .strictObject({
      name: z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, "must be the name of a bucket"),
      kmsKeyArn: arnOf("kms"),
    })
    .optional(),
  /** Days after which objects move to Glacier Instant Retrieval: a sixth of the price, read at once. @default never */
  coldAfterDays: wholeNumber(1, 3650).optional(),
  /** Days that what cleanup removed can still be brought back. @default 14 */
  undeleteDays: wholeNumber(1, 3650).optional(),
  /**
   * Keeps every object from being removed for some days: by anyone but a privileged user (GOVERNANCE), or by
   * anyone at all, the account's owner included (COMPLIANCE). @default no lock
   */
  objectLock: z
    .strictObject({ mode: z.enum(["GOVERNANCE", "COMPLIANCE"]), days: wholeNumber(1, 36_500) })
    .optional(),
  /**
   * A bucket in another region or account to which S3 copies every object: versioned, with Object Lock enabled, and
   * open to the copying role, as infra/copy-bucket.json makes it. @default none
   */
  copyTo: z
    .strictObject({
      bucketArn: arnOf("s3"),
      /** The key that the copies are encrypted with, in the second bucket's region. S3 copies nothing without one. */
      kmsKeyArn: arnOf("kms"),
      /** The account that owns the second bucket, where it is another. */
      account: z
        .string()
        .regex(/^\d{12}$/, "must be twelve digits")
        .optional(),
    })
    .optional(),
}

export const bucketOptionsSchema = z.strictObject(bucketOptionsShape).superRefine((options, context) => {
  if (options.existing === undefined) return
  for (const name of madeWith)
    if (options[name] !== undefined)
      context.addIssue({
        code: "custom",
        path: [name],
        message:
          name === "copyTo"
            ? 'can\'t be set up for an existing bucket, about which nothing is changed: infra/README.md says under "A second bucket" how to do it yourself'
            : "is of no use beside bucket.existing: an existing bucket keeps its own settings",
      })
})

/**
 * Where the private key of the backups is: in an existing secret, in a new one with "hybrid", which is then of the
 * post-quantum kind, or, with "none", nowhere in AWS. `kmsKeyArn` is the key that the secret is encrypted with, where it is one of your own.
 */
export const identitySchema = z.union(
  [z.literal("none"), z.literal("hybrid"), z.strictObject({ secret, kmsKeyArn: secretKey })],
  'must be { "secret": … }, "hybrid" for a new post-quantum key, or "none" where only `recipients` hold private keys',
)

export const retentionDefault = { keepDaily: 7, keepWeekly: 5, keepMonthly: 12 }

export const settingsSchema = z
  .strictObject({
    /** The stack's name, and the beginning of what it names. @default Pgstow */
    stackName: z
      .string()
      .regex(/^[A-Za-z][A-Za-z0-9-]{0,27}$/, "must be up to 28 letters, digits and -, the first a letter")
      .default("Pgstow"),
    databases: z.array(databaseSchema).superRefine(needsOwnNames).default([]),
    /** What cleanup keeps of every database that does not say. @default 7 daily, 5 weekly, 12 monthly */
    retention: retentionPolicySchema.default(retentionDefault),
    /** More public keys to seal every backup for, beside the one that the first deploy makes. @default none */
    recipients: z
      .array(
        z
          .string()
          .regex(
            /^age1(pq1)?[02-9ac-hj-np-z]+$/,
            "must be an age recipient, a public key that begins with age1 or age1pq1",
          ),
      )
      .default([]),
    /** @default the first deployment makes a classic key, in a secret of its own */
    identity: identitySchema.optional(),
    /** Raise it after you have put another key into the secret: the next deployment seals for that one. @default 1 */
    keyVersion: wholeNumber(1, 1_000_000).default(1),
    /** Where the tasks run. @default a small network of their own with public addresses and no NAT gateway */
    network: z
      .strictObject({
        vpcId: idOf("vpc"),
        subnetIds: z.array(idOf("subnet")).min(1, "must name at least one subnet"),
        /** @default a new one, which may reach everything and is reached by nothing */
        securityGroupIds: z.array(idOf("sg")).min(1, "must name at least one security group").optional(),
        /** Whether tasks get public addresses: needed in public subnets. @default false */
        publicIp: z.boolean().default(false),
        /**
         * Whether to make the endpoints that tasks need in private subnets without a NAT gateway; the one to S3 is made
         * in `routeTableIds`. @default false
         */
        endpoints: z.boolean().default(false),
        /** Security groups of databases to which a rule is added that lets the tasks in. @default none */
        letInto: z
          .array(z.strictObject({ securityGroupId: idOf("sg"), port: port.default(5432) }))
          .default([]),
        /** Route tables to give a gateway endpoint to S3, so that backups go past any NAT gateway. @default none */
        routeTableIds: z.array(idOf("rtb")).default([]),
      })
      .superRefine(({ endpoints, routeTableIds }, context) => {
        if (!endpoints || routeTableIds.length > 0) return
        context.addIssue({
          code: "custom",
          path: ["routeTableIds"],
          message:
            "must name the subnets' route tables where endpoints are made: S3 is reached by one in them",
        })
      })
      .optional(),
    bucket: bucketOptionsSchema.prefault({}),
    notifications: z
      .strictObject({
        emails: z.array(z.email("must be an e-mail address")).default([]),
        /** Whether e-mail gets everything, or failures and warnings only. @default error */
        emailLevel: level.default("error"),
        webhooks: z
          .array(
            z.strictObject({
              /** The secret that is the webhook's URL. */
              secret,
              kmsKeyArn: secretKey,
              /** Whether it gets everything, or failures and warnings only. @default error */
              level: level.default("error"),
              /** What the other side understands. @default told by the URL's host, any other gets plain JSON */
              format: z.enum(["slack", "discord", "teams", "healthcheck", "webhook"]).optional(),
            }),
          )
          .default([]),
      })
      .prefault({}),
    /**
     * Within how many minutes after its time a backup may start: a new account may run few tasks at once.
     * @default 0, and 30 from five databases on
     */
    spreadMinutes: wholeNumber(0, 1440).optional(),
    /** After how many hours a backup, or a verification by a task, is taken for hung and stopped. @default 24 */
    maxRunHours: wholeNumber(1, 24 * 14).default(24),
    /** Tags of everything that has tags, running tasks too. @default none */
    tags: z.record(z.string().min(1).max(128), z.string().max(256)).default({}),
    /** Start tasks on Fargate Spot, and on demand where Spot has no room. @default false */
    spot: z.boolean().default(false),
    /** The processors that tasks and functions run on. @default arm64, which costs a fifth less */
    architecture: z.enum(["arm64", "x86_64"]).default("arm64"),
    /** An image that is there already, instead of one built from this checkout. @default built and pushed by cdk */
    image: word.optional(),
    /** @default 90 */
    logRetentionDays: z
      .union(
        [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653].map((days) =>
          z.literal(days),
        ),
        "must be a number of days that CloudWatch Logs has: 30, 60, 90, 180, 365, …",
      )
      .default(90),
  })
  .superRefine(({ identity, recipients }, context) => {
    const mixed = mixtureOf(identity, recipients)
    if (mixed !== undefined) context.addIssue({ code: "custom", path: ["recipients"], message: mixed })
    if (identity !== "none" || recipients.length > 0) return
    context.addIssue({
      code: "custom",
      path: ["recipients"],
      message: 'must name a public key where "identity" is "none": nobody could open the backups',
    })
  })

export type Settings = z.output<typeof settingsSchema>
export type Connection = z.output<typeof connectionSchema>

/**
 * Checks settings as they were written. Throws a usage error that names every wrong one by its path, says what is
 * wrong with it, and shows how it is written.
 */
export function parseSettings(json: unknown, source: string): Settings {
  const parsed = settingsSchema.safeParse(json)
  if (parsed.success) return parsed.data
  throw wrongSettings(parsed.error, source)
}

/** The error of `parseSettings`, for whoever parses a part of the settings. `root` is the path of that part. */
export function wrongSettings(
  error: z.ZodError,
  source: string,
  root: readonly PropertyKey[] = [],
): PgstowError {
  const lines = error.issues.map((issue) => describeIssue(issue, root))
  return new PgstowError("usage", [`${source} can't be used:`, ...lines].join("\n  "))
}

function describeIssue(issue: z.core.$ZodIssue, root: readonly PropertyKey[]): string {
  const path = [...root, ...issue.path]
  const where = pathText(path) || "the settings"
  const example = exampleOf(path)
  return `${where}: ${wordsOf(issue)}${example === undefined ? "" : `\n    for example ${example}`}`
}

function wordsOf(issue: z.core.$ZodIssue): string {
  if (issue.code === "unrecognized_keys")
    return `knows no ${issue.keys.map((key) => JSON.stringify(key)).join(", ")}: a typo?`
  if (issue.code === "invalid_type" && issue.input === undefined && /received undefined/.test(issue.message))
    return "is missing"
  if (issue.code === "too_small" && issue.inclusive === false) return `must be more than ${issue.minimum}`
  return issue.message.replace(/^Invalid input: expected (\w+), received (\w+)$/, "must be $1, and is $2")
}

/** databases[0].name */
function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((step, index) =>
      typeof step === "number" ? `[${step}]` : `${index === 0 ? "" : "."}${String(step)}`,
    )
    .join("")
}

/** The example of the setting at `path`, or of the nearest one around it; the settings as a whole have none. */
function exampleOf(path: readonly PropertyKey[]): string | undefined {
  for (let length = path.length; length > 0; length -= 1) {
    const key = pathText(path.slice(0, length)).replaceAll(/\[\d+\]/g, "[]")
    const at = key.lastIndexOf(".") + 1
    const example = examples[key]
    if (example !== undefined) return `"${key.slice(at)}": ${example}`
  }
  return undefined
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
  readonly connection?: Connection
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
    context.addIssue({
      code: "custom",
      path: [index, "name"],
      message: `is ${JSON.stringify(name)}, as databases[${earlier}].name: each database needs its own`,
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
