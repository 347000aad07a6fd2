import { chmod, mkdtemp, readdir, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import {
  PutBucketLifecycleConfigurationCommand,
  PutBucketVersioningCommand,
  PutObjectLockConfigurationCommand,
  S3Client,
} from "@aws-sdk/client-s3"
import { expect, onTestFinished, test } from "vitest"
import type { Finding } from "../../task/doctor/finding.ts"
import { examineRoom, roomFindings } from "../../task/doctor/room.ts"
import { examineStorage, type StorageUse } from "../../task/doctor/storage.ts"
import { openStorage } from "../../task/storage/open-storage.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { testContext } from "../support/context.ts"
import { notRun } from "../support/not-run.ts"
import { type OpenOptions, type S3World, startS3World } from "../support/s3-world.ts"
import { keysOf } from "../support/storage-contents.ts"

const use: StorageUse = { verify: true, cleanup: true }

function examine(storage: Storage, how: StorageUse = use): Promise<Finding[]> {
  return examineStorage(storage, "orders", how, testContext())
}

const brief = (findings: readonly Finding[]) => findings.map(({ check, severity }) => `${severity} ${check}`)

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-doctor-"))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A bucket that keeps older versions, for two weeks. */
async function makeBucket(): Promise<
  Pick<S3World, "endpoint" | "storage"> & {
    readonly open: (options?: OpenOptions) => Storage
    readonly client: S3Client
  }
> {
  const world = await startS3World()
  onTestFinished(() => world[Symbol.asyncDispose]())
  const { url: endpoint, accessKeyId, secretAccessKey } = world.endpoint
  const credentials = { accessKeyId, secretAccessKey }
  const client = new S3Client({ region: "us-east-1", endpoint, credentials, forcePathStyle: true })
  onTestFinished(() => client.destroy())
  world.endpoint.keepVersions("backups")
  await client.send(lifecycle(removesOldVersions))
  const { endpoint: service, storage } = world
  return { endpoint: service, storage, open: (options) => world.open(options), client }
}

const removesOldVersions = {
  ID: "old",
  Status: "Enabled" as const,
  Filter: { Prefix: "" },
  NoncurrentVersionExpiration: { NoncurrentDays: 14 },
}

function lifecycle(
  ...Rules: NonNullable<
    ConstructorParameters<typeof PutBucketLifecycleConfigurationCommand>[0]["LifecycleConfiguration"]
  >["Rules"] &
    object
) {
  return new PutBucketLifecycleConfigurationCommand({
    Bucket: "backups",
    LifecycleConfiguration: { Rules },
  })
}

test("a folder that can do everything is silent, and has nothing left in it", async () => {
  const folder = await makeFolder()
  const storage = openStorage(`file://${folder}/backups`, { env: {} })
  expect(await examine(storage)).toEqual([])
  expect(await readdir(folder, { recursive: true })).toEqual(["backups"])
})

test("a bucket that can do everything is silent, and has nothing left in it", async () => {
  const { storage, endpoint } = await makeBucket()
  expect(await examine(storage)).toEqual([])
  expect(await keysOf(storage)).toEqual([])
  expect(endpoint.openUploads()).toEqual([])
})

const asRoot = notRun(process.getuid?.() !== 0, "root may write to every folder")

test.skipIf(asRoot)(`a folder that may not be written to${asRoot}`, async () => {
  const folder = await makeFolder()
  await chmod(folder, 0o500)
  const storage = openStorage(`file://${folder}/backups`, { env: {} })
  const [finding, ...others] = await examine(storage)
  expect(others).toEqual([])
  expect(finding).toMatchObject({ check: "storage.write", severity: "error" })
  await chmod(folder, 0o700)
  expect(await examine(storage)).toEqual([])
})

test("a file where the folder should be", async () => {
  const folder = await makeFolder()
  const storage = openStorage(`file://${import.meta.filename}/backups`, { env: {} })
  expect(await examine(storage)).toMatchObject([
    { check: "storage.write", severity: "error", fix: "Give a folder." },
  ])
  expect(await examine(openStorage(folder, { env: {} }))).toEqual([])
})

test("a bucket that is not there, and one that is not reached", async () => {
  const { open, endpoint } = await makeBucket()
  expect(brief(await examine(open({ bucket: "nowhere/root" })))).toEqual(["error storage.write"])
  await endpoint.close()
  expect(brief(await examine(open({ timeoutSeconds: 1 })))).toEqual(["error storage.write"])
})

test.for([
  ["PutObject", "error storage.write", "error storage.write", '"Action":["s3:PutObject",'],
  ["CreateMultipartUpload", "error storage.write", "error storage.write", '"Action":["s3:PutObject",'],
  ["CompleteMultipartUpload", "error storage.parts", "error storage.parts", '"Action":["s3:PutObject"]'],
  ["GetObject", "error storage.read", "notice storage.read", '"Resource":"arn:aws:s3:::backups/root/*"'],
  ["ListObjectsV2", "warning storage.list", "notice storage.list", '"Resource":"arn:aws:s3:::backups"'],
  [
    "ListMultipartUploads",
    "error storage.uploads",
    "notice storage.uploads",
    "s3:ListBucketMultipartUploads",
  ],
] as const)("a user who may not %s", async ([operation, strict, lax, statement]) => {
  const { storage, endpoint } = await makeBucket()
  const denied = { status: 403, code: "AccessDenied", message: "Access Denied" }
  endpoint.inject((request) => (request.operation === operation ? denied : undefined))
  const [finding, ...others] = await examine(storage)
  expect(others).toEqual([])
  expect(`${finding?.severity} ${finding?.check}`).toBe(strict)
  expect(finding?.fix).toContain(statement)
  expect(brief(await examine(storage, { verify: false, cleanup: false }))).toEqual([lax])
  endpoint.inject()
  expect(await examine(storage)).toEqual([])
})

test("a user who may not remove what was stored", async () => {
  const { storage, endpoint } = await makeBucket()
  const denied = { status: 403, code: "AccessDenied", message: "Access Denied" }
  endpoint.inject(({ operation }) => (operation.startsWith("DeleteObject") ? denied : undefined))
  expect(brief(await examine(storage))).toEqual(["error storage.remove"])
  // What the first one has left is no hindrance to the next.
  expect(brief(await examine(storage, { verify: true, cleanup: false }))).toEqual(["notice storage.remove"])
  endpoint.inject()
  expect(await examine(storage)).toEqual([])
})

test("a service that does not keep to If-None-Match, and one that takes few parts", async () => {
  const { open, endpoint } = await makeBucket()
  endpoint.rules.add("ignores-if-none-match")
  expect(brief(await examine(open()))).toEqual(["notice storage.conditions"])
  endpoint.rules.delete("ignores-if-none-match")
  endpoint.rules.add("at-most-100-parts")
  const [finding] = await examine(open())
  expect(finding).toMatchObject({ check: "storage.max-parts", severity: "warning", fix: "max-parts=100" })
  expect(await examine(open({ parameters: `&${finding?.fix}` }))).toEqual([])
})

test("clocks that differ", async () => {
  const { open, endpoint } = await makeBucket()
  endpoint.setAhead(-10)
  const [finding] = await examine(open())
  expect(finding).toMatchObject({
    check: "storage.clock",
    severity: "warning",
    fix: "timedatectl set-ntp true",
  })
  expect(finding?.what).toContain("this machine's clock is 10 min 0 s ahead of that of s3://backups/root")
  endpoint.setAhead(0)
  expect(await examine(open())).toEqual([])
})

test("a lifecycle rule that would remove backups, and none that is for other objects", async () => {
  const { storage, client } = await makeBucket()
  const rule = { ID: "tidy", Status: "Enabled" as const, Expiration: { Days: 30 } }
  const harmless = [
    { ...rule, Filter: { Prefix: "logs/" } },
    { ...rule, Filter: { Prefix: "" }, Status: "Disabled" as const },
    { ...rule, Filter: { Tag: { Key: "temporary", Value: "yes" } } },
  ]
  await client.send(lifecycle(removesOldVersions, ...harmless))
  expect(await examine(storage)).toEqual([])
  for (const Prefix of ["", "root/", "root/orders/"]) {
    await client.send(lifecycle(removesOldVersions, { ...rule, Filter: { Prefix } }))
    const [finding, ...others] = await examine(storage)
    expect(others).toEqual([])
    expect(finding).toMatchObject({ check: "storage.lifecycle-expiry", severity: "warning" })
    expect(finding?.what).toBe(`the lifecycle rule "tidy" (prefix "${Prefix}") removes objects after 30 days`)
  }
})

test("a lifecycle rule that moves backups to where they can't be read at once", async () => {
  const { storage, client } = await makeBucket()
  const rule = (StorageClass: "DEEP_ARCHIVE" | "GLACIER_IR") =>
    lifecycle(removesOldVersions, {
      ID: "cold",
      Status: "Enabled",
      Filter: { Prefix: "root/" },
      Transitions: [{ Days: 90, StorageClass }],
    })
  await client.send(rule("DEEP_ARCHIVE"))
  const [finding] = await examine(storage)
  expect(finding).toMatchObject({ check: "storage.lifecycle-transition", severity: "warning" })
  await client.send(rule("GLACIER_IR"))
  expect(await examine(storage)).toEqual([])
})

test("older versions that nobody keeps, and some that nobody ever removes", async () => {
  const world = await startS3World()
  onTestFinished(() => world[Symbol.asyncDispose]())
  const { url: endpoint, accessKeyId, secretAccessKey } = world.endpoint
  const credentials = { accessKeyId, secretAccessKey }
  const client = new S3Client({ region: "us-east-1", endpoint, credentials, forcePathStyle: true })
  onTestFinished(() => client.destroy())
  const [first] = await examine(world.storage)
  expect(first).toMatchObject({
    check: "storage.versioning",
    severity: "notice",
    fix: "aws s3api put-bucket-versioning --bucket backups --versioning-configuration Status=Enabled",
  })
  // As the command does it.
  const VersioningConfiguration = { Status: "Enabled" as const }
  await client.send(new PutBucketVersioningCommand({ Bucket: "backups", VersioningConfiguration }))
  const [second, ...others] = await examine(world.storage)
  expect(others).toEqual([])
  expect(second).toMatchObject({ check: "storage.old-versions", severity: "notice" })
  const [, json = ""] = /--lifecycle-configuration '(.*)'$/.exec(second?.fix ?? "") ?? []
  // What the command is given is what the SDK takes.
  const LifecycleConfiguration = JSON.parse(json) as { Rules: [typeof removesOldVersions] }
  await client.send(new PutBucketLifecycleConfigurationCommand({ Bucket: "backups", LifecycleConfiguration }))
  expect(await examine(world.storage)).toEqual([])
})

test("a bucket with Object Lock needs no versions of its own", async () => {
  const world = await startS3World()
  onTestFinished(() => world[Symbol.asyncDispose]())
  const { url: endpoint, accessKeyId, secretAccessKey } = world.endpoint
  const credentials = { accessKeyId, secretAccessKey }
  const client = new S3Client({ region: "us-east-1", endpoint, credentials, forcePathStyle: true })
  onTestFinished(() => client.destroy())
  await client.send(
    new PutObjectLockConfigurationCommand({
      Bucket: "backups",
      ObjectLockConfiguration: {
        ObjectLockEnabled: "Enabled",
        Rule: { DefaultRetention: { Mode: "GOVERNANCE", Days: 14 } },
      },
    }),
  )
  expect(await examine(world.storage)).toEqual([])
})

test("a bucket whose rules may not be asked for is no finding", async () => {
  const { storage, endpoint } = await makeBucket()
  const denied = { status: 403, code: "AccessDenied", message: "Access Denied" }
  endpoint.inject(({ operation }) => (/^Get(Bucket|ObjectLock)/.test(operation) ? denied : undefined))
  expect(await examine(storage)).toEqual([])
})

test("a disk with less room than the last backup took", () => {
  const load = { lastStoredBytes: 950, databaseBytes: 5000 }
  expect(roomFindings("file:///b", 900, load)).toMatchObject([
    {
      check: "storage.room",
      severity: "error",
      what: "900 B are free there, and the last backup took 950 B",
    },
  ])
  expect(roomFindings("file:///b", 950, load)).toEqual([])
  expect(roomFindings("file:///b", 990, { ...load, lastStoredBytes: undefined })).toMatchObject([
    { severity: "warning", what: "990 B are free there, and the database takes up 4.9 KiB" },
  ])
})

test("a folder on the disk of the database", async () => {
  const folder = await makeFolder()
  const storage = openStorage(`file://${folder}/not/there/yet`, { env: {} })
  const load = { lastStoredBytes: 1, databaseBytes: 1, dataDirectory: folder }
  expect(await examineRoom(storage, load)).toMatchObject([
    { check: "storage.same-disk", severity: "warning" },
  ])
  expect((await stat("/proc")).dev).not.toBe((await stat(folder)).dev)
  expect(await examineRoom(storage, { ...load, dataDirectory: "/proc" })).toEqual([])
})
