import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest"
import { listBackups } from "../../task/catalog/catalog.ts"
import { pin } from "../../task/catalog/pin.ts"
import { openStorage } from "../../task/storage/open-storage.ts"
import { quiet } from "../support/quiet.ts"
import { storeSample } from "../support/sample-backup.ts"
import { type AwsEndpoint, lambdaContext, startAwsEndpoint } from "./aws-endpoint.ts"

const ids = ["20260101T030000Z-aaaaaaaa", "20260102T030000Z-bbbbbbbb", "20260103T030000Z-cccccccc"] as const

let aws: AwsEndpoint
let folder: string
let cleanUp: (database: string) => Promise<unknown>

beforeAll(async () => {
  aws = await startAwsEndpoint()
  const { handler } = await import("../../functions/clean-up.ts")
  cleanUp = (database) => handler({ database }, lambdaContext)
})
afterAll(() => aws.close())
beforeEach(async () => {
  aws.reset()
  folder = await mkdtemp(join(tmpdir(), "pgstow-clean-up-"))
  process.env.PGSTOW_SETTINGS = JSON.stringify({
    storage: `file://${folder}`,
    retention: { keepLast: 1 },
    retentionOf: { shop: { keepLast: 2 } },
    eventBus: "Pgstow",
  })
  const storage = openStorage(`file://${folder}`, { env: {} })
  for (const database of ["orders", "shop"])
    for (const id of ids) await storeSample(storage, { id, database, checks: ["verified"] })
  return () => rm(folder, { recursive: true })
})

const left = async (database: string) =>
  (await listBackups(openStorage(`file://${folder}`, { env: {} }), database)).map(({ id }) => id)

it("every database is cleaned by its own policy, and each removal is reported", async () => {
  await cleanUp("*")
  expect(await left("orders")).toEqual([ids[2]])
  expect(await left("shop")).toEqual([ids[2], ids[1]])
  expect(aws.events()).toMatchObject([
    { type: "Cleanup Succeeded", database: "orders", removed: [ids[1], ids[0]] },
    { type: "Cleanup Succeeded", database: "shop", removed: [ids[0]] },
  ])
})

it("one database is cleaned alone, and nothing is reported where nothing was removed", async () => {
  await cleanUp("shop")
  await cleanUp("shop")
  expect(await left("orders")).toHaveLength(3)
  expect(aws.events()).toHaveLength(1)
})

it("a pinned backup stays, and is not reported as removed", async () => {
  const storage = openStorage(`file://${folder}`, { env: {} })
  const context = { now: () => new Date(), signal: new AbortController().signal, log: quiet.log }
  await pin([storage], { backup: ids[0], database: "orders", reason: "the audit" }, context)
  await cleanUp("orders")
  expect(await left("orders")).toEqual([ids[2], ids[0]])
  expect(aws.events()).toMatchObject([{ type: "Cleanup Succeeded", database: "orders", removed: [ids[1]] }])
})

it("a storage that can't be read fails the invocation", async () => {
  await rm(folder, { recursive: true })
  process.env.PGSTOW_SETTINGS = JSON.stringify({
    storage: "s3://no-such-bucket/prefix?endpoint=http://127.0.0.1:9",
    retention: { keepLast: 1 },
    retentionOf: {},
    eventBus: "Pgstow",
  })
  await expect(cleanUp("orders")).rejects.toThrow("no-such-bucket")
  expect(aws.events()).toMatchObject([{ type: "Cleanup Failed", database: "orders" }])
  folder = await mkdtemp(join(tmpdir(), "pgstow-clean-up-"))
}, 120_000)
