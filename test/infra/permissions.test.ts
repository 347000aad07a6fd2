import { readFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "vitest"
import { type Account, accountId, openAccount, openTemplate, type Request, region } from "./account.ts"
import { keyPolicy, openAdopted } from "./adopted.ts"
import { everything } from "./everything.ts"
import { synthesize } from "./synthesize.ts"

/** Who may do what in a real account, computed from the policies of the template by a simulation of IAM. */

const settings = {
  databases: [
    {
      name: "orders",
      connection: { urlSecret: "pgstow/orders" },
      staging: { connection: { urlSecret: "pgstow/staging" }, into: "orders_staging" },
    },
    { name: "shop", connection: { urlSecret: "pgstow/shop" } },
  ],
}
const image = `${accountId}.dkr.ecr.${region}.amazonaws.com/team/pgstow`

let account: Account
let adopted: Account
let rich: Account

beforeAll(() => {
  account = openAccount(synthesize(settings))
  rich = openAccount(synthesize({ ...everything, image: `${image}:1` }))
  adopted = openAdopted(settings)
}, 300_000)

/** Both kinds of bucket, key and secret with the private key. */
const stacks: readonly (readonly [string, () => Account])[] = [
  ["a stack with a bucket of its own", () => account],
  ["a stack that took over what an earlier one left", () => adopted],
]

const id = "20260102T030000Z-k3v9x2ab"
const viaS3 = { "kms:ViaService": `s3.${region}.amazonaws.com` }
const part = { "s3:ObjectCreationOperation": "false" }
const blind = { "s3:ObjectCreationOperation": "true" }
const onlyNew = { "s3:ObjectCreationOperation": "true", "s3:if-none-match": "*" }

type Wanted = Omit<Request, "by">

// As Account.named fills them in.
const bucket = "<StorageBucket.Arn>"
const key = "<StorageKey.Arn>"
const privateKey = "<IdentitySecret>"
const put = (name: string, context: Record<string, string>): Wanted => ({
  action: "s3:PutObject",
  on: `${bucket}/${name}`,
  context,
})
const useKey = (action: string): Wanted => ({ action, on: key, context: viaS3 })
const store = (database: string) => [
  put(`${database}/${id}/main.dump.zst.age`, part),
  put(`${database}/${id}/main.dump.zst.age`, onlyNew),
  put(`${database}/${id}/manifest.json`, onlyNew),
  useKey("kms:GenerateDataKey"),
  useKey("kms:Decrypt"),
]
const read = (name: string) => [
  { action: "s3:GetObject", on: `${bucket}/orders/${id}/${name}` },
  useKey("kms:Decrypt"),
]
const secret = (name: string) => `arn:aws:secretsmanager:${region}:${accountId}:secret:${name}-AbCdEf`
const definition = (family: string) => `arn:aws:ecs:${region}:${accountId}:task-definition/Pgstow-${family}:7`
const inCluster = () => ({ "ecs:cluster": account.arn("AWS::ECS::Cluster") })

/** What there is to do, each with all requests that it takes. */
const deeds: Readonly<Record<string, () => readonly Wanted[]>> = {
  "store a backup of `orders`": () => store("orders"),
  "… of another database": () => store("shop"),
  "replace what is stored": () => [put(`orders/${id}/main.dump.zst.age`, blind)],
  "add a finding": () => [
    put(`orders/${id}/checks/20260102T040000Z-verified-k3v9x2ab.json`, onlyNew),
    useKey("kms:GenerateDataKey"),
  ],
  "see what there is": () => [
    { action: "s3:ListBucket", on: bucket, context: { "s3:prefix": "" } },
    ...read("manifest.json"),
  ],
  "read a backup": () => read("main.dump.zst.age"),
  "remove a backup": () => [{ action: "s3:DeleteObject", on: `${bucket}/orders/${id}/manifest.json` }],
  "read the private key": () => [{ action: "secretsmanager:GetSecretValue", on: privateKey }],
  "read the password": () => [{ action: "secretsmanager:GetSecretValue", on: secret("pgstow/orders") }],
  "start a backup": () => [
    { action: "ecs:RunTask", on: definition("backup-orders"), context: inCluster() },
    ...[/backuporders.*TaskRole/, /backuporders.*ExecutionRole/].map((role) => ({
      action: "iam:PassRole",
      on: account.arn("AWS::IAM::Role", role),
      context: { "iam:PassedToService": "ecs-tasks.amazonaws.com" },
    })),
  ],
  "start a drill": () => [
    { action: "ecs:RunTask", on: definition("drill-orders"), context: inCluster() },
    ...[/drillorders.*TaskRole/, /drillorders.*ExecutionRole/].map((role) => ({
      action: "iam:PassRole",
      on: account.arn("AWS::IAM::Role", role),
      context: { "iam:PassedToService": "ecs-tasks.amazonaws.com" },
    })),
  ],
  "start a restore": () => [
    { action: "ecs:RunTask", on: definition("restore-orders"), context: inCluster() },
  ],
}

const roles: Readonly<Record<string, RegExp>> = {
  "backup task of `orders`": /backuporders.*TaskRole/,
  "restore task": /restoreorders.*TaskRole/,
  "drill task of `orders`": /drillorders.*TaskRole/,
  "task that refreshes the staging copy of `orders`": /refreshorders.*TaskRole/,
  "verification task": /verifyTaskRole/,
  "verification function": /verifybackuprole/,
  "cleanup function": /cleanuprole/,
  "measuring function": /measurerole/,
  "function that writes the report": /writereportrole/,
  "starting function": /startbackuprole/,
  "function that starts drills": /startdrillrole/,
  "function that starts refreshes": /startrefreshrole/,
  "notifying function": /notifyrole/,
  "function that hears of stopped tasks": /taskstoppedrole/,
  "function that stops hung tasks": /stophungrole/,
  "function that makes the key": /makekeyrole/,
  "ECS, when it starts a backup of `orders`": /backuporders.*ExecutionRole/,
}

/** Whether a role may, in an account that fills in what is asked for by name. */
function may(where: Account, by: string | RegExp, { on, ...request }: Wanted): Promise<boolean> {
  return where.allows({ by, on: where.named(on), ...request })
}

async function all(where: Account, by: RegExp, wanted: readonly Wanted[]): Promise<boolean> {
  const answers = await Promise.all(wanted.map((request) => may(where, by, request)))
  return answers.every((allowed) => allowed)
}

describe.each(stacks)("in %s", (_, where) => {
  it("the README's table of who may do what is what the policies say", async () => {
    const names = Object.keys(deeds)
    const rows = await Promise.all(
      Object.entries(roles).map(async ([role, pattern]) => {
        const answers = await Promise.all(
          Object.values(deeds).map((wanted) => all(where(), pattern, wanted())),
        )
        return [role, ...answers.map((yes) => (yes ? "yes" : "–"))]
      }),
    )
    const table = [["role", ...names], ["---", ...names.map(() => "---")], ...rows]
    const lines = table.map((row) => `| ${row.join(" | ")} |`).join("\n")
    const readme = readFileSync(join(import.meta.dirname, "../../infra/README.md"), "utf8")
    expect(/^\| role \|.*(?:\n\|.*)*/m.exec(readme)?.[0]).toBe(lines)
  })

  it("nobody may destroy versions, lift locks, or change what the bucket, its key or the identity are", async () => {
    const never: readonly Wanted[] = [
      { action: "s3:DeleteObjectVersion", on: `${bucket}/orders/${id}/manifest.json` },
      { action: "s3:BypassGovernanceRetention", on: `${bucket}/orders/${id}/manifest.json` },
      { action: "s3:PutObjectRetention", on: `${bucket}/orders/${id}/manifest.json` },
      { action: "s3:PutLifecycleConfiguration", on: bucket },
      { action: "s3:PutBucketPolicy", on: bucket },
      { action: "s3:PutReplicationConfiguration", on: bucket },
      { action: "s3:DeleteBucket", on: bucket },
      { action: "kms:ScheduleKeyDeletion", on: key },
      { action: "kms:PutKeyPolicy", on: key },
      { action: "secretsmanager:DeleteSecret", on: privateKey },
    ]
    for (const [role, pattern] of Object.entries(roles))
      for (const request of never)
        expect([role, request.action, await may(where(), pattern, request)]).toEqual([
          role,
          request.action,
          false,
        ])
  })

  it("the report is written by one function, linked to by another, and neither may do more in its name", async () => {
    const report = { on: `${bucket}/report.html`, context: blind }
    const writers: string[] = []
    const readers: string[] = []
    for (const [role, pattern] of Object.entries(roles)) {
      if (await may(where(), pattern, { action: "s3:PutObject", ...report })) writers.push(role)
      if (await may(where(), pattern, { action: "s3:GetObject", on: report.on })) readers.push(role)
    }
    expect(writers).toEqual(["function that writes the report"])
    // Who reads every backup reads this, too.
    expect(readers).toEqual([
      "restore task",
      "verification task",
      "verification function",
      "notifying function",
    ])
    expect(await may(where(), /notifyrole/, useKey("kms:Decrypt"))).toBe(true)
    expect(await may(where(), /writereportrole/, useKey("kms:GenerateDataKey"))).toBe(true)
    for (const name of [`orders/${id}/manifest.json`, `orders/${id}/main.dump.zst.age`, "report.html/x"])
      expect(await may(where(), /writereportrole/, put(name, onlyNew))).toBe(false)
  })

  it("a drill reads and judges the backups of its own database only, and stores nothing else", async () => {
    const drill = /drillorders.*TaskRole/
    const get = (name: string) => may(where(), drill, { action: "s3:GetObject", on: `${bucket}/${name}` })
    expect(await get(`orders/${id}/main.dump.zst.age`)).toBe(true)
    expect(await get(`shop/${id}/main.dump.zst.age`)).toBe(false)
    const finding = (database: string) => `${database}/${id}/checks/20260102T040000Z-drilled-k3v9x2ab.json`
    expect(await may(where(), drill, put(finding("orders"), onlyNew))).toBe(true)
    expect(await may(where(), drill, put(finding("orders"), blind))).toBe(false)
    expect(await may(where(), drill, put(finding("shop"), onlyNew))).toBe(false)
    expect(await may(where(), drill, put(`orders/${id}/manifest.json`, onlyNew))).toBe(false)
  })

  it("the refresh of a staging copy reads the backups of its own database, and its start can start nothing else", async () => {
    const refresh = /refreshorders.*TaskRole/
    const get = (name: string) => may(where(), refresh, { action: "s3:GetObject", on: `${bucket}/${name}` })
    expect(await get(`orders/${id}/main.dump.zst.age`)).toBe(true)
    expect(await get(`shop/${id}/main.dump.zst.age`)).toBe(false)
    const run = (family: string) =>
      may(where(), /startrefreshrole/, {
        action: "ecs:RunTask",
        on: definition(family),
        context: inCluster(),
      })
    expect(await run("refresh-orders")).toBe(true)
    for (const family of ["backup-orders", "drill-orders", "restore-orders"])
      expect([family, await run(family)]).toEqual([family, false])
  })

  describe("a backup", () => {
    const backup = /backuporders.*TaskRole/

    it("may learn what became of a write whose answer was lost, of its own database only", async () => {
      const list = (prefix: string) =>
        may(where(), backup, { action: "s3:ListBucket", on: bucket, context: { "s3:prefix": prefix } })
      expect(await list(`orders/${id}/manifest.json`)).toBe(true)
      for (const prefix of [`shop/${id}/manifest.json`, "orders-2/", ""])
        expect(await list(prefix)).toBe(false)
    })

    it("can't claim that what it stored was verified", async () => {
      const finding = `orders/${id}/checks/20260102T040000Z-verified-k3v9x2ab.json`
      for (const context of [onlyNew, blind, part])
        expect(await may(where(), backup, put(finding, context))).toBe(false)
    })

    it("reaches the bucket by TLS only, and the key through S3 only", async () => {
      const insecure = { ...part, "aws:SecureTransport": "false" }
      expect(await may(where(), backup, put(`orders/${id}/main`, insecure))).toBe(false)
      expect(await may(where(), backup, { ...useKey("kms:Decrypt"), context: {} })).toBe(false)
    })
  })
})

it("a grant that is missing would be noticed", async () => {
  const synthesized = synthesize(settings)
  const without = (id: RegExp) =>
    openAccount({
      ...synthesized,
      resources: Object.fromEntries(
        Object.entries(synthesized.resources).filter(
          ([name, { Type }]) => Type !== "AWS::IAM::Policy" || !id.test(name),
        ),
      ),
    })
  const by = roles["backup task of `orders`"] ?? ""
  const upload = put(`orders/${id}/main`, part)
  expect(await may(account, by, upload)).toBe(true)
  expect(await may(without(/backuporders.*TaskRole/), by, upload)).toBe(false)
  expect(await may(without(/backupshop.*TaskRole/), by, upload)).toBe(true)
})

describe("an existing bucket", () => {
  const backup = /backuporders.*TaskRole/
  const insecure = { "aws:SecureTransport": "false" }

  it("takes what does not come by TLS, where it has no policy", async () => {
    const open = openAdopted(settings, { bucket: { Version: "2012-10-17", Statement: [] } })
    const upload = put(`orders/${id}/main`, { ...part, ...insecure })
    expect(await may(open, backup, upload)).toBe(true)
    expect(await may(adopted, backup, upload)).toBe(false)
    const oldTls = put(`orders/${id}/main`, { ...part, "s3:TlsVersion": "1.1" })
    expect(await may(open, backup, oldTls)).toBe(true)
    expect(await may(adopted, backup, oldTls)).toBe(false)
  })

  it("is of no use under a key whose policy does not leave permissions to IAM", async () => {
    const closed = openAdopted(settings, { key: { Version: "2012-10-17", Statement: [] } })
    expect(await may(closed, backup, useKey("kms:GenerateDataKey"))).toBe(false)
    expect(await may(adopted, backup, useKey("kms:GenerateDataKey"))).toBe(true)
  })
})

describe("the topic", () => {
  const publish = (by: string | RegExp, context: Record<string, string> = {}) =>
    account.allows({ by, action: "sns:Publish", on: account.arn("AWS::SNS::Topic"), context })

  it("takes what the account's own alarms and the notifying function say, and no other account's", async () => {
    const cloudWatch = "cloudwatch.amazonaws.com"
    expect(await publish(cloudWatch, { "aws:SourceAccount": accountId })).toBe(true)
    expect(await publish(cloudWatch, { "aws:SourceAccount": "444455556666" })).toBe(false)
    expect(await publish(cloudWatch)).toBe(false)
    expect(await publish(/notifyrole/)).toBe(true)
    expect(await publish(/backuporders.*TaskRole/)).toBe(false)
  })
})

describe("the second bucket", () => {
  const { copyTo } = everything.bucket
  const by = /CopyRole/
  const object = () => `${rich.arn("AWS::S3::Bucket")}/orders/${id}/manifest.json`

  it("gets copies of everything, with what S3 wants to know of each object", async () => {
    const reads = [
      "GetObjectVersionForReplication",
      "GetObjectVersionTagging",
      "GetObjectRetention",
      "GetObjectLegalHold",
    ]
    for (const action of reads)
      expect([action, await rich.allows({ by, action: `s3:${action}`, on: object() })]).toEqual([
        action,
        true,
      ])
    const key = { action: "kms:Decrypt", on: rich.arn("AWS::KMS::Key"), context: viaS3 }
    expect(await rich.allows({ by, ...key })).toBe(true)
    expect(await rich.allows({ by, action: "s3:GetObject", on: object() })).toBe(false)
    expect(await rich.allows({ by, action: "s3:DeleteObject", on: object() })).toBe(false)
  })

  it("as the template makes it, in another account, lets that role copy and nobody else", async () => {
    const second = openTemplate("infra/copy-bucket.json", copyTo.account, {
      SourceAccount: accountId,
      SourceRegion: region,
      SourceStack: "Pgstow",
    })
    const copied = `${second.arn("AWS::S3::Bucket")}/orders/${id}/manifest.json`
    const first = openAccount(
      synthesize({
        ...everything,
        bucket: {
          copyTo: {
            bucketArn: second.arn("AWS::S3::Bucket"),
            kmsKeyArn: second.arn("AWS::KMS::Key"),
            account: copyTo.account,
          },
        },
      }),
      [second],
    )
    const may = (who: RegExp, action: string) => first.allows({ by: who, action, on: copied })
    for (const action of [
      "ReplicateObject",
      "ReplicateDelete",
      "ReplicateTags",
      "ObjectOwnerOverrideToBucketOwner",
    ])
      expect([action, await may(by, `s3:${action}`)]).toEqual([action, true])
    const seal = { action: "kms:Encrypt", on: second.arn("AWS::KMS::Key"), context: viaS3 }
    expect(await first.allows({ by, ...seal })).toBe(true)
    for (const who of [by, /cleanuprole/, /backuporders.*TaskRole/])
      for (const action of ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"])
        expect([action, await may(who, action)]).toEqual([action, false])
    expect(await may(/backuporders.*TaskRole/, "s3:ReplicateObject")).toBe(false)
  })

  it("of a bucket that was there already gets copies by the template's role, which may do what the stack's own may", async () => {
    const existing = "arn:aws:s3:::backups"
    const kmsKeyArn = `arn:aws:kms:${region}:${accountId}:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f`
    const second = openTemplate("infra/copy-bucket.json", copyTo.account, {
      SourceAccount: accountId,
      SourceRegion: region,
      SourceStack: "Pgstow",
    })
    const theirs = {
      id: accountId,
      policyOf: (arn: string) => (arn === kmsKeyArn ? keyPolicy : undefined),
    }
    const role = openTemplate(
      "infra/copy-existing.json",
      accountId,
      {
        Bucket: "backups",
        KmsKeyArn: kmsKeyArn,
        CopyBucketArn: second.arn("AWS::S3::Bucket"),
        CopyKmsKeyArn: second.arn("AWS::KMS::Key"),
        CopyRegion: region,
        SourceStack: "Pgstow",
      },
      [second, theirs],
    )
    const object = `orders/${id}/manifest.json`
    const copied = `${second.arn("AWS::S3::Bucket")}/${object}`
    const may = (action: string, on: string, context: Record<string, string> = {}) =>
      role.allows({ by: /Role/, action, on, context })
    for (const action of ["GetReplicationConfiguration", "ListBucket"])
      expect([action, await may(`s3:${action}`, existing)]).toEqual([action, true])
    for (const action of [
      "GetObjectVersionForReplication",
      "GetObjectVersionTagging",
      "GetObjectRetention",
      "GetObjectLegalHold",
    ])
      expect([action, await may(`s3:${action}`, `${existing}/${object}`)]).toEqual([action, true])
    for (const action of ["ReplicateObject", "ReplicateDelete", "ReplicateTags"])
      expect([action, await may(`s3:${action}`, copied)]).toEqual([action, true])
    expect(await may("kms:Decrypt", kmsKeyArn, viaS3)).toBe(true)
    expect(await may("kms:Encrypt", second.arn("AWS::KMS::Key"), viaS3)).toBe(true)
    expect(await may("kms:Decrypt", kmsKeyArn)).toBe(false)
    for (const on of [`${existing}/${object}`, copied])
      for (const action of ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"])
        expect([action, await may(action, on)]).toEqual([action, false])
  })

  it("that could not be copied to is heard of: S3 tells the topic, and that the queue", async () => {
    const topic = rich.arn("AWS::SNS::Topic", /Failed/)
    const publish = (context: Record<string, string>) =>
      rich.allows({ by: "s3.amazonaws.com", action: "sns:Publish", on: topic, context })
    const send = (from: string) =>
      rich.allows({
        by: "sns.amazonaws.com",
        action: "sqs:SendMessage",
        on: rich.arn("AWS::SQS::Queue", /Failures/),
        context: { "aws:SourceArn": from },
      })
    expect(await publish({ "aws:SourceAccount": accountId })).toBe(true)
    expect(await publish({ "aws:SourceAccount": "444455556666" })).toBe(false)
    expect(await send(topic)).toBe(true)
    expect(await send(rich.arn("AWS::SNS::Topic", /BackupTopic/))).toBe(false)
  })
})

describe("a secret under a key of one's own, in another account", () => {
  const secretArn = "arn:aws:secretsmanager:eu-central-1:444455556666:secret:orders-AbCdEf"
  const kmsKeyArn = "arn:aws:kms:eu-central-1:444455556666:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"

  it("may be read, and opened through Secrets Manager only, by ECS alone", async () => {
    const allowsAll = (actions: readonly string[], on: string) => ({
      Version: "2012-10-17",
      Statement: [{ Effect: "Allow", Principal: "*", Action: actions, Resource: on }],
    })
    const theirs: Pick<Account, "id" | "policyOf"> = {
      id: "444455556666",
      policyOf: (arn) =>
        arn === secretArn
          ? allowsAll(["secretsmanager:GetSecretValue"], secretArn)
          : arn === kmsKeyArn
            ? allowsAll(["kms:Decrypt"], kmsKeyArn)
            : undefined,
    }
    const ours = openAccount(
      synthesize({ databases: [{ name: "orders", connection: { urlSecret: secretArn, kmsKeyArn } }] }),
      [theirs],
    )
    const read = { action: "secretsmanager:GetSecretValue", on: secretArn }
    const decrypt = {
      action: "kms:Decrypt",
      on: kmsKeyArn,
      context: { "kms:ViaService": `secretsmanager.${region}.amazonaws.com` },
    }
    for (const [by, expected] of [
      [/backuporders.*ExecutionRole/, true],
      [/backuporders.*TaskRole/, false],
    ] as const)
      for (const request of [read, decrypt])
        expect([request.action, await ours.allows({ by, ...request })]).toEqual([request.action, expected])
    expect(await ours.allows({ by: /backuporders.*ExecutionRole/, ...decrypt, context: {} })).toBe(false)
  })
})

describe("the certificate of a server's authority, in a secret under a key of one's own", () => {
  const kmsKeyArn = `arn:aws:kms:${region}:${accountId}:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f`
  const ca = { caSecret: "pgstow/ca", caKmsKeyArn: kmsKeyArn }
  const rds = { host: "crm.example.com", database: "crm" }

  it.each([
    ["a URL", { urlSecret: "pgstow/orders", ...ca }],
    ["a secret of RDS", { rdsSecret: "pgstow/orders", ...rds, ...ca }],
    ["RDS IAM authentication", { iamUser: "pgstow", resourceId: "db-ABC123", ...rds, ...ca }],
  ])("is opened by ECS, beside %s", async (_, connection) => {
    const theirs: Pick<Account, "id" | "policyOf"> = {
      id: accountId,
      policyOf: (arn) => (arn === kmsKeyArn ? keyPolicy : undefined),
    }
    const ours = openAccount(synthesize({ databases: [{ name: "orders", connection }] }), [theirs])
    const decrypt = {
      action: "kms:Decrypt",
      on: kmsKeyArn,
      context: { "kms:ViaService": `secretsmanager.${region}.amazonaws.com` },
    }
    const wanted = [{ action: "secretsmanager:GetSecretValue", on: secret("pgstow/ca") }, decrypt]
    for (const task of ["backuporders", "restoreorders"])
      for (const request of wanted) {
        const may = (role: string) => ours.allows({ by: new RegExp(`${task}.*${role}`), ...request })
        expect([task, request.action, await may("ExecutionRole")]).toEqual([task, request.action, true])
        expect([task, request.action, await may("TaskRole")]).toEqual([task, request.action, false])
      }
    expect(await ours.allows({ by: /backuporders.*ExecutionRole/, ...decrypt, context: {} })).toBe(false)
  })
})

describe("an image in ECR", () => {
  it("may be pulled by ECS for every kind of task", async () => {
    for (const by of [/backuporders.*ExecutionRole/, /restoreorders.*ExecutionRole/, /verifyExecutionRole/]) {
      for (const action of [
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
        "ecr:BatchCheckLayerAvailability",
      ])
        expect([
          action,
          await rich.allows({ by, action, on: `arn:aws:ecr:${region}:${accountId}:repository/team/pgstow` }),
        ]).toEqual([action, true])
      expect(await rich.allows({ by, action: "ecr:GetAuthorizationToken", on: "*" })).toBe(true)
    }
  })
})
