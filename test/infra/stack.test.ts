import { readFileSync } from "node:fs"
import { diffTemplate, ResourceImpact } from "@aws-cdk/cloudformation-diff"
import { App, Stack } from "aws-cdk-lib"
import { Match, Template } from "aws-cdk-lib/assertions"
import { Port, SecurityGroup, Vpc } from "aws-cdk-lib/aws-ec2"
import { ContainerImage } from "aws-cdk-lib/aws-ecs"
import { Secret } from "aws-cdk-lib/aws-secretsmanager"
import { AwsSolutionsChecks } from "cdk-nag"
import { beforeAll, describe, expect, it } from "vitest"
import * as z from "zod"
import { PostgresBackup } from "../../infra/postgres-backup.ts"
import { acceptedFindings } from "./accepted-findings.ts"
import { everything } from "./everything.ts"
import { allowed, filled, resource, type Synthesized, synthesize } from "./synthesize.ts"

const orders = { name: "orders", connection: { urlSecret: "pgstow/orders" } }

const named = z.array(z.looseObject({ Name: z.string() })).default([])

let plain: Synthesized
let rich: Synthesized

beforeAll(() => {
  plain = synthesize({ databases: [orders] }, [new AwsSolutionsChecks()])
  rich = synthesize(everything)
}, 300_000)

const log = { Effect: "Allow", Action: ["logs:CreateLogStream", "logs:PutLogEvents"] }
const viaS3 = { StringEquals: { "kms:ViaService": expect.anything() as unknown } }
const key = "<StorageKey.Arn>"
const bucket = "<StorageBucket.Arn>"
const putEvents = { Effect: "Allow", Action: ["events:PutEvents"], Resource: "<Events.Arn>" }
const list = { Effect: "Allow", Action: ["s3:ListBucket"], Resource: bucket }
const decrypt = { Effect: "Allow", Action: ["kms:Decrypt"], Resource: key, Condition: viaS3 }
const seal = { Effect: "Allow", Action: ["kms:GenerateDataKey"], Resource: key, Condition: viaS3 }
const read = (keys: string) => ({ Effect: "Allow", Action: ["s3:GetObject"], Resource: `${bucket}/${keys}` })
const putChecks = { Effect: "Allow", Action: ["s3:PutObject"], Resource: `${bucket}/*/checks/*` }
const writeOnce = {
  Effect: "Deny",
  Action: ["s3:PutObject"],
  Resource: `${bucket}/*`,
  Condition: { Null: { "s3:if-none-match": "true" }, Bool: { "s3:ObjectCreationOperation": "true" } },
}
const functionLog = { ...log, Resource: "<FunctionLogs.Arn>" }
const deadLetters = {
  Effect: "Allow",
  Action: ["sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"],
  Resource: "<DeadLetters.Arn>",
}
const tasks = "arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:task/<TasksCluster>/*"
const listTasks = {
  Effect: "Allow",
  Action: ["ecs:ListTasks"],
  Resource: "*",
  Condition: { ArnEquals: { "ecs:cluster": expect.anything() as unknown } },
}
const runTasks = (kind: string, family: string) => [
  {
    Effect: "Allow",
    Action: ["ecs:RunTask"],
    Resource: `arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:task-definition/Pgstow-${family}:*`,
    Condition: {
      ArnEquals: { "ecs:cluster": { "Fn::GetAtt": [expect.stringMatching("Cluster") as unknown, "Arn"] } },
    },
  },
  {
    Effect: "Allow",
    Action: ["ecs:TagResource"],
    Resource: tasks,
    Condition: { StringEquals: { "ecs:CreateAction": "RunTask" } },
  },
  {
    Effect: "Allow",
    Action: ["iam:PassRole"],
    Resource: `arn:<AWS::Partition>:iam::<AWS::AccountId>:role/Pgstow-<AWS::Region>/${kind}/*`,
    Condition: { StringEquals: { "iam:PassedToService": "ecs-tasks.amazonaws.com" } },
  },
]

describe("the roles", () => {
  it("let a backup store below its own prefix, and neither read, replace nor remove anything", () => {
    expect(allowed(plain, /backupordersTaskRole/)).toEqual([
      putEvents,
      {
        Effect: "Allow",
        Action: ["s3:PutObject", "s3:AbortMultipartUpload"],
        Resource: `${bucket}/orders/*`,
      },
      writeOnce,
      { Effect: "Deny", Action: ["s3:PutObject"], Resource: `${bucket}/orders/*/checks/*` },
      { ...list, Condition: { StringLike: { "s3:prefix": "orders/*" } } },
      { ...decrypt, Action: ["kms:GenerateDataKey", "kms:Decrypt"] },
    ])
  })

  it("let a restore read every backup and the key, and store nothing", () => {
    expect(allowed(plain, /restoreordersTaskRole/)).toEqual([
      putEvents,
      list,
      read("*"),
      decrypt,
      { Effect: "Allow", Action: ["secretsmanager:GetSecretValue"], Resource: "<IdentitySecret>" },
    ])
  })

  it("let a drill read its database's backups and the key, and lay findings beside them", () => {
    expect(allowed(plain, /drillordersTaskRole/)).toEqual([
      putEvents,
      list,
      read("orders/*"),
      decrypt,
      { ...putChecks, Resource: `${bucket}/orders/*/checks/*` },
      writeOnce,
      seal,
      { Effect: "Allow", Action: ["secretsmanager:GetSecretValue"], Resource: "<IdentitySecret>" },
    ])
    expect(allowed(plain, /startdrillrole/)).toEqual([
      functionLog,
      deadLetters,
      ...runTasks("drill", "drill-*"),
      listTasks,
      putEvents,
    ])
  })

  it("let a verification read backups and lay findings beside them, without the key", () => {
    const verification = [list, read("*"), decrypt, putChecks, writeOnce, seal]
    expect(allowed(plain, /verifyTaskRole/)).toEqual([putEvents, ...verification])
    expect(allowed(plain, /verifybackuprole/)).toEqual([
      functionLog,
      deadLetters,
      ...verification,
      ...runTasks("verify", "verify"),
      putEvents,
    ])
  })

  it("let cleanup alone remove objects, and read nothing but manifests", () => {
    expect(allowed(plain, /cleanuprole/)).toEqual([
      functionLog,
      deadLetters,
      list,
      read("*/manifest.json"),
      decrypt,
      { Effect: "Allow", Action: ["s3:ListBucketMultipartUploads"], Resource: bucket },
      { Effect: "Allow", Action: ["s3:DeleteObject", "s3:AbortMultipartUpload"], Resource: `${bucket}/*` },
      putChecks,
      writeOnce,
      seal,
      putEvents,
    ])
    for (const role of roles(rich).filter((name) => !/cleanup/.test(name)))
      expect(actions(rich, role), role).not.toContain("s3:DeleteObject")
  })

  it("let the starting function start backups in this cluster", () => {
    expect(allowed(plain, /startbackuprole/)).toEqual([
      functionLog,
      deadLetters,
      ...runTasks("backup", "backup-*"),
      listTasks,
      putEvents,
    ])
  })

  it("let the other functions do their own work only", () => {
    expect(allowed(plain, /makekeyrole/)).toEqual([
      functionLog,
      deadLetters,
      { Effect: "Allow", Action: ["secretsmanager:GetSecretValue"], Resource: "<IdentitySecret>" },
      { Effect: "Allow", Action: ["secretsmanager:PutSecretValue"], Resource: "<IdentitySecret>" },
    ])
    expect(allowed(plain, /stophungrole/)).toEqual([
      functionLog,
      deadLetters,
      listTasks,
      {
        Effect: "Allow",
        Action: ["ecs:DescribeTasks", "ecs:StopTask"],
        Resource: tasks,
        Condition: { ArnEquals: { "ecs:cluster": expect.anything() as unknown } },
      },
    ])
    expect(allowed(plain, /measurerole/)).toEqual([
      functionLog,
      deadLetters,
      list,
      read("*/manifest.json"),
      decrypt,
      putEvents,
    ])
    expect(allowed(plain, /notifyrole/)).toEqual([
      functionLog,
      deadLetters,
      { Effect: "Allow", Action: ["sns:Publish"], Resource: "<Topic>" },
      read("report.html"),
      decrypt,
    ])
    expect(allowed(plain, /writereportrole/)).toEqual([
      functionLog,
      deadLetters,
      list,
      read("*/manifest.json"),
      decrypt,
      read("*/checks/*"),
      { Effect: "Allow", Action: ["s3:PutObject"], Resource: `${bucket}/report.html` },
      seal,
    ])
    expect(allowed(plain, /taskstoppedrole/)).toEqual([functionLog, deadLetters, putEvents])
    expect(allowed(plain, /SchedulesRole/).map(({ Action, Resource }) => [Action, Resource])).toEqual([
      [deadLetters.Action, deadLetters.Resource],
      [["lambda:InvokeFunction"], "<Functionsstartbackup.Arn>"],
      [["lambda:InvokeFunction"], "<Functionsstartdrill.Arn>"],
      [["lambda:InvokeFunction"], "<Functionscleanup.Arn>"],
      [["lambda:InvokeFunction"], "<Functionswritereport.Arn>"],
      [["lambda:InvokeFunction"], "<Functionsmeasure.Arn>"],
      [["lambda:InvokeFunction"], "<Functionsstophung.Arn>"],
    ])
  })

  it("let nobody but restores, drills and the function that makes it read the private key", () => {
    const readers = roles(rich).filter((role) =>
      allowed(rich, new RegExp(role)).some(({ Resource }) => Resource === "<IdentitySecret>"),
    )
    expect(readers.map((name) => name.slice(0, -8)).sort()).toEqual([
      "Backupmakekeyrole",
      "drillcrmTaskRole",
      "drillordersTaskRole",
      "drillshopTaskRole",
      "refreshordersTaskRole",
      "restorecrmTaskRole",
      "restoreordersTaskRole",
      "restoreshopTaskRole",
      "restorewikiTaskRole",
    ])
  })

  it("let each database's tasks start with that database's secret only", () => {
    const secrets = (role: RegExp) =>
      allowed(rich, role)
        .filter(({ Action }) => Action.some((action) => action.startsWith("secretsmanager:")))
        .map(({ Resource }) => String(Resource).replace(/^.*:secret:/, ""))
    expect(secrets(/backupordersExecutionRole/)).toEqual(["pgstow/orders-??????"])
    expect(secrets(/restoreordersExecutionRole/)).toEqual(["pgstow/orders-admin-??????"])
    expect(secrets(/backupcrmExecutionRole/)).toEqual([])
  })

  it("connect by RDS IAM authentication as one user of one server", () => {
    for (const task of ["backupcrm", "restorecrm"])
      expect(allowed(rich, new RegExp(`${task}TaskRole`))).toContainEqual({
        Effect: "Allow",
        Action: ["rds-db:connect"],
        Resource: "arn:<AWS::Partition>:rds-db:<AWS::Region>:<AWS::AccountId>:dbuser:db-ABC123/pgstow",
      })
  })
})

describe("the bucket", () => {
  it("is versioned, encrypted with its own key, open to nobody, and reached by TLS only", () => {
    plain.template.hasResourceProperties("AWS::S3::Bucket", {
      VersioningConfiguration: { Status: "Enabled" },
      ObjectLockEnabled: true,
      BucketEncryption: {
        ServerSideEncryptionConfiguration: [
          { BucketKeyEnabled: true, ServerSideEncryptionByDefault: { SSEAlgorithm: "aws:kms" } },
        ],
      },
      PublicAccessBlockConfiguration: {
        BlockPublicAcls: true,
        BlockPublicPolicy: true,
        IgnorePublicAcls: true,
        RestrictPublicBuckets: true,
      },
      OwnershipControls: { Rules: [{ ObjectOwnership: "BucketOwnerEnforced" }] },
      NotificationConfiguration: { EventBridgeConfiguration: { EventBridgeEnabled: true } },
    })
    const { PolicyDocument } = resource(plain, "AWS::S3::BucketPolicy").Properties
    expect(PolicyDocument).toMatchObject({
      Statement: [
        { Effect: "Deny", Action: "s3:*", Condition: { Bool: { "aws:SecureTransport": "false" } } },
        { Effect: "Deny", Condition: { NumericLessThan: { "s3:TlsVersion": 1.2 } } },
      ],
    })
    plain.template.hasResourceProperties("AWS::KMS::Key", { EnableKeyRotation: true })
  })

  it("ends unfinished uploads and forgets what was removed two weeks ago", () => {
    const rules = [
      {
        Id: "unfinished uploads and removed backups",
        Status: "Enabled",
        AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 },
        NoncurrentVersionExpiration: { NoncurrentDays: 14 },
        ExpiredObjectDeleteMarker: true,
      },
      {
        Id: "earlier reports",
        Status: "Enabled",
        Prefix: "report.html",
        NoncurrentVersionExpiration: { NoncurrentDays: 1 },
      },
    ]
    expect(resource(plain, "AWS::S3::Bucket").Properties.LifecycleConfiguration).toEqual({ Rules: rules })
  })

  it("locks, cools and copies objects where it is asked to", () => {
    expect(resource(plain, "AWS::S3::Bucket").Properties).not.toHaveProperty("ObjectLockConfiguration")
    rich.template.hasResourceProperties("AWS::S3::Bucket", {
      ObjectLockConfiguration: { Rule: { DefaultRetention: { Mode: "COMPLIANCE", Days: 14 } } },
    })
    expect(resource(rich, "AWS::S3::Bucket").Properties).toMatchObject({
      LifecycleConfiguration: {
        Rules: [
          { NoncurrentVersionExpiration: { NoncurrentDays: 90 } },
          { Prefix: "report.html" },
          { Transitions: [{ StorageClass: "GLACIER_IR", TransitionInDays: 30 }] },
        ],
      },
      ReplicationConfiguration: {
        Rules: [
          {
            Status: "Enabled",
            Destination: {
              Bucket: "arn:aws:s3:::second",
              Account: "444455556666",
              AccessControlTranslation: { Owner: "Destination" },
              // S3 refuses to copy what KMS encrypted, unless it is told another key.
              EncryptionConfiguration: { ReplicaKmsKeyID: everything.bucket.copyTo.kmsKeyArn },
              Metrics: { Status: "Enabled" },
            },
            SourceSelectionCriteria: { SseKmsEncryptedObjects: { Status: "Enabled" } },
          },
        ],
      },
      NotificationConfiguration: {
        EventBridgeConfiguration: { EventBridgeEnabled: true },
        TopicConfigurations: [{ Event: "s3:Replication:OperationFailedReplication" }],
      },
    })
    expect(filled(rich.outputs.CopyRole?.Value)).toBe("<StorageCopyRole.Arn>")
  })

  it("says what could not be copied, and nothing where S3 tries whether it may say so", () => {
    const { Properties, DependsOn } = z
      .looseObject({ Properties: z.looseObject({}), DependsOn: z.array(z.string()).default([]) })
      .parse(resource(rich, "AWS::SNS::Subscription", /Failures/))
    expect(filled(Properties)).toEqual({
      TopicArn: "<StorageCopyFailed>",
      Protocol: "sqs",
      Endpoint: "<StorageCopyFailures.Arn>",
      RawMessageDelivery: true,
      // S3's test message is { "Service": "Amazon S3", "Event": "s3:TestEvent", … }.
      FilterPolicyScope: "MessageBody",
      FilterPolicy: { Records: { eventName: [{ exists: true }] } },
    })
    // It is sent before there is a subscription, too, since a new filter is not in force at once.
    expect(DependsOn).toContainEqual(expect.stringMatching(/^BackupStorageBucket[0-9A-F]{8}$/))
    expect(filled(resource(rich, "AWS::S3::Bucket").Properties.NotificationConfiguration)).toMatchObject({
      TopicConfigurations: [{ Topic: "<StorageCopyFailed>" }],
    })
  })

  it("keeps what could not be copied as long as SQS does, since the alarm is over when the queue has forgotten it", () => {
    expect(resource(rich, "AWS::SQS::Queue", /Failures/).Properties).toMatchObject({
      MessageRetentionPeriod: 14 * 24 * 3600,
    })
  })

  it("stays when the stack goes, with its key and the identity", () => {
    for (const type of ["AWS::S3::Bucket", "AWS::KMS::Key", "AWS::SecretsManager::Secret"])
      expect(resource(plain, type)).toMatchObject({
        // What a first deployment made that failed is empty, and would be in the way of the next one.
        DeletionPolicy: "RetainExceptOnCreate",
        UpdateReplacePolicy: "Retain",
      })
  })

  it("is never replaced by a change of settings, nor are its key and the identity", () => {
    const kept = ["AWS::S3::Bucket", "AWS::KMS::Key", "AWS::SecretsManager::Secret", "Custom::PgstowIdentity"]
    for (const [before, after] of [
      [plain, rich],
      [rich, plain],
    ] as const) {
      const { resources } = diffTemplate(before.template.toJSON(), after.template.toJSON())
      for (const type of kept) {
        const id = Object.keys(before.resources).find((name) => before.resources[name]?.Type === type)
        expect(Object.keys(after.resources)).toContain(id)
        const { changeImpact } = resources.get(id ?? "") ?? {}
        expect([undefined, ResourceImpact.WILL_UPDATE, ResourceImpact.NO_CHANGE], type).toContain(
          changeImpact,
        )
      }
    }
  })

  it("has an identity that CloudFormation has no value for, and never makes up another", () => {
    expect(Object.keys(resource(plain, "AWS::SecretsManager::Secret").Properties)).toEqual(["Description"])
  })
})

describe("the tasks", () => {
  const definitionSchema = z.looseObject({
    ContainerDefinitions: z.tuple([z.looseObject({ Secrets: named, Environment: named })]),
  })
  const task = (synthesized: Synthesized, family: string) => {
    const found = Object.values(synthesized.resources).find(
      ({ Properties }) => Properties.Family === `Pgstow-${family}`,
    )
    const definition = definitionSchema.parse(found?.Properties)
    return { definition, container: definition.ContainerDefinitions[0] }
  }
  const names = (list: z.output<typeof named>) => list.map(({ Name }) => Name)

  it("run read-only, without privileges, on the processors and with the size asked for", () => {
    const small = task(plain, "backup-orders")
    expect(small.definition).toMatchObject({
      Cpu: "1024",
      Memory: "2048",
      RuntimePlatform: { CpuArchitecture: "ARM64", OperatingSystemFamily: "LINUX" },
    })
    expect(small.container).toMatchObject({
      ReadonlyRootFilesystem: true,
      LinuxParameters: { InitProcessEnabled: true, Capabilities: { Drop: ["ALL"] } },
      MountPoints: [{ ContainerPath: "/tmp", SourceVolume: "tmp" }],
      LogConfiguration: { LogDriver: "awslogs" },
    })
    // A drill starts a server as another user, whom the key and the task's credentials are nothing to.
    expect(task(plain, "drill-orders").container).toMatchObject({
      User: "0",
      ReadonlyRootFilesystem: true,
      LinuxParameters: {
        Capabilities: {
          Drop: "AUDIT_WRITE FOWNER FSETID MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETPCAP SYS_CHROOT".split(
            " ",
          ),
        },
      },
    })
    expect(small.container).not.toHaveProperty("User")
    expect(task(rich, "backup-orders").definition).toMatchObject({
      Cpu: "4096",
      Memory: "8192",
      RuntimePlatform: { CpuArchitecture: "X86_64" },
    })
  })

  it("are told the public keys, never the private one, and their password by reference", () => {
    const backup = task(rich, "backup-orders").container
    expect(backup.Command).toEqual(["backup"])
    expect(names(backup.Secrets)).toEqual(["DATABASE_URL"])
    expect(filled(backup.Environment)).toEqual(
      expect.arrayContaining([
        { Name: "PGSTOW_STORAGE", Value: "s3://<StorageBucket>?region=<AWS::Region>&write-once=true" },
        { Name: "PGSTOW_NAME", Value: "orders" },
        { Name: "PGSTOW_VERIFY", Value: "false" },
        { Name: "PGSSLMODE", Value: "verify-full" },
        {
          Name: "PGSTOW_RECIPIENTS",
          Value: "<IdentityMade.recipient> age14ajrsakha54z6pt79xv9ewzgwdr46qapcs6krk5yf0s6tmttauks6uqf3t",
        },
      ]),
    )
    expect(names(backup.Environment)).not.toContain("PGSTOW_IDENTITY")
    const restore = task(rich, "restore-orders").container
    expect(restore.Command).toEqual(["list"])
    expect(filled(restore.Environment)).toContainEqual({
      Name: "PGSTOW_IDENTITY",
      Value: "secretsmanager:<IdentitySecret>",
    })
  })

  it("that drill have servers, room for the database, and the key, and no password of any database", () => {
    const drill = task(rich, "drill-orders")
    expect(drill.definition).toMatchObject({
      Cpu: "2048",
      Memory: "4096",
      EphemeralStorage: { SizeInGiB: 120 },
    })
    expect(drill.container).toMatchObject({
      Image: "pgstow:drill",
      Command: ["drill", "latest", "--database", "orders"],
    })
    expect(names(drill.container.Secrets)).toEqual([])
    expect(filled(drill.container.Environment)).toEqual(
      expect.arrayContaining([
        { Name: "PGSTOW_IDENTITY", Value: "secretsmanager:<IdentitySecret>" },
        { Name: "PGSTOW_SKIP_EXTENSION", Value: "pg_cron" },
        {
          Name: "PGSTOW_EXPECTATIONS",
          Value: '[{"sql":"SELECT count(*) > 0 FROM orders","expect":true}]',
        },
      ]),
    )
    expect(task(rich, "drill-shop").definition).not.toHaveProperty("EphemeralStorage")
    const drilled = Object.values(rich.resources).map(({ Properties }) => Properties.Family)
    expect(drilled).not.toContain("Pgstow-drill-wiki")
  })

  it("that refresh a copy replace it by the newest backup, with the file's SQL as it is now", () => {
    const refresh = task(rich, "refresh-orders").container
    const command = "restore latest --database orders --into orders_staging --replace --yes --no-owner"
    expect(refresh.Command).toEqual(command.split(" "))
    expect(names(refresh.Secrets)).toEqual(["DATABASE_URL"])
    expect(filled(refresh.Environment)).toContainEqual({
      Name: "PGSTOW_RUN_SQL",
      Value: readFileSync("test/fixtures/staging.sql", "utf8"),
    })
    rich.template.hasResourceProperties("AWS::Scheduler::Schedule", {
      Name: "Pgstow-refresh-orders",
      ScheduleExpression: "rate(7 days)",
      Target: { Input: '{"database":"orders","token":"<aws.scheduler.scheduled-time>"}' },
    })
    expect(allowed(rich, /refreshordersTaskRole/)).toEqual([
      putEvents,
      list,
      read("orders/*"),
      decrypt,
      { Effect: "Allow", Action: ["secretsmanager:GetSecretValue"], Resource: "<IdentitySecret>" },
    ])
    expect(allowed(rich, /startrefreshrole/)).toEqual([
      functionLog,
      deadLetters,
      ...runTasks("refresh", "refresh-*"),
      listTasks,
      putEvents,
    ])
  })

  it("take from an RDS secret what the settings do not say", () => {
    const shop = task(rich, "backup-shop").container
    expect(names(shop.Secrets)).toEqual(["PGUSER", "PGPASSWORD"])
    expect(shop.Environment).toContainEqual({ Name: "PGHOST", Value: "shop.example.com" })
    const wiki = task(rich, "backup-wiki").container
    expect(names(wiki.Secrets)).toEqual([
      "PGUSER",
      "PGPASSWORD",
      "PGHOST",
      "PGPORT",
      "PGDATABASE",
      "PGSTOW_CA",
    ])
    expect(names(task(rich, "backup-crm").container.Secrets)).toEqual([])
  })
})

describe("the cluster", () => {
  it("gets its capacity providers after it is made, when the role is there that they need", () => {
    expect(resource(plain, "AWS::ECS::Cluster").Properties).not.toHaveProperty("CapacityProviders")
    plain.template.hasResourceProperties("AWS::ECS::ClusterCapacityProviderAssociations", {
      CapacityProviders: ["FARGATE", "FARGATE_SPOT"],
    })
  })
})

describe("the schedules", () => {
  it("start each database's backup at its time", () => {
    plain.template.hasResourceProperties("AWS::Scheduler::Schedule", {
      Name: "Pgstow-backup-orders",
      ScheduleExpression: "cron(0 3 * * ? *)",
      ScheduleExpressionTimezone: "UTC",
      Target: { Input: '{"database":"orders","token":"<aws.scheduler.scheduled-time>"}' },
    })
    rich.template.hasResourceProperties("AWS::Scheduler::Schedule", {
      Name: "Pgstow-backup-orders",
      ScheduleExpression: "rate(6 hours)",
      ScheduleExpressionTimezone: "Europe/Berlin",
    })
    rich.template.resourceCountIs("AWS::Scheduler::Schedule", 4 + 3 + 1 + 4)
  })

  it("drill each database weekly, where it is not said otherwise", () => {
    plain.template.hasResourceProperties("AWS::Scheduler::Schedule", {
      Name: "Pgstow-drill-orders",
      ScheduleExpression: "cron(0 6 ? * SUN *)",
      Target: { Input: '{"database":"orders","token":"<aws.scheduler.scheduled-time>"}' },
    })
    rich.template.hasResourceProperties("AWS::Scheduler::Schedule", {
      Name: "Pgstow-drill-orders",
      ScheduleExpression: "rate(1 day)",
      ScheduleExpressionTimezone: "Europe/Berlin",
    })
  })

  it("have names that EventBridge takes, 64 characters, of the longest stack's and database's name, each its own", () => {
    const stackName = "a-stack-of-28-characters-you"
    const long = (last: string) => ({ ...orders, name: `${"database".repeat(5).slice(1)}${last}` })
    const { resources } = synthesize({ stackName, databases: [long("a"), long("b")] })
    const names = Object.values(resources)
      .filter(({ Type }) => Type === "AWS::Scheduler::Schedule")
      .map(({ Properties }) => String(Properties.Name))
    expect(names.filter((name) => name.startsWith(`${stackName}-backup-atabase`))).toHaveLength(2)
    expect(new Set(names).size).toBe(2 + 2 + 4)
    for (const name of names) expect(name).toMatch(/^[0-9a-zA-Z_.-]{1,64}$/)
  })

  it("and events never make Lambda try a function again, and lose nothing that failed", () => {
    const configs = plain.template.findResources("AWS::Lambda::EventInvokeConfig")
    expect(Object.keys(configs)).toHaveLength(10)
    for (const { Properties } of Object.values(configs))
      expect(filled(Properties)).toMatchObject({
        MaximumRetryAttempts: 0,
        DestinationConfig: { OnFailure: { Destination: "<DeadLetters.Arn>" } },
      })
  })
})

describe("the events", () => {
  const pattern = (id: RegExp) => filled(resource(plain, "AWS::Events::Rule", id).Properties.EventPattern)

  it("of a manifest's arrival verify it", () => {
    expect(pattern(/ManifestArrived/)).toEqual({
      source: ["aws.s3"],
      "detail-type": ["Object Created"],
      detail: { bucket: { name: ["<StorageBucket>"] }, object: { key: [{ suffix: "/manifest.json" }] } },
    })
  })

  it("of a verified backup clean up behind it", () => {
    expect(pattern(/BackupVerified/)).toEqual({
      source: ["pgstow"],
      "detail-type": ["Verification Succeeded"],
    })
  })

  it("of a task that stopped in this cluster are looked at", () => {
    expect(pattern(/TaskStopped/)).toMatchObject({
      source: ["aws.ecs"],
      detail: { clusterArn: ["<TasksCluster.Arn>"], lastStatus: ["STOPPED"] },
    })
  })
})

describe("the alarms", () => {
  it("take silence for trouble where a backup is overdue, and for peace elsewhere", () => {
    const alarms = Object.values(rich.template.findResources("AWS::CloudWatch::Alarm"))
    expect(
      alarms.map(({ Properties }) => {
        const { AlarmName, TreatMissingData, Threshold, MetricName } = Properties as Record<string, unknown>
        return [AlarmName, TreatMissingData, MetricName, Threshold]
      }),
    ).toEqual([
      ["Pgstow-backup-failed", "notBreaching", "BackupFailures", 1],
      ["Pgstow-verification-failed", "notBreaching", "VerificationFailures", 1],
      ["Pgstow-drill-failed", "notBreaching", "DrillFailures", 1],
      ["Pgstow-dead-letters", "notBreaching", "ApproximateNumberOfMessagesVisible", 1],
      ["Pgstow-copy-failed", "notBreaching", "ApproximateNumberOfMessagesVisible", 1],
      ["Pgstow-overdue-orders", "breaching", "BackupAgeHours", 8],
      ["Pgstow-overdue-shop", "breaching", "BackupAgeHours", 26],
      ["Pgstow-overdue-crm", "breaching", "BackupAgeHours", 26],
      ["Pgstow-overdue-wiki", "breaching", "BackupAgeHours", 26],
      ["Pgstow-drill-overdue-orders", "ignore", "DrillAgeHours", 50],
      ["Pgstow-drill-overdue-shop", "ignore", "DrillAgeHours", 2 * 7 * 24],
      ["Pgstow-drill-overdue-crm", "ignore", "DrillAgeHours", 2 * 7 * 24],
    ])
    for (const { Properties } of alarms) {
      expect(filled(Properties)).toMatchObject({ AlarmActions: ["<Topic>"] })
      // The end of an alarm that one event raised says nothing.
      const { AlarmName, OKActions } = Properties as Record<string, unknown>
      expect(OKActions === undefined, String(AlarmName)).toBe(
        /(backup|verification|drill)-failed/.test(String(AlarmName)),
      )
    }
  })

  it("are told of by a pattern that stays as long, however many databases there are", () => {
    const { EventPattern } = resource(rich, "AWS::Events::Rule", /AlarmChanged/).Properties
    expect(filled(EventPattern)).toMatchObject({
      resources: [
        "backup-failed",
        "verification-failed",
        "drill-failed",
        "dead-letters",
        "copy-failed",
        "overdue-",
        "drill-overdue-",
      ].map((name) => ({
        prefix: `arn:<AWS::Partition>:cloudwatch:<AWS::Region>:<AWS::AccountId>:alarm:Pgstow-${name}`,
      })),
    })
    expect(EventPattern).toEqual(resource(plain, "AWS::Events::Rule", /AlarmChanged/).Properties.EventPattern)
  })

  it("and a row of graphs for each database stand on the dashboard", () => {
    const body = JSON.stringify(filled(resource(rich, "AWS::CloudWatch::Dashboard").Properties.DashboardBody))
    for (const database of ["orders", "shop", "crm", "wiki"])
      for (const graph of ["age of the newest verified backup", "size", "duration"])
        expect(body).toContain(`${database}: ${graph}`)
    for (const database of ["orders", "shop", "crm"])
      expect(body).toContain(`${database}: age of the last good drill`)
    expect(body).not.toContain("wiki: age of the last good drill")
  })
})

describe("the network", () => {
  it("of its own has no NAT gateway and reaches S3 by an endpoint", () => {
    plain.template.resourceCountIs("AWS::EC2::NatGateway", 0)
    plain.template.hasResourceProperties("AWS::EC2::VPCEndpoint", { VpcEndpointType: "Gateway" })
    expect(resource(plain, "AWS::EC2::SecurityGroup").Properties).not.toHaveProperty("SecurityGroupIngress")
  })

  it("of its own reaches hosts of IPv4 and of IPv6", () => {
    plain.template.hasResourceProperties("AWS::EC2::VPCCidrBlock", { AmazonProvidedIpv6CidrBlock: true })
    plain.template.hasResourceProperties("AWS::EC2::Subnet", { AssignIpv6AddressOnCreation: true })
    plain.template.hasResourceProperties("AWS::EC2::Route", { DestinationIpv6CidrBlock: "::/0" })
    expect(resource(plain, "AWS::EC2::SecurityGroup").Properties.SecurityGroupEgress).toMatchObject([
      { CidrIp: "0.0.0.0/0", IpProtocol: "-1" },
      { CidrIpv6: "::/0", IpProtocol: "-1" },
    ])
  })

  it("of its own leaves out the zones that have no Fargate, or none for its processors", () => {
    const zones = (region?: string, architecture = "arm64") =>
      Object.values(
        synthesize({ databases: [orders], architecture }, [], region).template.findResources(
          "AWS::EC2::Subnet",
        ),
      ).map(({ Properties }) => {
        const { AvailabilityZone, AvailabilityZoneId } = Properties as Record<string, unknown>
        return AvailabilityZone === undefined ? AvailabilityZoneId : "any"
      })
    expect(zones()).toEqual(["any", "any"])
    expect(zones("eu-central-1")).toEqual(["any", "any"])
    expect(zones("us-west-1")).toEqual(["usw1-az1", "usw1-az3"])
    expect(zones("ap-northeast-1")).toEqual(["apne1-az1", "apne1-az4"])
    // One zone there has Fargate, but none on ARM.
    expect(zones("us-east-1")).toEqual(["use1-az4", "use1-az6"])
    expect(zones("us-east-1", "x86_64")).toEqual(["any", "any"])
  })

  describe("with private subnets", () => {
    const network = { vpcId: "vpc-0a1b2c3d", subnetIds: ["subnet-0a1b2c3d"] }
    const databases = [orders]

    it("is said to need endpoints, each by its name", () => {
      const { messages } = synthesize({ databases, network })
      for (const service of ["ecr.api", "ecr.dkr", "logs", "secretsmanager", "events", "s3"])
        expect(messages.join()).toContain(`com.amazonaws.REGION.${service}`)
      expect(messages.join()).toContain("network.endpoints makes")
    })

    it.each([
      ["another registry", "ghcr.io/team/pgstow:1", "another registry than ECR"],
      ["ECR's public registry", "public.ecr.aws/team/pgstow:1", "another registry than ECR"],
      [
        "ECR of another region",
        "111122223333.dkr.ecr.eu-west-1.amazonaws.com/team/pgstow:1",
        "ECR of eu-west-1",
      ],
    ])("is said not to reach an image in %s, but by a NAT gateway", (_, image, where) => {
      const messages = (settings: object) =>
        synthesize({ databases, image, ...settings }, [], "eu-central-1").messages.join()
      expect(messages({ network })).toContain(`image is in ${where}: endpoints do not lead there`)
      for (const settings of [
        {},
        { network: { ...network, publicIp: true } },
        { network, image: "111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/pgstow:1" },
      ])
        expect(messages(settings)).not.toContain("endpoints do not lead there")
    })

    it("gets endpoints that the tasks may reach, where it is asked to", () => {
      const made = synthesize({
        databases,
        network: { ...network, endpoints: true, routeTableIds: ["rtb-0a1b2c3d"] },
      })
      expect(made.messages.join()).not.toContain("ecr.api")
      const endpoints = Object.values(made.template.findResources("AWS::EC2::VPCEndpoint"))
      expect(endpoints.map(({ Properties }) => filled(Properties))).toEqual([
        expect.objectContaining({ VpcEndpointType: "Gateway", RouteTableIds: ["rtb-0a1b2c3d"] }),
        ...["ecr.api", "ecr.dkr", "logs", "secretsmanager", "events"].map((service): unknown =>
          expect.objectContaining({
            VpcEndpointType: "Interface",
            ServiceName: `com.amazonaws.<AWS::Region>.${service}`,
            SubnetIds: ["subnet-0a1b2c3d"],
            SecurityGroupIds: ["<NetworkEndpoints.GroupId>"],
            PrivateDnsEnabled: true,
          }),
        ),
      ])
      const group = resource(made, "AWS::EC2::SecurityGroup", /Endpoints/).Properties
      expect(filled(group.SecurityGroupIngress)).toEqual([
        expect.objectContaining({
          FromPort: 443,
          ToPort: 443,
          IpProtocol: "tcp",
          SourceSecurityGroupId: "<NetworkTasks.GroupId>",
        }),
      ])
    })

    it("opens the security groups of databases that are named, to the tasks alone", () => {
      const letInto = [{ securityGroupId: "sg-1a2b3c4d", port: 6432 }]
      const made = synthesize({ databases, network: { ...network, letInto } })
      expect(filled(resource(made, "AWS::EC2::SecurityGroupIngress").Properties)).toMatchObject({
        GroupId: "sg-1a2b3c4d",
        SourceSecurityGroupId: "<NetworkTasks.GroupId>",
        IpProtocol: "tcp",
        FromPort: 6432,
        ToPort: 6432,
      })
      expect(filled(made.outputs.SecurityGroups?.Value)).toBe("<NetworkTasks.GroupId>")
    })
  })

  it("that exists is used as it is", () => {
    for (const type of ["AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::SecurityGroup"])
      rich.template.resourceCountIs(type, 0)
    rich.template.hasResourceProperties("AWS::EC2::VPCEndpoint", {
      VpcId: "vpc-0a1b2c3d",
      RouteTableIds: ["rtb-0a1b2c3d"],
    })
  })
})

describe("the outputs", () => {
  it("hold a restore command ready to paste for each database", () => {
    expect(filled(rich.outputs.Restoreorders?.Value)).toBe(
      "aws ecs run-task --cluster <TasksCluster> --launch-type FARGATE" +
        " --task-definition Pgstow-restore-orders" +
        " --network-configuration 'awsvpcConfiguration={subnets=[subnet-0a1b2c3d],securityGroups=[sg-0a1b2c3d],assignPublicIp=DISABLED}'" +
        ` --overrides '{"containerOverrides":[{"name":"pgstow","command":["restore","--backup","latest","--database","orders","--into","orders_restored"]}]}'`,
    )
    expect(Object.keys(rich.outputs).sort()).toEqual(
      expect.arrayContaining(["Bucket", "IdentitySecret", "Place", "Recipient", "Restorecrm", "Restoreshop"]),
    )
  })
})

describe("what is there already", () => {
  const name = "pgstow-backupstoragebucket-1a2b3c"
  const kmsKeyArn = "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
  const secret = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:backup-key-AbCdEf"
  let adopted: Synthesized

  beforeAll(() => {
    adopted = synthesize({
      databases: [orders],
      bucket: { existing: { name, kmsKeyArn } },
      identity: { secret },
    })
  }, 300_000)

  it("is taken over by its name, and nothing of the kind is made", () => {
    for (const type of [
      "AWS::S3::Bucket",
      "AWS::S3::BucketPolicy",
      "AWS::KMS::Key",
      "AWS::SecretsManager::Secret",
    ])
      adopted.template.resourceCountIs(type, 0)
    expect(adopted.outputs.Bucket?.Value).toBe(name)
    expect(adopted.outputs.IdentitySecret?.Value).toBe(secret)
    expect(
      filled(resource(adopted, "AWS::Events::Rule", /ManifestArrived/).Properties.EventPattern),
    ).toMatchObject({
      detail: { bucket: { name: [name] } },
    })
  })

  it("is used with the same rights as a new one, and its secret is never written", () => {
    const bucketArn = `arn:<AWS::Partition>:s3:::${name}`
    expect(allowed(adopted, /backupordersTaskRole/)).toEqual([
      putEvents,
      {
        Effect: "Allow",
        Action: ["s3:PutObject", "s3:AbortMultipartUpload"],
        Resource: `${bucketArn}/orders/*`,
      },
      { ...writeOnce, Resource: `${bucketArn}/*` },
      { Effect: "Deny", Action: ["s3:PutObject"], Resource: `${bucketArn}/orders/*/checks/*` },
      { ...list, Resource: bucketArn, Condition: { StringLike: { "s3:prefix": "orders/*" } } },
      { ...decrypt, Action: ["kms:GenerateDataKey", "kms:Decrypt"], Resource: kmsKeyArn },
    ])
    expect(allowed(adopted, /makekeyrole/)).toEqual([
      functionLog,
      deadLetters,
      { Effect: "Allow", Action: ["secretsmanager:GetSecretValue"], Resource: secret },
    ])
    expect(allowed(adopted, /restoreordersTaskRole/)).toContainEqual({
      Effect: "Allow",
      Action: ["secretsmanager:GetSecretValue"],
      Resource: secret,
    })
  })
})

describe("with a hybrid key", () => {
  it("the first deployment is asked for one, which a secret of the stack's own gets", () => {
    const made = synthesize({ databases: [orders], identity: "hybrid" })
    made.template.resourceCountIs("AWS::SecretsManager::Secret", 1)
    made.template.hasResourceProperties("Custom::PgstowIdentity", { kind: "hybrid" })
    expect(resource(plain, "Custom::PgstowIdentity").Properties).not.toHaveProperty("kind")
  })
})

describe("with public keys alone", () => {
  it("there is no private key in AWS, nothing that makes one, and no task that restores", () => {
    const recipients = ["age14ajrsakha54z6pt79xv9ewzgwdr46qapcs6krk5yf0s6tmttauks6uqf3t"]
    const made = synthesize({ databases: [orders], identity: "none", recipients })
    for (const type of ["AWS::SecretsManager::Secret", "Custom::PgstowIdentity"])
      made.template.resourceCountIs(type, 0)
    expect(JSON.stringify(made.template.toJSON())).not.toMatch(
      /make-key|(restore|drill)-orders|start-drill|PGSTOW_IDENTITY/,
    )
    expect(made.messages.join()).toContain("nothing is drilled in AWS, since there is no private key")
    expect(JSON.stringify(made.resources)).toContain(
      JSON.stringify({ Name: "PGSTOW_RECIPIENTS", Value: recipients[0] }),
    )
    expect(made.outputs.Place?.Value).toMatchObject({
      "Fn::Join": [
        "",
        expect.arrayContaining([expect.stringContaining('"restores":false') as unknown]) as unknown,
      ],
    })
  })
})

describe("a server as a whole", () => {
  const main = {
    name: "main",
    all: true,
    exclude: ["rdsadmin", "test_*", "orders"],
    connection: { urlSecret: "pgstow/main" },
    retention: { keepLast: 3 },
    excludeTables: ["tmp_*"],
    excludeTableData: ["audit.*", '"Old Orders"'],
  }
  let whole: Synthesized

  beforeAll(() => {
    whole = synthesize({ databases: [orders, main] })
  }, 300_000)

  it("is backed up by one task, which may store backups of any name, and replace none", () => {
    const text = JSON.stringify(whole.resources)
    for (const variable of [
      { Name: "PGSTOW_ALL", Value: "true" },
      { Name: "PGSTOW_EXCLUDE", Value: "rdsadmin test_* orders" },
      { Name: "PGSTOW_EXCLUDE_TABLE", Value: "tmp_*" },
      { Name: "PGSTOW_EXCLUDE_TABLE_DATA", Value: 'audit.* "Old Orders"' },
    ])
      expect(text).toContain(JSON.stringify(variable))
    expect(text).not.toContain(JSON.stringify({ Name: "PGSTOW_NAME", Value: "main" }))
    expect(allowed(whole, /backupmainTaskRole/)).toEqual([
      putEvents,
      { Effect: "Allow", Action: ["s3:PutObject", "s3:AbortMultipartUpload"], Resource: `${bucket}/*` },
      writeOnce,
      { Effect: "Deny", Action: ["s3:PutObject"], Resource: `${bucket}/*/checks/*` },
      { ...list, Condition: { StringLike: { "s3:prefix": "*" } } },
      { ...decrypt, Action: ["kms:GenerateDataKey", "kms:Decrypt"] },
    ])
  })

  it("has a command to restore any of its databases", () => {
    expect(filled(whole.outputs.Restoremain?.Value)).toContain("--task-definition Pgstow-restore-main ")
    expect(filled(whole.outputs.Restoremain?.Value)).toContain('"--database","DATABASE"')
  })
})

describe("the tags", () => {
  it("are on everything that has any, and on running tasks through their definitions", () => {
    const tagged = synthesize({ databases: [orders], tags: { team: "shop" } })
    for (const type of [
      "AWS::S3::Bucket",
      "AWS::ECS::TaskDefinition",
      "AWS::Lambda::Function",
      "AWS::KMS::Key",
    ])
      tagged.template.allResourcesProperties(type, {
        Tags: Match.arrayWith([{ Key: "team", Value: "shop" }]),
      })
  })
})

describe("a database of the same app", () => {
  it("lets the tasks in as it lets in anything that connects", () => {
    const app = new App()
    const stack = new Stack(app, "Shop")
    const vpc = new Vpc(stack, "Vpc")
    const server = new SecurityGroup(stack, "Server", { vpc })
    const backup = new PostgresBackup(stack, "Backup", {
      image: ContainerImage.fromRegistry("pgstow:test"),
      databases: [
        { name: "orders", connection: { urlSecret: Secret.fromSecretNameV2(stack, "Secret", "orders") } },
      ],
      network: { vpc, subnetIds: vpc.privateSubnets.map(({ subnetId }) => subnetId) },
    })
    server.connections.allowFrom(backup, Port.tcp(5432))
    Template.fromStack(stack).hasResourceProperties("AWS::EC2::SecurityGroupIngress", {
      FromPort: 5432,
      SourceSecurityGroupId: { "Fn::GetAtt": [Match.stringLikeRegexp("BackupNetworkTasks"), "GroupId"] },
    })
  })
})

describe("two of them in one stack, and one of the same name in another region", () => {
  it("have outputs and dashboards of their own", () => {
    const app = new App()
    const stack = new Stack(app, "Both")
    const urlSecret = Secret.fromSecretNameV2(stack, "Secret", "pgstow/orders")
    for (const name of ["first", "second"])
      new PostgresBackup(stack, name, {
        name,
        image: ContainerImage.fromRegistry("pgstow:test"),
        databases: [{ name: "orders", connection: { urlSecret } }],
      })
    const template = Template.fromStack(stack)
    expect(Object.keys(template.findOutputs("*"))).toEqual(
      expect.arrayContaining(["Place", "Restoreorders", "secondPlace", "secondRestoreorders"]),
    )
    template.hasResourceProperties("AWS::CloudWatch::Dashboard", {
      DashboardName: { "Fn::Join": ["", ["first-", { Ref: "AWS::Region" }]] },
    })
  })
})

describe("cdk-nag", () => {
  it("finds nothing but what is accepted, each with its reason, and nothing of that is outdated", () => {
    const accepted = acceptedFindings.map(({ rule, construct }) => `${rule} ${construct}`)
    const found = plain.violations.map(({ rule, construct }) => {
      const resourceRule = rule
        // A nested stack has the bucket's ARN by a parameter.
        .replace(/<referenceto\w+Bucket[0-9A-F]{8}Arn>/, "<BackupStorageBucket.Arn>")
        .replaceAll(/[0-9A-F]{8}(?=[.>])/g, "")
      return `${resourceRule} ${construct.replace("Pgstow/Backup/", "")}`
    })
    expect([...new Set(found)].sort()).toEqual([...accepted].sort())
  })
})

/** The logical ids of all roles. */
function roles({ resources }: Synthesized): string[] {
  return Object.keys(resources).filter((id) => resources[id]?.Type === "AWS::IAM::Role")
}

function actions(synthesized: Synthesized, role: string): string[] {
  return allowed(synthesized, new RegExp(`^${role}$`)).flatMap(({ Action }) => Action)
}

describe("drills", () => {
  const messagesOf = (settings: object) => synthesize(settings).messages.join("\n")

  it("there are none by an image of somebody's own without servers, and synth says so", () => {
    const made = synthesize({ databases: [orders], drillImage: undefined })
    expect(made.messages.join()).toContain("nothing is drilled: image is one that is there already")
    expect(JSON.stringify(made.resources)).not.toContain("drill-orders")
    expect(messagesOf({ databases: [{ ...orders, drill: false }], drillImage: undefined })).not.toContain(
      "drilled",
    )
  })

  it("synth says where backups go before it could be noticed that no drill is good any more", () => {
    const short = { ...orders, retention: { keepDays: 3 } }
    expect(messagesOf({ databases: [short] })).toContain(
      "the retention of orders keeps those for some 3 days",
    )
    expect(messagesOf({ databases: [orders] })).not.toContain("findings of drills")
  })

  it("of a whole server may take any of its databases, as the function says that looks which is next", () => {
    const made = synthesize({ databases: [{ ...orders, name: "main", all: true }] })
    expect(allowed(made, /drillmainTaskRole/)).toEqual(
      expect.arrayContaining([read("*"), { ...putChecks, Resource: `${bucket}/*/checks/*` }]),
    )
    expect(allowed(made, /startdrillrole/)).toEqual(
      expect.arrayContaining([list, read("*/manifest.json"), decrypt]),
    )
  })
})

describe("a staging copy", () => {
  const copyBy = (runFile: string) => () =>
    synthesize({
      databases: [{ ...orders, staging: { connection: orders.connection, into: "staging", runFile } }],
    })

  it("is refused where the file that masks it can't be read, or holds nothing", () => {
    expect(copyBy("test/fixtures/there-is-none.sql")).toThrow(
      "staging.runFile of orders, test/fixtures/there-is-none.sql, can't be read",
    )
    expect(copyBy("/dev/null")).toThrow("staging.runFile of orders, /dev/null, is empty")
  })

  it("is refused in another app too where the SQL that masks it is empty", () => {
    const stack = new Stack(new App(), "Shop")
    const connection = { urlSecret: Secret.fromSecretNameV2(stack, "Secret", "orders") }
    const staging = { connection, into: "staging", sql: "\n" }
    const make = () =>
      new PostgresBackup(stack, "Backup", {
        image: ContainerImage.fromRegistry("pgstow:test"),
        databases: [{ name: "orders", connection, staging }],
      })
    expect(make).toThrow("Shop/Backup: databases[0].staging.sql is empty")
  })
})
