import type * as z from "zod"
import { nearest } from "../core/nearest.ts"
import { PgstowError } from "../errors.ts"

/** What each setting looks like in the stack, for messages. `[]` stands for any place in a list. */
const stackExamples: Readonly<Record<string, string>> = {
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
  "databases[].drill": '{ "schedule": "cron(0 6 ? * SUN *)", "storageGiB": 50 }',
  "databases[].staging":
    '{ "connection": { "urlSecret": "pgstow/staging" }, "into": "orders_staging", "runFile": "mask.sql" }',
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
  drillPackages: '["postgresql-MAJOR-pgvector"]',
  logRetentionDays: "90",
}

/** And on a machine, where that is something else. */
const machineExamples: Readonly<Record<string, string>> = {
  ...stackExamples,
  databases: '[{ "name": "orders", "connection": { "urlEnv": "ORDERS_URL" } }]',
  "databases[].connection": '{ "urlEnv": "ORDERS_URL" }',
  "databases[].restoreConnection": '{ "urlEnv": "ORDERS_ADMIN_URL" }',
  "databases[].storages": '["file:///var/backups/pgstow"]',
  "databases[].recipients": '["age1…"]',
  "databases[].identity": '{ "file": "/root/pgstow.key" }',
  "databases[].signingKey": '{ "file": "/root/pgstow-signing.key" }',
  "databases[].signedBy": '["pgstow-signer-…"]',
  "databases[].notifications": '{ "webhooks": [{ "urlEnv": "SLACK_URL" }] }',
  "databases[].jobs": "4",
  "databases[].compressLevel": "3",
  "databases[].cleanup": "true",
  "databases[].exec": '"docker exec -i db"',
  "databases[].tunnel": '"me@bastion.example.com"',
  storages: '["file:///var/backups/pgstow", "s3://my-bucket/pgstow?region=eu-central-1"]',
  identity: '{ "file": "/root/pgstow.key" }',
  signingKey: '{ "file": "/root/pgstow-signing.key" }',
  signedBy: '["pgstow-signer-…"]',
  notifications: '{ "webhooks": [{ "urlEnv": "SLACK_URL", "level": "error" }] }',
  "notifications.webhooks": '[{ "urlEnv": "SLACK_URL", "level": "error" }]',
  jobs: "4",
  compressLevel: "3",
  cleanup: "true",
  exec: '"docker exec -i db"',
  tunnel: '"me@bastion.example.com"',
}

export type WrongSetting = {
  /** "databases[0].name" */
  readonly where: string
  /** "is missing" */
  readonly what: string
  /** How it is written: `"name": "orders"`. */
  readonly example: string | undefined
}

/** What is wrong with each setting. `root` is the path of the part that was parsed. */
export function listWrong(
  error: z.ZodError,
  place: "stack" | "machine",
  root: readonly PropertyKey[] = [],
): WrongSetting[] {
  const examples = place === "stack" ? stackExamples : machineExamples
  return error.issues.map((issue) => {
    const path = [...root, ...issue.path]
    const where = pathText(path) || "the settings"
    if (issue.code !== "unrecognized_keys")
      return { where, what: wordsOf(issue), example: exampleOf(path, examples) }
    const [first = ""] = issue.keys
    const meant = meantBy(first, path, examples)
    const keys = issue.keys.map((key) => JSON.stringify(key)).join(", ")
    return {
      where,
      what: `knows no ${keys}: ${meant === undefined ? "a typo?" : `is ${JSON.stringify(meant)} meant?`}`,
      example: exampleOf(meant === undefined ? path : [...path, meant], examples),
    }
  })
}

/** A usage error that names every wrong setting, a line each. */
export function wrongSettings(
  error: z.ZodError,
  source: string,
  root: readonly PropertyKey[] = [],
): PgstowError {
  const lines = listWrong(error, "stack", root).map(
    ({ where, what, example }) =>
      `${where}: ${what}${example === undefined ? "" : `\n    for example ${example}`}`,
  )
  return new PgstowError("usage", [`${source} can't be used:`, ...lines].join("\n  "))
}

/** "must be number, and is string" */
export function wordsOf(issue: z.core.$ZodIssue): string {
  if (issue.code === "invalid_type" && issue.input === undefined && /received undefined/.test(issue.message))
    return "is missing"
  if (issue.code === "too_small" && issue.inclusive === false) return `must be more than ${issue.minimum}`
  return issue.message.replace(/^Invalid input: expected (\w+), received (\w+)$/, "must be $1, and is $2")
}

type Examples = Readonly<Record<string, string>>

/** The setting at `path` that somebody may have meant who wrote `key`. */
function meantBy(key: string, path: readonly PropertyKey[], examples: Examples): string | undefined {
  const before = keyOf(path)
  const siblings = Object.keys(examples).flatMap((example) => {
    const at = example.lastIndexOf(".")
    return example.slice(0, Math.max(at, 0)) === before ? [example.slice(at + 1)] : []
  })
  return nearest(key, siblings, (sibling) => sibling)[0]
}

/** databases[0].name */
export function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((step, index) =>
      typeof step === "number" ? `[${step}]` : `${index === 0 ? "" : "."}${String(step)}`,
    )
    .join("")
}

/** The example of the setting at `path`, or of the nearest one around it; the settings as a whole have none. */
function exampleOf(path: readonly PropertyKey[], examples: Examples): string | undefined {
  for (let length = path.length; length > 0; length -= 1) {
    const key = keyOf(path.slice(0, length))
    const at = key.lastIndexOf(".") + 1
    const example = examples[key]
    if (example !== undefined) return `"${key.slice(at)}": ${example}`
  }
  return undefined
}

/** As the examples have it: databases[].name */
function keyOf(path: readonly PropertyKey[]): string {
  return pathText(path).replaceAll(/\[\d+\]/g, "[]")
}
