import { afterAll, beforeAll, expect, it } from "vitest"
import { listDatabases } from "../../task/catalog/catalog.ts"
import { cleanup } from "../../task/catalog/clean-up.ts"
import { openStorage } from "../../task/storage/open-storage.ts"
import { type S3Endpoint, startS3Endpoint } from "../support/s3-endpoint.ts"
import { storeSample } from "../support/sample-backup.ts"
import { lambdaContext } from "./aws-endpoint.ts"

let s3: S3Endpoint
let write: () => Promise<unknown>
const open = () => openStorage(`s3://backups?endpoint=${s3.url}&write-once=true`, { env: process.env })

beforeAll(async () => {
  s3 = await startS3Endpoint({ buckets: ["backups"], accessKeyId: "test", secretAccessKey: "test" })
  s3.keepVersions("backups")
  Object.assign(process.env, {
    AWS_ENDPOINT_URL_S3: s3.url,
    AWS_REGION: "eu-central-1",
    AWS_ACCESS_KEY_ID: "test",
    AWS_SECRET_ACCESS_KEY: "test",
    PGSTOW_SETTINGS: JSON.stringify({
      storage: `s3://backups?endpoint=${s3.url}&write-once=true`,
      bucket: "backups",
      retention: { keepDaily: 7 },
      maxAgeHours: 26,
      limitsOf: { shop: { policy: { keepLast: 1 }, maxAgeHours: 1_000_000 } },
    }),
  })
  const { handler } = await import("../../functions/write-report.ts")
  write = () => handler({}, lambdaContext)
})
afterAll(() => s3.close())

const puts = () => s3.requests.filter(({ operation }) => operation === "PutObject")
const page = async () => (await fetchPage()).toString()
async function fetchPage(): Promise<Buffer> {
  const storage = open()
  try {
    return Buffer.concat(await Array.fromAsync(await storage.read("report.html")))
  } finally {
    storage.close()
  }
}

it("where nothing is stored, there is no report, and nothing has failed", async () => {
  expect(await write()).toBeNull()
  expect(puts()).toEqual([])
})

it("the page has every database with its own limits, and takes the place of the one before", async () => {
  const storage = open()
  for (const database of ["orders", "shop"])
    for (const day of ["02", "03"])
      await storeSample(storage, {
        database,
        id: `202601${day}T030000Z-k3v9x2ab`,
        checks: ["verified", "drilled"],
      })
  expect(await write()).toMatchObject({ key: "report.html", databases: 2 })
  const first = await page()
  expect(first).toMatch(/^<!doctype html>/)
  expect(first).toContain("Retention, of databases without their own: ")
  expect(first).toContain("Without a verified backup that is as young as it should be: 1.")
  // Of shop one backup alone is kept, of orders each day's.
  expect(first.match(/no rule keeps it/g)?.length).toBeGreaterThan(0)
  expect(s3.headersOf("backups", "report.html")).toMatchObject({ "content-type": "text/html; charset=utf-8" })

  await storeSample(storage, { database: "wiki", id: "20260104T030000Z-k3v9x2ab", checks: ["verified"] })
  expect(await write()).toMatchObject({ databases: 3 })
  expect(await page()).toContain("wiki")
  storage.close()
})

it("it is no database and no backup, and no cleanup removes it", async () => {
  const storage = open()
  expect(await listDatabases(storage)).toEqual(["orders", "shop", "wiki"])
  const before = await page()
  for (const database of await listDatabases(storage))
    await cleanup(
      [storage],
      { policy: { keepLast: 1 }, database, dryRun: false },
      { now: () => new Date(), signal: new AbortController().signal },
    )
  expect(await page()).toBe(before)
  storage.close()
})
