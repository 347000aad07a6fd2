import * as z from "zod"
import { retentionPolicySchema } from "../core/retention.ts"
import { bucketOptionsSchema } from "./bucket-schema.ts"
import { connectionSchema, stackConnectionSchema } from "./connection-schema.ts"
import { databasesOf } from "./database-schema.ts"
import { level, machineTopShape, recipients, stackWebhooks, webhooks } from "./machine-shape.ts"
import { path, port, secret, secretKey, wholeNumber, word } from "./setting-values.ts"

/** An id of EC2's: eight or seventeen digits behind what it is the id of. */
const idOf = (kind: string) =>
  z.string().regex(new RegExp(`^${kind}-([0-9a-f]{8}|[0-9a-f]{17})$`), `must be like "${kind}-0a1b2c3d"`)

const identityInSecret = z.strictObject({ secret, kmsKeyArn: secretKey })

/**
 * Where the private key of the backups is: in an existing secret, in a new one with "hybrid", which is then of the
 * post-quantum kind, or, with "none", nowhere in AWS.
 */
export const stackIdentitySchema = z.union(
  [z.literal("none"), z.literal("hybrid"), identityInSecret],
  'must be { "secret": … }, "hybrid" for a new post-quantum key, or "none" where only `recipients` hold private keys',
)

const identitySchema = z.union(
  [z.literal("none"), z.literal("hybrid"), z.strictObject({ file: path }), identityInSecret],
  'must be { "file": … }, { "secret": … }, or "none" where the private keys are elsewhere; "hybrid" lets the stack make one',
)

export const retentionDefault = { keepDaily: 7, keepWeekly: 5, keepMonthly: 12 }

/** What only the stack on AWS knows. */
export const stackShape = {
  stackName: z
    .string()
    .regex(/^[A-Za-z][A-Za-z0-9-]{0,27}$/, "must be up to 28 letters, digits and -, the first a letter")
    .default("Pgstow")
    .describe("The stack's name, and the beginning of what it names."),
  keyVersion: wholeNumber(1, 1_000_000)
    .default(1)
    .describe(
      "Raise it after you have put another key into the secret: the next deployment seals for that one.",
    ),
  network: z
    .strictObject({
      vpcId: idOf("vpc"),
      subnetIds: z.array(idOf("subnet")).min(1, "must name at least one subnet"),
      securityGroupIds: z
        .array(idOf("sg"))
        .min(1, "must name at least one security group")
        .optional()
        .describe("By default a new one, which may reach everything and is reached by nothing."),
      publicIp: z
        .boolean()
        .default(false)
        .describe("Whether tasks get public addresses: needed in public subnets."),
      endpoints: z
        .boolean()
        .default(false)
        .describe(
          "Whether to make the endpoints that tasks need in private subnets without a NAT gateway; the one to S3 is made in routeTableIds.",
        ),
      letInto: z
        .array(z.strictObject({ securityGroupId: idOf("sg"), port: port.default(5432) }))
        .default([])
        .describe("Security groups of databases to which a rule is added that lets the tasks in."),
      routeTableIds: z
        .array(idOf("rtb"))
        .default([])
        .describe("Route tables to give a gateway endpoint to S3, so that backups go past any NAT gateway."),
    })
    .superRefine(({ endpoints, routeTableIds }, context) => {
      if (!endpoints || routeTableIds.length > 0) return
      context.addIssue({
        code: "custom",
        path: ["routeTableIds"],
        message: "must name the subnets' route tables where endpoints are made: S3 is reached by one in them",
      })
    })
    .optional()
    .describe(
      "Where the tasks run. By default a small network of their own with public addresses and no NAT gateway.",
    ),
  bucket: bucketOptionsSchema.prefault({}).describe("The bucket that the stack keeps backups in."),
  spreadMinutes: wholeNumber(0, 1440)
    .optional()
    .describe(
      "Within how many minutes after its time a backup may start: a new account may run few tasks at once. 0, and 30 from five databases on.",
    ),
  maxRunHours: wholeNumber(1, 24 * 14)
    .default(24)
    .describe("After how many hours a backup, or a verification by a task, is taken for hung and stopped."),
  tags: z
    .record(z.string().min(1).max(128), z.string().max(256))
    .default({})
    .describe("Tags of everything that has tags, running tasks too."),
  spot: z
    .boolean()
    .default(false)
    .describe("Start tasks on Fargate Spot, and on demand where Spot has no room."),
  architecture: z
    .enum(["arm64", "x86_64"])
    .default("arm64")
    .describe("The processors that tasks and functions run on: arm64 costs a fifth less."),
  image: word
    .optional()
    .describe("An image that is there already, instead of one that cdk builds and pushes."),
  drillImage: word
    .optional()
    .describe("The same with PostgreSQL's servers, for drills: the target drill of the Dockerfile."),
  drillPackages: z
    .array(
      z
        .string()
        .regex(/^[A-Za-z0-9][A-Za-z0-9.+-]*$/, "must be names of packages, with MAJOR for the version"),
    )
    .default([])
    .describe(
      "More packages for the drills' image where cdk builds it: extensions that databases have. MAJOR stands for PostgreSQL's version.",
    ),
  logRetentionDays: z
    .union(
      [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653].map((days) =>
        z.literal(days),
      ),
      "must be a number of days that CloudWatch Logs has: 30, 60, 90, 180, 365, …",
    )
    .default(90)
    .describe("How long CloudWatch keeps logs."),
}

/** What only the stack knows of notifications. */
export const stackNotificationsShape = {
  emails: z
    .array(z.email("must be an e-mail address"))
    .default([])
    .describe("Whom the stack's topic sends e-mail to."),
  emailLevel: level
    .default("error")
    .describe("Whether e-mail gets everything, or failures and warnings only."),
}

const needsKey = (
  { identity, recipients }: { readonly identity?: unknown; readonly recipients: readonly string[] },
  context: z.RefinementCtx,
) => {
  if (identity !== "none" || recipients.length > 0) return
  context.addIssue({
    code: "custom",
    path: ["recipients"],
    message: 'must name a public key where "identity" is "none": nobody could open the backups',
  })
}

const sharedShape = {
  $schema: z.string().optional().describe("The JSON Schema of this file, by which editors help."),
  retention: retentionPolicySchema
    .optional()
    .describe(
      "What cleanup keeps of every database that does not say. In the stack 7 daily, 5 weekly, 12 monthly; on a machine nothing is removed without it.",
    ),
  recipients: recipients
    .default([])
    .describe(
      "Public keys to seal every backup for (`pgstow keygen` prints one). In the stack beside the one that its first deployment makes.",
    ),
}

/** A file of settings as the stack can use it. What is for a machine alone it may hold, too. */
export const stackSettingsSchema = z
  .strictObject({
    ...sharedShape,
    retention: retentionPolicySchema.default(retentionDefault),
    databases: databasesOf(stackConnectionSchema).default([]),
    identity: stackIdentitySchema.optional(),
    notifications: z.strictObject({ ...stackNotificationsShape, webhooks: stackWebhooks }).prefault({}),
    ...stackShape,
    ...machineTopShape,
  })
  .superRefine(needsKey)

/** Any file of settings: what the JSON Schema is made of, and what a machine reads. */
export const settingsSchema = z
  .strictObject({
    ...sharedShape,
    databases: databasesOf(connectionSchema)
      .default([])
      .describe("The databases, each with a name of its own."),
    identity: identitySchema
      .optional()
      .describe(
        "The private key that opens backups: for restores, drills and deep verifications. In the stack its first deployment makes one, of the post-quantum kind where this is hybrid.",
      ),
    notifications: z
      .strictObject({ ...stackNotificationsShape, webhooks })
      .prefault({})
      .describe("Whom to tell how it went."),
    ...stackShape,
    ...machineTopShape,
  })
  .superRefine(needsKey)

export type StackSettings = z.output<typeof stackSettingsSchema>
export type SettingsFile = z.output<typeof settingsSchema>
