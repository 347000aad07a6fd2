import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, beforeEach, expect, it, vi } from "vitest"
import * as z from "zod"
import { pin } from "../../task/catalog/pin.ts"
import type { CheckKind } from "../../task/core/check.ts"
import { messageOf } from "../../task/errors.ts"
import { openStorage } from "../../task/storage/open-storage.ts"
import { testContext } from "../support/context.ts"
import { storeSample } from "../support/sample-backup.ts"
import { type AwsEndpoint, lambdaContext, startAwsEndpoint } from "./aws-endpoint.ts"

const id = "20260102T030000Z-k3v9x2ab"

let aws: AwsEndpoint
let folder: string
let measure: () => Promise<unknown>

beforeAll(async () => {
  aws = await startAwsEndpoint()
  folder = await mkdtemp(join(tmpdir(), "pgstow-measure-"))
  process.env.PGSTOW_SETTINGS = JSON.stringify({
    stack: "Pgstow",
    storage: `file://${folder}`,
    databases: ["orders"],
    eventBus: "Pgstow",
  })
  const { handler } = await import("../../functions/measure.ts")
  measure = () => handler({}, lambdaContext)
})
afterAll(async () => {
  await aws.close()
  await rm(folder, { recursive: true })
})
beforeEach(() => aws.reset())

it("a backup that nobody verified is verified, since the event of its manifest may be lost", async () => {
  await measure()
  expect(aws.events()).toEqual([])
  await storeSample(openStorage(`file://${folder}`, { env: {} }), { id })
  await measure()
  expect(aws.events()).toEqual([
    { type: "Verify Backup", source: "pgstow.request", object: { key: `orders/${id}/manifest.json` } },
  ])
})

it("a backup from the future is not measured: it would hide that there is none since", async () => {
  const storage = openStorage(`file://${folder}`, { env: {} })
  await storeSample(storage, { id: "20260103T030000Z-k3v9x2ab", checks: ["verified"] })
  await storeSample(storage, { id: "20990101T030000Z-k3v9x2ab", checks: ["verified"] })
  const lines: string[] = []
  const write = vi.spyOn(process.stdout, "write").mockImplementation((line) => lines.push(String(line)) > 0)
  await measure().finally(() => write.mockRestore())
  const measures = lines.filter((line) => line.includes("BackupAgeHours"))
  expect(measures).toHaveLength(1)
  const line = z.looseObject({ BackupAgeHours: z.number(), _aws: z.unknown() })
  const { BackupAgeHours, _aws, ...others } = line.parse(JSON.parse(measures[0] ?? ""))
  // By these dimensions, and no other, the alarms look.
  expect(_aws).toMatchObject({
    CloudWatchMetrics: [{ Namespace: "pgstow", Dimensions: [["Stack", "Database"]] }],
  })
  expect(others).toMatchObject({ Stack: "Pgstow", Database: "orders" })
  const ended = Date.parse("2026-01-03T03:01:23.500Z")
  expect(BackupAgeHours).toBeCloseTo((Date.now() - ended) / 3_600_000, 1)
})

const measured = z.object({
  Database: z.string(),
  BackupAgeHours: z.number(),
  BackupSize: z.number(),
  DrillAgeHours: z.number().optional(),
})

/** What is put out by these settings, and what it then fails of. */
async function measuredBy(
  settings: object,
): Promise<{ measures: z.infer<typeof measured>[]; error: unknown }> {
  const before = process.env.PGSTOW_SETTINGS
  process.env.PGSTOW_SETTINGS = JSON.stringify({ stack: "Pgstow", eventBus: "Pgstow", ...settings })
  const lines: string[] = []
  const write = vi.spyOn(process.stdout, "write").mockImplementation((line) => lines.push(String(line)) > 0)
  try {
    const error = await measure().then(
      () => undefined,
      (failure: unknown) => failure,
    )
    const measures = lines
      .filter((line) => line.includes("BackupAgeHours"))
      .map((line) => measured.parse(JSON.parse(line)))
    return { measures, error }
  } finally {
    write.mockRestore()
    process.env.PGSTOW_SETTINGS = before
  }
}

it("a database that can't be listed fails the run, after all others were measured", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-measure-"))
  const storage = `file://${folder}`
  await storeSample(openStorage(storage, { env: {} }), { id, checks: ["verified"] })
  await writeFile(join(folder, "crm"), "")
  const { measures, error } = await measuredBy({ storage, databases: ["crm", "orders"] })
  await rm(folder, { recursive: true })
  expect(measures.map(({ Database }) => Database)).toEqual(["orders"])
  expect(messageOf(error)).toContain("crm")
})

it("a server as a whole is as old as the newest backup of its databases, and as large as all", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-measure-"))
  const storage = `file://${folder}`
  for (const [database, day] of [
    ["orders", "05"],
    ["crm", "04"],
    ["wiki", "03"],
  ])
    await storeSample(openStorage(storage, { env: {} }), {
      database,
      id: `202601${day}T030000Z-k3v9x2ab`,
      checks: ["verified"],
    })
  const { measures, error } = await measuredBy({ storage, databases: ["orders"], server: "main" })
  await rm(folder, { recursive: true })
  expect(error).toBeUndefined()
  const [orders, main] = measures
  expect([orders?.Database, main?.Database]).toEqual(["orders", "main"])
  expect((main?.BackupAgeHours ?? 0) - (orders?.BackupAgeHours ?? 0)).toBeCloseTo(24, 1)
  expect(main?.BackupSize).toBe(2 * (orders?.BackupSize ?? 0))
})

it("of what is drilled, the age of the last good drill is measured, and before the first how long there could have been one", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-measure-"))
  const storage = `file://${folder}`
  const store = (database: string, day: string, checks: readonly CheckKind[]) =>
    storeSample(openStorage(storage, { env: {} }), {
      database,
      id: `202601${day}T030000Z-k3v9x2ab`,
      checks,
    })
  await store("orders", "02", ["verified", "drilled"])
  await store("orders", "03", ["verified", "drill-failed"])
  await store("shop", "02", ["verified", "drill-failed"])
  await store("shop", "03", ["verified"])
  await store("crm", "02", ["verified", "drilled"])
  const { measures, error } = await measuredBy({
    storage,
    databases: ["orders", "shop", "crm"],
    drilled: ["orders", "shop"],
  })
  await rm(folder, { recursive: true })
  expect(error).toBeUndefined()
  const hoursSince = (time: string) => (Date.now() - Date.parse(time)) / 3_600_000
  const [orders, shop, crm] = measures
  // Each finding of a sample comes an hour after its start, and a minute after the one before.
  expect(orders?.DrillAgeHours).toBeCloseTo(hoursSince("2026-01-02T04:01:00Z"), 1)
  expect(shop?.DrillAgeHours).toBeCloseTo(hoursSince("2026-01-02T03:01:23Z"), 1)
  expect(crm).not.toHaveProperty("DrillAgeHours")
})

it("a database that is new on a server, or a backup that is pinned, does not change how old the last drill is", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-measure-"))
  const storage = openStorage(`file://${folder}`, { env: {} })
  const store = (database: string, day: string, checks: readonly CheckKind[]) =>
    storeSample(storage, { database, id: `202601${day}T030000Z-k3v9x2ab`, checks })
  const hoursSince = (time: string) => (Date.now() - Date.parse(time)) / 3_600_000
  const ages = async () => {
    const settings = { storage: `file://${folder}`, databases: ["orders"], server: "main" }
    const { measures, error } = await measuredBy({ ...settings, drilled: ["orders", "main"] })
    expect(error).toBeUndefined()
    return measures.map(({ DrillAgeHours }) => DrillAgeHours)
  }
  const orders = await store("orders", "01", ["verified"])
  await pin(
    [storage],
    { database: "orders", backup: orders.id, signedBy: [], reason: "an audit" },
    testContext(),
  )
  await store("orders", "05", ["verified"])
  await store("crm", "02", ["verified"])
  await store("new", "06", ["verified"])
  const [ofOrders, neverDrilled] = await ages()
  expect(ofOrders).toBeCloseTo(hoursSince("2026-01-05T03:01:23Z"), 1)
  expect(neverDrilled).toBeCloseTo(hoursSince("2026-01-02T03:01:23Z"), 1)
  await store("crm", "03", ["verified", "drilled"])
  const [, drilled] = await ages()
  await rm(folder, { recursive: true })
  expect(drilled).toBeCloseTo(hoursSince("2026-01-03T04:01:00Z"), 1)
})
