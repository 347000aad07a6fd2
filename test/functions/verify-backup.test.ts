import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest"
import { listBackups } from "../../task/catalog/catalog.ts"
import { openStorage } from "../../task/storage/open-storage.ts"
import { storeSample } from "../support/sample-backup.ts"
import { type AwsEndpoint, lambdaContext, startAwsEndpoint } from "./aws-endpoint.ts"

const id = "20260102T030000Z-k3v9x2ab"

let aws: AwsEndpoint
let folder: string
let arrived: (key: string) => Promise<unknown>

function configure(limitBytes: number) {
  process.env.PGSTOW_SETTINGS = JSON.stringify({
    storage: `file://${folder}`,
    limitBytes,
    family: "Pgstow-verify",
    place: {
      cluster: "Pgstow",
      subnetIds: [],
      securityGroupIds: [],
      publicIp: false,
      spot: false,
      capacityWaitSeconds: [],
    },
    eventBus: "Pgstow",
  })
}

beforeAll(async () => {
  aws = await startAwsEndpoint()
  folder = await mkdtemp(join(tmpdir(), "pgstow-verify-"))
  await storeSample(openStorage(`file://${folder}`, { env: {} }), { id })
  const { handler } = await import("../../functions/verify-backup.ts")
  arrived = (key) => handler({ detail: { object: { key } } }, lambdaContext)
})
afterAll(async () => {
  await aws.close()
  await rm(folder, { recursive: true })
})
beforeEach(() => {
  aws.reset()
  configure(1e9)
})

it("a backup whose manifest arrived is read, and found to be what it says", async () => {
  expect(await arrived(`orders/${id}/manifest.json`)).toMatchObject({ kind: "verified", problems: [] })
  expect(aws.events()).toMatchObject([{ type: "Verification Succeeded", database: "orders", id }])
})

it("a backup too large for a function is handed to a task, once however often it arrives", async () => {
  configure(10)
  aws.answer("RunTask", { tasks: [{ taskArn: "task/1" }] })
  expect(await arrived(`orders/${id}/manifest.json`)).toEqual({ handedOver: "task/1" })
  expect(aws.requests).toMatchObject([
    {
      operation: "RunTask",
      input: {
        taskDefinition: "Pgstow-verify",
        clientToken: expect.stringMatching(/^[0-9a-f]{40}-0$/) as unknown,
        overrides: {
          containerOverrides: [{ name: "pgstow", command: ["verify", id, "--database", "orders"] }],
        },
      },
    },
  ])
})

it("a backup that could not be verified is told of", async () => {
  await expect(arrived("orders/20260103T030000Z-k3v9x2ab/manifest.json")).rejects.toThrow("has no object")
  expect(aws.events()).toMatchObject([{ type: "Verification Failed", database: "orders" }])
})

it("a good backup whose success can't be published is not reported as failed", async () => {
  aws.answer("PutEvents", { FailedEntryCount: 1, Entries: [{ ErrorCode: "InternalFailure" }] })
  await expect(arrived(`orders/${id}/manifest.json`)).rejects.toThrow("could not be put on the event bus")
  expect(aws.events()).toMatchObject([{ type: "Verification Succeeded" }])
})

it("a damaged backup is told of, with what is wrong, and one that was put right is good again", async () => {
  const file = join(folder, "orders", id, "main.dump.zst.age")
  const good = await readFile(file)
  await writeFile(file, "damaged")
  await arrived(`orders/${id}/manifest.json`)
  expect(aws.events()).toMatchObject([
    { type: "Verification Failed", error: expect.stringContaining("found 7 bytes") as unknown },
  ])
  const storage = openStorage(`file://${folder}`, { env: {} })
  expect(await listBackups(storage)).toMatchObject([{ state: "failed" }])
  await writeFile(file, good)
  await arrived(`orders/${id}/manifest.json`)
  expect(await listBackups(storage)).toMatchObject([{ state: "verified" }])
})
