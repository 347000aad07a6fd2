import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from "age-encryption"
import { describe, expect, it } from "vitest"
import { parseSettings } from "../../infra/settings.ts"
import { PgstowError } from "../../task/errors.ts"

const orders = { name: "orders", connection: { urlSecret: "pgstow/orders" } }

const classic = await identityToRecipient(await generateX25519Identity())
const hybrid = await identityToRecipient(await generateHybridIdentity())

const rds = { rdsSecret: "sales" }

/** What is said of settings that can't be used. */
function refusal(settings: unknown): string {
  try {
    parseSettings(settings, "pgstow.config.json")
  } catch (error) {
    if (error instanceof PgstowError && error.kind === "usage") return error.message
    throw error
  }
  throw new Error("the settings were taken")
}

describe("settings", () => {
  it("are complete with a database's name and secret", () => {
    expect(parseSettings({ databases: [orders] }, "x")).toMatchObject({
      stackName: "Pgstow",
      databases: [
        {
          name: "orders",
          schedule: "cron(0 3 * * ? *)",
          timeZone: "UTC",
          size: { cpu: 1024, memoryMiB: 2048 },
        },
      ],
      retention: { keepDaily: 7, keepWeekly: 5, keepMonthly: 12 },
      architecture: "arm64",
      spot: false,
    })
  })

  it("take hybrid public keys, without a key of the stack's own or with one of their kind", () => {
    for (const identity of ["none", "hybrid", { secret: "my-key" }])
      expect(parseSettings({ databases: [orders], recipients: [hybrid], identity }, "x")).toMatchObject({
        recipients: [hybrid],
        identity,
      })
  })

  it.each([
    [{}, { schedule: "cron(0 6 ? * SUN *)", maxAgeHours: 2 * 7 * 24, storageGiB: 20 }],
    [{ schedule: "rate(3 days)" }, { maxAgeHours: 2 * 3 * 24 }],
    [{ schedule: "cron(30 4 * * ? *)" }, { maxAgeHours: 2 * 24 }],
    [{ schedule: "cron(0 6 1 * ? *)" }, { maxAgeHours: 2 * 31 * 24 }],
    [{ schedule: "cron(0 6 ? * MON-FRI *)", maxAgeHours: 100 }, { maxAgeHours: 100 }],
  ])("take drills as %j, and twice their rhythm for overdue", (drill, expected) => {
    const [database] = parseSettings({ databases: [{ ...orders, drill }] }, "x").databases
    expect(database?.drill).toMatchObject(expected)
  })

  it("take every kind of connection", () => {
    const connections = [
      { urlSecret: "arn:aws:secretsmanager:eu-central-1:111122223333:secret:orders-AbCdEf" },
      { rdsSecret: "rds!db-0a1b2c3d", host: "db.example.com", database: "orders" },
      { iamUser: "pgstow", resourceId: "db-ABC123", host: "db.example.com", database: "orders" },
    ]
    for (const connection of connections)
      expect(() => parseSettings({ databases: [{ ...orders, connection }] }, "x")).not.toThrow()
  })

  it("take a server as a whole that leaves out what has an entry of its own, or is of another server", () => {
    const main = { name: "main", all: true, connection: { ...rds, host: "db.example.com" } }
    const sales = (host: string) => ({ name: "sales", connection: { ...rds, host, database: "orders" } })
    for (const databases of [
      [{ ...main, exclude: ["sales", "ord*"] }, sales("db.example.com")],
      [{ ...main, exclude: ["sales"] }, sales("other.example.com")],
    ])
      expect(() => parseSettings({ databases }, "x")).not.toThrow()
  })

  it("say what of them is for other machines", () => {
    const notes: string[] = []
    const settings = {
      $schema: "pgstow.config.schema.json",
      databases: [{ ...orders, jobs: 2, identity: { file: "orders.key" } }],
      storages: ["file:///var/backups/pgstow"],
    }
    parseSettings(settings, "pgstow.config.json", (note) => notes.push(note))
    expect(notes).toEqual([
      "pgstow.config.json: the stack makes no use of storages, databases[0].jobs, databases[0].identity",
    ])
  })

  it.each([
    [
      "a missing secret",
      { databases: [{ name: "orders" }] },
      'databases[0].connection: must be { "urlSecret": … }',
      '"connection": { "urlSecret": "pgstow/orders" }',
    ],
    [
      "a password in place of a secret's name",
      { databases: [{ ...orders, connection: { urlSecret: "postgresql://app:hunter2@db/orders" } }] },
      "databases[0].connection.urlSecret: must be the name or ARN of a secret in Secrets Manager, never the secret itself",
      '"connection": { "urlSecret": "pgstow/orders" }',
    ],
    [
      "a secret's name that Secrets Manager takes for an ARN's end",
      { databases: [{ ...orders, connection: { urlSecret: "orders-backup" } }] },
      "databases[0].connection.urlSecret: ends with a hyphen and six characters",
      '"connection": { "urlSecret": "pgstow/orders" }',
    ],
    [
      "the key of a secret that is not named",
      {
        databases: [
          {
            ...orders,
            connection: { ...orders.connection, caKmsKeyArn: "arn:aws:kms:eu-central-1:1:key/0a" },
          },
        ],
      },
      "databases[0].connection.caKmsKeyArn: is of no use without caSecret",
      '"connection": { "urlSecret": "pgstow/orders" }',
    ],
    [
      "an ARN without its end",
      {
        databases: [
          {
            ...orders,
            connection: {
              urlSecret: "arn:aws:secretsmanager:eu-central-1:111122223333:secret:pgstow/orders",
            },
          },
        ],
      },
      "databases[0].connection.urlSecret: is an ARN without its end",
      '"connection": { "urlSecret": "pgstow/orders" }',
    ],
    [
      "a second bucket without a key",
      { databases: [orders], bucket: { copyTo: { bucketArn: "arn:aws:s3:::second" } } },
      "bucket.copyTo.kmsKeyArn: is missing",
      '"kmsKeyArn": "arn:aws:kms:eu-west-1:111122223333:key/0a1b2c3d-…"',
    ],
    [
      "a staging copy of a whole server",
      {
        databases: [
          { name: "main", all: true, connection: rds, staging: { connection: rds, into: "staging" } },
        ],
      },
      "databases[0].staging: is for one database",
      '"staging": {',
    ],
    [
      "a drill with more disk than Fargate has",
      { databases: [{ ...orders, drill: { storageGiB: 500 } }] },
      "databases[0].drill: storageGiB must be a whole number from 20 to 200",
      '"drill": { "schedule": "cron(0 6 ? * SUN *)", "storageGiB": 50 }',
    ],
    [
      "a drill without a rhythm that could be told",
      { databases: [{ ...orders, drill: { schedule: "cron(0 6 ? JAN MON *)" } }] },
      "databases[0].drill: maxAgeHours is needed where the schedule is neither hourly, daily, weekly nor monthly",
      '"drill": {',
    ],
    [
      "a drill that is true",
      { databases: [{ ...orders, drill: true }] },
      "databases[0].drill: must be an object, or false",
      '"drill": {',
    ],
    [
      "an expectation without a query",
      { databases: [{ ...orders, drill: { expectations: [{ query: "SELECT 1" }] } }] },
      "databases[0].drill: expectations[0]",
      '"drill": {',
    ],
    [
      "a schedule of Unix cron",
      { databases: [{ ...orders, schedule: "0 3 * * *" }] },
      "databases[0].schedule: looks like cron of five fields",
      '"schedule": "cron(0 3 * * ? *)"',
    ],
    [
      "a schedule with both days",
      { databases: [{ ...orders, schedule: "cron(0 3 * * * *)" }] },
      "databases[0].schedule: must have ? for one of day of month and day of week",
      "cron(0 3 * * ? *)",
    ],
    [
      "a schedule at an hour that no day has",
      { databases: [{ ...orders, schedule: "cron(0 24 * * ? *)" }] },
      'databases[0].schedule: has "24" for its hours',
      "cron(0 3 * * ? *)",
    ],
    [
      "a rate in bad English",
      { databases: [{ ...orders, schedule: "rate(1 hours)" }] },
      'databases[0].schedule: must be "hour" after 1',
      "cron(0 3 * * ? *)",
    ],
    [
      "a weekly schedule without a limit for the age",
      { databases: [{ ...orders, schedule: "cron(0 3 ? * SUN *)" }] },
      "databases[0].maxAgeHours: is needed",
      '"maxAgeHours": 26',
    ],
    [
      "a time zone that does not exist",
      { databases: [{ ...orders, timeZone: "Europe/Atlantis" }] },
      "databases[0].timeZone: must be the name of a time zone",
      "Europe/Berlin",
    ],
    [
      "a database's name twice",
      { databases: [orders, { ...orders, name: "Orders" }] },
      'databases[1].name: is "Orders", as databases[0].name',
      '"name": "orders"',
    ],
    [
      "a number of CPU units that Fargate does not have",
      { databases: [{ ...orders, size: { cpu: 1000, memoryMiB: 2048 } }] },
      "databases[0].size: cpu 1000 is none of Fargate's: write one of 512, 1024",
      '"size": { "cpu": 1024, "memoryMiB": 2048 }',
    ],
    [
      "a pair of CPU and memory that Fargate does not have",
      { databases: [{ ...orders, size: { cpu: 4096, memoryMiB: 4096 } }] },
      "databases[0].size: Fargate has no 4096 MiB for cpu 4096: write 8192 to 30720 in steps of 1024",
      '"size": { "cpu": 1024, "memoryMiB": 2048 }',
    ],
    [
      "a retention of zero",
      { databases: [orders], retention: { keepDaily: 0 } },
      "retention.keepDaily: must be a whole number from 1 to 100000",
      '"retention": { "keepDaily": 7, "keepWeekly": 5, "keepMonthly": 12 }',
    ],
    [
      "a retention that keeps nothing",
      { databases: [{ ...orders, retention: {} }] },
      "databases[0].retention: a retention policy must say what to keep",
      '"retention": { "keepDaily": 7, "keepWeekly": 5, "keepMonthly": 12 }',
    ],
    [
      "a setting that does not exist",
      { databases: [{ ...orders, shedule: "cron(0 3 * * ? *)" }] },
      'databases[0]: knows no "shedule"',
      '"schedule": "cron(0 3 * * ? *)"',
    ],
    [
      "a public key with a character too few",
      { databases: [orders], recipients: ["age1l4uuh7r25egc8xq6kcr7fu2jvt8v72afgwsawexykhgg2hasqdjq6nwnw"] },
      "recipients[0]: age1l4uuh7r25egc… is not valid: it has 61 characters in place of 62",
      '"recipients": ["age1…"]',
    ],
    [
      "a password in a connection of a machine's",
      { databases: [{ ...orders, connection: { url: "postgresql://app:hunter2@db/orders" } }] },
      'databases[0].connection: must be { "urlSecret": … }',
      '"connection": { "urlSecret": "pgstow/orders" }',
    ],
    [
      "a private key in place of a public one",
      { databases: [orders], recipients: ["AGE-SECRET-KEY-1ABC"] },
      "recipients[0]: must be an age recipient",
      '"recipients": ["age1…"]',
    ],
    [
      "two servers as a whole",
      {
        databases: [
          { ...orders, all: true },
          { ...orders, name: "shop", all: true },
        ],
      },
      "databases[1].all: is true for databases[0] already",
      '"all": true',
    ],
    [
      "a pattern that a space cuts in two",
      { databases: [{ ...orders, excludeTableData: ["Old Orders"] }] },
      "databases[0].excludeTableData[0]: must be patterns as pg_dump takes them, names with spaces in double quotes",
      '"excludeTableData": ["audit.*", "public.sessions"]',
    ],
    [
      "schemas beside tables",
      { databases: [{ ...orders, tables: ["a"], excludeSchemas: ["b"] }] },
      'databases[0].excludeSchemas: has no effect beside "tables"',
      '"excludeSchemas": ["scratch"]',
    ],
    [
      "databases to leave out of one",
      { databases: [{ ...orders, exclude: ["rdsadmin"] }] },
      'databases[0].exclude: is of no use without "all": true',
      '"exclude": ["rdsadmin", "test_*"]',
    ],
    [
      "a server as a whole beside one of its databases",
      { databases: [orders, { ...orders, name: "main", all: true, exclude: ["test_*"] }] },
      'databases[1].exclude: must name "orders", which databases[0] backs up',
      '"exclude": ["rdsadmin", "test_*"]',
    ],
    [
      "a server as a whole beside one of its databases that has another name in the catalog",
      {
        databases: [
          {
            name: "main",
            all: true,
            exclude: ["sales"],
            connection: { rdsSecret: "main", host: "db.example.com" },
          },
          { name: "sales", connection: { ...rds, host: "db.example.com", database: "orders" } },
        ],
      },
      'databases[0].exclude: must name "orders", the database of databases[1]',
      '"exclude": ["rdsadmin", "test_*"]',
    ],
    [
      "an existing bucket with settings of a new one",
      {
        databases: [orders],
        bucket: {
          existing: { name: "backups", kmsKeyArn: "arn:aws:kms:eu-central-1:111122223333:key/0a" },
          coldAfterDays: 30,
        },
      },
      "bucket.coldAfterDays: is of no use beside bucket.existing",
      '"bucket": { "coldAfterDays": 30 }',
    ],
    [
      "copies of an existing bucket",
      {
        databases: [orders],
        bucket: {
          existing: { name: "backups", kmsKeyArn: "arn:aws:kms:eu-central-1:111122223333:key/0a" },
          copyTo: {
            bucketArn: "arn:aws:s3:::second",
            kmsKeyArn: "arn:aws:kms:eu-west-1:111122223333:key/0a",
          },
        },
      },
      'bucket.copyTo: can\'t be set up for an existing bucket, about which nothing is changed: infra/README.md says under "A second bucket" how',
      '"copyTo": { "bucketArn": "arn:aws:s3:::my-second-bucket"',
    ],
    [
      "public keys of two kinds",
      { databases: [orders], recipients: [classic, hybrid], identity: "none" },
      "recipients: must be all classic (age1…) or all hybrid (age1pq1…)",
      '"recipients": ["age1…"]',
    ],
    [
      "a hybrid public key beside the stack's own, which is classic",
      { databases: [orders], recipients: [hybrid] },
      'recipients: are hybrid (age1pq1…), and the stack\'s own key is classic: set "identity": "hybrid"',
      '"recipients": ["age1…"]',
    ],
    [
      "a classic public key beside the stack's own, which is to be hybrid",
      { databases: [orders], recipients: [classic], identity: "hybrid" },
      'recipients: must be hybrid, too (age1pq1…), where "identity" is "hybrid"',
      '"recipients": ["age1…"]',
    ],
    [
      "no private key and no public one",
      { databases: [orders], identity: "none" },
      'recipients: must name a public key where "identity" is "none"',
      '"recipients": ["age1…"]',
    ],
    [
      "endpoints without the route tables for the one to S3",
      {
        databases: [orders],
        network: { vpcId: "vpc-0a1b2c3d", subnetIds: ["subnet-0a1b2c3d"], endpoints: true },
      },
      "network.routeTableIds: must name the subnets' route tables",
      '"routeTableIds": ["rtb-0a1b2c3d"]',
    ],
    [
      "a network without subnets",
      { databases: [orders], network: { vpcId: "vpc-0a1b2c3d" } },
      "network.subnetIds: is missing",
      '"subnetIds": ["subnet-0a1b2c3d", "subnet-4e5f6a7b"]',
    ],
  ])("%s is refused with its path and an example", (_, settings, words, example) => {
    const message = refusal(settings)
    expect(message).toContain(words)
    expect(message).toContain(example)
    expect(message).not.toContain("hunter2")
  })

  it("that are wrong in several places are refused once, with all of them", () => {
    const message = refusal({
      databases: [{ ...orders, schedule: "daily" }],
      retention: { keepLast: -1 },
      logRetentionDays: 31,
    })
    expect(message.match(/for example/g)).toHaveLength(3)
  })
})
