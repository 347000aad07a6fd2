/**
 * The stack as `cdk deploy` puts it into an account, driven from end to end: the emulator is MiniStack, a task is
 * a process of the program as the image holds it, and the database is a real PostgreSQL.
 *
 * What the emulator does not do, and test/infra/ asserts on the template instead: what roles may not do, the
 * bucket's encryption, lock, lifecycle, copies and public access block, the read-only root and the dropped
 * capabilities of containers, processors and sizes of tasks, alarms, dead letters, e-mail. It sends no event when
 * a task stops: here the test calls the function with what ECS would have said.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, expect, it } from "vitest"
import * as z from "zod"
import { openAccount } from "../infra/account.ts"
import { allowsCall, drivenSettings, readRecording, recording, toRecording } from "../infra/recorded-calls.ts"
import { readableId, synthesize } from "../infra/synthesize.ts"
import { compareDatabases } from "../support/compare-databases.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { type Cloud, startCloud } from "./cloud.ts"

let cloud: Cloud

beforeAll(async () => {
  cloud = await startCloud()
  await fillSampleDatabase(cloud.server, "orders", { megabytes: 2 })
  await cloud.server.psql(
    "CREATE TABLE sold (id int); INSERT INTO sold SELECT generate_series(1, 1000)",
    "shop",
  )
  const { exitCode, stderr } = await cloud.deploy(drivenSettings)
  if (exitCode !== 0) throw new Error(`cdk deploy exited with ${exitCode}: ${stderr}`)
}, 900_000)
afterAll(() => cloud?.stop(), 60_000)

it("the schedule fires, the backup arrives, is verified, and people hear of both", async () => {
  const { id } = await cloud.told({ type: "Backup Succeeded", database: "shop" })
  await cloud.told({ type: "Verification Succeeded", database: "shop", id })
  expect(await keys(`shop/${id}/`)).toEqual([
    expect.stringMatching(/\/checks\/.*-verified-.*\.json$/),
    expect.stringMatching(/\/globals\.sql\.zst\.age$/),
    expect.stringMatching(/\/main\.dump\.zst\.age$/),
    expect.stringMatching(/\/manifest\.json$/),
  ])
  await cloud.aws("scheduler", "delete-schedule", "--name", "Pgstow-backup-shop")
}, 150_000)

it("a backup asked for from a laptop is followed to its end, and cleanup runs behind the verified one", async () => {
  const first = await cloud.shell("npm run --silent cloud -- backup orders")
  expect(first).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("backed up orders") as unknown })
  const { id } = await cloud.told({ type: "Verification Succeeded", database: "orders" })
  const before = cloud.toldSoFar()

  await start("orders")
  const { removed } = await cloud.told({ type: "Cleanup Succeeded", database: "orders" }, before)
  expect(removed).toEqual([id])
  expect(await keys(`orders/${id}/`)).toEqual([])
  const list = await cloud.shell("npm run --silent cloud -- list orders")
  expect(list.stdout.match(/verified/g)).toHaveLength(1)
}, 120_000)

it("the restore command of the outputs brings back the same database", async () => {
  const { Restoreorders = "" } = await cloud.outputs()
  expect((await cloud.shell(Restoreorders)).exitCode).toBe(0)
  await cloud.told({ type: "Restore Succeeded", database: "orders" })
  const { server } = cloud
  expect(await compareDatabases({ server, name: "orders" }, { server, name: "orders_restored" })).toEqual([])
}, 120_000)

it("a drill restores the newest backup into a server of its own, and people hear that it was good", async () => {
  const invoke = ["lambda", "invoke", "--function-name", "Pgstow-start-drill"]
  await cloud.aws(...invoke, "--payload", '{"database":"orders","token":"sunday"}', "/dev/null")
  const { id } = await cloud.told({ type: "Drill Succeeded", database: "orders" })
  expect(await keys(`orders/${id}/checks/`)).toContainEqual(expect.stringMatching(/-drilled-/))
  await cloud.aws("lambda", "invoke", "--function-name", "Pgstow-measure", "--payload", "{}", "/dev/null")
  const measures = (await functionLog()).join("\n")
  expect(measures).toContain("DrillAgeHours")
  expect(measures).toContain("RestoreDuration")
}, 120_000)

it("a staging copy is made, masked by the file's SQL, and people hear of it", async () => {
  const invoke = ["lambda", "invoke", "--function-name", "Pgstow-start-refresh"]
  await cloud.aws(...invoke, "--payload", '{"database":"orders","token":"sunday"}', "/dev/null")
  await cloud.told({ type: "Restore Succeeded", database: "orders", into: "orders_staging" })
  expect(await cloud.server.psql("SELECT to_regclass('public.masked')", "orders_staging")).not.toBe("")
}, 120_000)

it("the report is written beside the backups, and the next good backup's notification links to it", async () => {
  await cloud.aws(
    "lambda",
    "invoke",
    "--function-name",
    "Pgstow-write-report",
    "--payload",
    "{}",
    "/dev/null",
  )
  const before = cloud.toldSoFar()
  await start("shop")
  const { id, report = "" } = await cloud.told({ type: "Backup Succeeded", database: "shop" }, before)
  const page = await (await fetch(report)).text()
  expect(page).toMatch(/^<!doctype html>/)
  expect(page).toContain("orders")
  expect(await keys("report.html")).toEqual(["report.html"])
  await cloud.told({ type: "Verification Succeeded", database: "shop", id })
}, 120_000)

it("a restore from a laptop ends with the task's exit code", async () => {
  const good = await cloud.shell("npm run --silent cloud -- restore shop --into shop_restored")
  expect(good).toMatchObject({ exitCode: 0 })
  expect(await cloud.server.psql("SELECT count(*) FROM sold", "shop_restored")).toBe("1000")
  const none = await cloud.shell("npm run --silent cloud -- restore shop --backup 2001 --into shop_again")
  expect(none).toMatchObject({ exitCode: 8 })
}, 120_000)

it("a database that is down is a failed backup, without a manifest", async () => {
  await start("gone")
  const { error } = await cloud.told({ type: "Backup Failed", database: "gone" })
  expect(error).toContain("gone on 127.0.0.1")
  expect(error).not.toContain("secret")
  expect(await keys("gone/")).toEqual([])
}, 60_000)

it("a secret that does not exist is a task that never started, and people hear which", async () => {
  const [{ started }] = await start("lost")
  await stopped(started ?? "")
  const { text } = await cloud.told({ type: "Backup Failed", database: "lost" })
  expect(text).toContain("pgstow/there-is-none")
  expect(text).toContain("that the secret exists")
}, 60_000)

it("of two starts at once the second is refused, and a task that is killed is told of", async () => {
  const objects = await keys("orders/")
  await cloud.server.psql("CREATE TABLE busy ()", "orders")
  const lock = cloud.server.psql("BEGIN; LOCK TABLE busy; SELECT pg_sleep(600)", "orders").catch(() => {})
  const [{ started = "" }] = await start("orders")
  await running(1)
  expect(await start("orders")).toEqual([{ database: "orders", running: started }])
  await cloud.aws("lambda", "invoke", "--function-name", "Pgstow-stop-hung", "--payload", "{}", "/dev/null")
  expect(cloud.running()).toHaveLength(1)
  await cloud.told({ type: "Backup Skipped", database: "orders" })

  for (const process of cloud.running()) process.kill("SIGKILL")
  await stopped(started)
  const { text } = await cloud.told({ type: "Backup Failed", database: "orders" })
  expect(text).toContain("stopped without reporting a result: exit code 137")
  await cloud.server.psql(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()",
  )
  await lock
  expect((await keys("orders/")).filter((key) => key.endsWith("manifest.json"))).toEqual(
    objects.filter((key) => key.endsWith("manifest.json")),
  )
}, 120_000)

it("a damaged object fails the verification, and people hear what is wrong", async () => {
  const { Bucket = "" } = await cloud.outputs()
  const [main = "", manifest = ""] = (await keys("orders/")).filter((key) => /main\.dump|manifest/.test(key))
  await cloud.shell(`printf damaged | aws s3 cp - s3://${Bucket}/${main}`)
  // The manifest arrives once more.
  await cloud.shell(`aws s3 cp s3://${Bucket}/${manifest} - | aws s3 cp - s3://${Bucket}/${manifest}`)
  const { error } = await cloud.told({ type: "Verification Failed", database: "orders" })
  expect(error).toMatch(/main\.dump\.zst\.age: expected \d+ bytes, found 7 bytes/)
  expect(await cloud.shell("npm run --silent cloud -- verify orders")).toMatchObject({ exitCode: 6 })
}, 120_000)

it("the ages of the newest verified backups are measured", async () => {
  await cloud.aws("lambda", "invoke", "--function-name", "Pgstow-measure", "--payload", "{}", "/dev/null")
  const metrics = (await functionLog()).filter((line) => line.includes("BackupAgeHours"))
  expect(metrics.join()).toContain('"Database":"shop"')
  expect(metrics.join()).not.toContain('"Database":"gone"')
}, 60_000)

it("a malformed event is refused once", async () => {
  const invoke = ["lambda", "invoke", "--function-name", "Pgstow-start-backup", "--invocation-type", "Event"]
  await cloud.aws(...invoke, "--payload", '{"databse":"orders"}', "/dev/null")
  const refusals = async () => (await functionLog()).join("\n").match(/the event is refused/g)?.length ?? 0
  while ((await refusals()) === 0) await sleep(500)
  // In which it would be tried again.
  await sleep(8_000)
  expect(await refusals()).toBe(1)
}, 240_000)

it("what every role asked of AWS is allowed by its policies, and is in the recording", async () => {
  const calls = toRecording(readFileSync(cloud.callsFile, "utf8"), await namesOfResources())
  const account = openAccount(synthesize(drivenSettings))
  if (process.env.PGSTOW_RECORD === "true") writeFileSync(recording, `${JSON.stringify(calls, null, 2)}\n`)
  const denied = []
  for (const call of calls) if (!(await allowsCall(account, call))) denied.push(call)
  expect(denied).toEqual([])
  // Which backups are removed, and how often, depends on the clock; who does what does not.
  const deeds = (recorded: typeof calls) => new Set(recorded.map(({ by, action }) => `${by} ${action}`))
  const known = readRecording()
  expect(
    [...deeds(calls)].filter((deed) => !deeds(known).has(deed)),
    "new calls: PGSTOW_RECORD=true npm run test:aws writes them down",
  ).toEqual([])
  expect(new Set(known.map(({ by }) => by))).toEqual(new Set(calls.map(({ by }) => by)))
}, 240_000)

it("another deployment with other settings keeps the key and the bucket", async () => {
  const before = await cloud.outputs()
  const [orders, shop] = drivenSettings.databases
  const { exitCode } = await cloud.deploy({
    databases: [{ ...orders, schedule: "rate(2 hours)" }, shop],
    bucket: { coldAfterDays: 30 },
  })
  expect(exitCode).toBe(0)
  const { Bucket, Recipient, IdentitySecret } = await cloud.outputs()
  expect({ Bucket, Recipient, IdentitySecret }).toEqual({
    Bucket: before.Bucket,
    Recipient: before.Recipient,
    IdentitySecret: before.IdentitySecret,
  })
}, 120_000)

const startSchema = z.tuple([
  z.object({ database: z.string(), started: z.string().optional(), running: z.string().optional() }),
])

/** Starts a backup as the schedule would, and gives what the function answered. */
async function start(database: string) {
  const invoke = `aws lambda invoke --function-name Pgstow-start-backup --payload '{"database":"${database}"}'`
  const { stdout, stderr } = await cloud.shell(`${invoke} $HOME/answer >&2 && cat $HOME/answer`)
  if (stdout === "") throw new Error(stderr)
  return startSchema.parse(JSON.parse(stdout))
}

/** Waits for the end of a task, and hands its state to the function that the rule would call. */
async function stopped(taskArn: string): Promise<void> {
  for (;;) {
    const answer = await cloud.aws("ecs", "describe-tasks", "--cluster", "Pgstow", "--tasks", taskArn)
    const [task] = z
      .object({ tasks: z.tuple([z.looseObject({ lastStatus: z.string() })]) })
      .parse(answer).tasks
    if (task.lastStatus === "STOPPED") {
      const event = JSON.stringify({ source: "aws.ecs", detail: task })
      await cloud.aws(
        "lambda",
        "invoke",
        "--function-name",
        "Pgstow-task-stopped",
        "--payload",
        event,
        "/dev/null",
      )
      return
    }
    await sleep(500)
  }
}

async function running(count: number): Promise<void> {
  while (cloud.running().length !== count) await sleep(100)
  // A task that runs has got as far as the lock soon after.
  await sleep(2_000)
}

/** What the stack's resources got for a name where it gave them none, by logical ids without the hash. */
async function namesOfResources(): Promise<Map<string, string>> {
  const schema = z.object({
    StackResources: z.array(
      z.object({ LogicalResourceId: z.string(), PhysicalResourceId: z.string(), ResourceType: z.string() }),
    ),
  })
  const named = [
    "S3::Bucket",
    "IAM::Role",
    "SecretsManager::Secret",
    "SNS::Topic",
    "Logs::LogGroup",
    "Events::Rule",
  ]
  const names = new Map<string, string>()
  const stacks = ["Pgstow"]
  for (const stack of stacks) {
    const answer = await cloud.aws("cloudformation", "describe-stack-resources", "--stack-name", stack)
    for (const { LogicalResourceId, PhysicalResourceId, ResourceType } of schema.parse(answer).StackResources)
      if (ResourceType === "AWS::CloudFormation::Stack") stacks.push(PhysicalResourceId)
      else if (named.includes(ResourceType.slice("AWS::".length)))
        names.set(readableId(LogicalResourceId), PhysicalResourceId)
  }
  return names
}

/** The keys of the bucket below a folder, sorted. */
async function keys(prefix: string): Promise<string[]> {
  const { Bucket = "" } = await cloud.outputs()
  const answer = await cloud.aws("s3api", "list-objects-v2", "--bucket", Bucket, "--prefix", prefix)
  const schema = z.object({ Contents: z.array(z.object({ Key: z.string() })).default([]) })
  return schema.parse(answer ?? {}).Contents.map(({ Key }) => Key)
}

/** What the functions have logged. */
async function functionLog(): Promise<string[]> {
  const groups = await cloud.aws("logs", "describe-log-groups")
  const names = z.object({ logGroups: z.array(z.object({ logGroupName: z.string() })) }).parse(groups)
  const lines: string[] = []
  for (const { logGroupName } of names.logGroups) {
    const found = await cloud.aws("logs", "filter-log-events", "--log-group-name", logGroupName)
    const { events } = z.object({ events: z.array(z.object({ message: z.string() })) }).parse(found)
    lines.push(...events.map(({ message }) => message))
  }
  return lines
}
