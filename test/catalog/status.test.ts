import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { keyOf } from "../../task/catalog/catalog.ts"
import { type StatusOptions, status, statusFailure } from "../../task/catalog/status.ts"
import { formatStatus } from "../../task/commands/status.ts"
import { formatManifest, storedBytes } from "../../task/core/manifest.ts"
import { PgstowError } from "../../task/errors.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { override } from "../support/override.ts"
import { sampleManifest, storeSample } from "../support/sample-backup.ts"
import { type Storages, startS3Storages, storageKinds } from "../support/storage-kinds.ts"

const ids = ["20260101T030000Z-aaaaaaaa", "20260102T030000Z-bbbbbbbb", "20260103T030000Z-cccccccc"] as const
const now = new Date("2026-01-03T05:00:00Z")

describe.each(storageKinds)("status of $kind", ({ start }) => {
  let storages: Storages
  let first: Storage
  let second: Storage
  beforeEach(async () => {
    storages = await start()
    // By the time at which their files were written, the clock of these tests would be wrong.
    first = override(storages.open(), { clock: () => undefined })
    second = override(storages.open(), { clock: () => undefined })
  })
  afterEach(() => storages.close())

  test("a database whose newest verified backup is new enough is well", async () => {
    const manifest = await storeSample(first, { id: ids[1], checks: ["verified"] })
    const result = await look([first])
    expect(result.databases).toEqual([
      {
        storage: first.url,
        database: "orders",
        id: ids[1],
        startedAt: "2026-01-02T03:00:00.000Z",
        ageHours: 26,
        partial: null,
        overdue: false,
        fromTheFuture: [],
        lastDrill: null,
        measures: {
          count: { verified: 1, unverified: 0, failed: 0 },
          unreadable: 0,
          storedBytes: storedBytes(manifest),
          newest: {
            id: ids[1],
            startedAt: "2026-01-02T03:00:00.000Z",
            seconds: 83.5,
            storedBytes: storedBytes(manifest),
            rawBytes: 4 * storedBytes(manifest),
            sourceBytes: 9_000_000,
            rows: null,
          },
          newestDrilledAt: null,
          lastGoodDrillAt: null,
        },
      },
    ])
    expect(statusFailure(result)).toBeUndefined()
    expect(formatStatus(result)).toContain("26 h 0 min  ok")
  })

  test("the last drill of a database is shown, and how it ended", async () => {
    await storeSample(first, { id: ids[0], checks: ["verified", "drilled"] })
    await storeSample(first, { id: ids[1], checks: ["verified"] })
    const good = await look([first])
    expect(good.databases[0]).toMatchObject({
      id: ids[1],
      lastDrill: { id: ids[0], kind: "drilled", at: "2026-01-01T04:01:00.000Z" },
    })
    expect(formatStatus(good)).toContain("ok  drilled 2026-01-01 04:01:00 UTC")
    await storeSample(first, { id: ids[2], checks: ["verified", "drill-failed", "verified"] })
    const bad = await look([first])
    expect(bad.databases[0]).toMatchObject({ id: ids[2], lastDrill: { id: ids[2], kind: "drill-failed" } })
    expect(formatStatus(bad)).toContain("ok  drill-failed 2026-01-03 04:01:00 UTC")
    expect(statusFailure(bad)).toBeUndefined()
  })

  test("backups that were never verified, failed, or can't be read do not count", async () => {
    await storeSample(first, { id: ids[0], checks: ["verified"] })
    await storeSample(first, { id: ids[1] })
    await storeSample(first, { id: ids[2], checks: ["verified", "failed"] })
    const unreadable = { id: "20260103T040000Z-dddddddd", checks: ["verified"] } as const
    await storeSample(first, unreadable)
    await first.put(keyOf(sampleManifest(unreadable), "manifest.json"), Buffer.from("{"))
    const result = await look([first])
    expect(result.databases).toMatchObject([{ id: ids[0], ageHours: 50, overdue: true }])
    const failure = statusFailure(result)
    expect(failure?.exitCode).toBe(11)
    expect(failure?.message).toBe(`no verified backup of the last 26 hours: orders in ${first.url}`)
    expect(statusFailure(await look([first], { maxAgeHours: 50 }))).toBeUndefined()
  })

  test("what does not answer is told, with an exit code, and hides nothing of the others", async () => {
    const noRoute = new PgstowError("storage", "no route to host", { hint: "Look at the network." })
    await storeSample(first, { id: ids[2], checks: ["verified"] })
    await storeSample(first, { id: ids[2], database: "shop", checks: ["verified"] })
    const dead = override(second, { listFolders: () => Promise.reject(noRoute) })
    const result = await look([dead, first])
    expect(result.databases.map(({ database, overdue }) => [database, overdue])).toEqual([
      ["orders", false],
      ["shop", false],
    ])
    expect(statusFailure(result)).toMatchObject({
      exitCode: 4,
      message: "not known: no route to host",
      hint: "Look at the network.",
    })
    await expect(look([dead])).rejects.toThrow(noRoute)

    const half = override(first, {
      listFolders: (prefix) => (prefix === "shop/" ? Promise.reject(noRoute) : first.listFolders(prefix)),
    })
    const ofOne = await look([half])
    expect(ofOne.databases.map(({ database }) => database)).toEqual(["orders"])
    expect(statusFailure(ofOne)).toMatchObject({
      exitCode: 4,
      message: 'not known: the backups of "shop": no route to host',
    })
  })

  test("a manifest that can't be had just now may be the wanted one", async () => {
    const denied = new PgstowError("storage", "no access now", { hint: "Set the clock." })
    await storeSample(first, { id: ids[0], checks: ["verified"] })
    await storeSample(first, { id: ids[2], checks: ["verified"] })
    const half = override(first, {
      readAtMost: (key, maxBytes) =>
        key.includes(ids[2]) && key.endsWith("/manifest.json")
          ? Promise.reject(denied)
          : first.readAtMost(key, maxBytes),
    })
    const failure = statusFailure(await look([half]))
    expect(failure?.exitCode).toBe(4)
    expect(failure?.message).toBe('not known: the backups of "orders": no access now')
    expect(statusFailure(await look([half], { maxAgeHours: 60 }))).toBeUndefined()
    expect(statusFailure(await look([half], { maxAgeHours: 1 }))?.exitCode).toBe(11)
  })

  test("each storage and each database must have its own", async () => {
    await storeSample(first, { id: ids[2], checks: ["deep-verified"] })
    await storeSample(second, { id: ids[0], checks: ["verified"] })
    await storeSample(second, { id: ids[2], database: "shop" })
    const result = await look([first, second])
    expect(result.databases).toMatchObject([
      { storage: first.url, database: "orders", overdue: false },
      { storage: second.url, database: "orders", overdue: true },
      { storage: second.url, database: "shop", id: null, overdue: true },
    ])
    expect(formatStatus(result).split("\n")[3]).toMatch(/^shop +- +- +- +OVERDUE/)
    expect(statusFailure(await look([first], { database: "orders" }))).toBeUndefined()
  })

  test("a storage without any backup is named, with the others or alone", async () => {
    const nothing = ({ url }: Storage) =>
      url.startsWith("s3:") ? `there is nothing in ${url}` : `the directory ${url} does not exist`
    expect(statusFailure(await look([first]))?.message).toBe(nothing(first))
    await storeSample(first, { id: ids[2], checks: ["verified"] })
    const both = statusFailure(await look([first, second]))
    expect(both?.exitCode).toBe(8)
    expect(both?.message).toBe(nothing(second))
    const misspelt = statusFailure(await look([first], { database: "order" }))
    expect(misspelt?.exitCode).toBe(8)
    expect(misspelt?.hint).toBe('Backups exist for "orders".')
  })

  test("a backup dated in the future hides nothing, and is told with an exit code of its own", async () => {
    const future = "20270101T030000Z-ffffffff"
    await storeSample(first, { id: ids[0], checks: ["verified"] })
    await storeSample(first, { id: future, checks: ["verified"] })
    const late = await look([first])
    expect(late.databases).toMatchObject([
      { id: ids[0], ageHours: 50, overdue: true, fromTheFuture: [future] },
    ])
    expect(statusFailure(late)?.exitCode).toBe(12)
    expect(statusFailure(late)?.message).toBe(
      `dated in the future: ${future} of orders in ${first.url}; no verified backup of the last 26 hours: orders in ${first.url}`,
    )
    expect(formatStatus(late)).toContain("OVERDUE FUTURE")
    const inTime = await look([first], { maxAgeHours: 50 })
    expect(inTime.databases).toMatchObject([{ id: ids[0], overdue: false, fromTheFuture: [future] }])
    expect(statusFailure(inTime)?.exitCode).toBe(12)
    expect(statusFailure(inTime)?.message).toBe(`dated in the future: ${future} of orders in ${first.url}`)
  })

  test("clocks a few minutes apart are as good as the same", async () => {
    const soon = "20260103T050200Z-eeeeeeee"
    await storeSample(first, { id: soon, checks: ["verified"] })
    const result = await look([first])
    expect(result.databases).toMatchObject([{ id: soon, ageHours: 0, overdue: false, fromTheFuture: [] }])
    expect(statusFailure(result)).toBeUndefined()
  })

  test("a backup that ended in the future is told as well, whenever it began", async () => {
    const manifest = await storeSample(first, { id: ids[1], checks: ["verified"] })
    const key = keyOf(manifest, "manifest.json")
    await first.put(key, Buffer.from(formatManifest({ ...manifest, finishedAt: "2027-01-01T00:00:00.000Z" })))
    const result = await look([first])
    expect(result.databases).toMatchObject([{ id: null, overdue: true, fromTheFuture: [ids[1]] }])
    expect(statusFailure(result)?.exitCode).toBe(12)
  })
})

test("a clock that differs from a bucket's is told with the same exit code", async () => {
  const buckets = await startS3Storages()
  const storage = buckets.open()
  const id = `${new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z-aaaaaaaa`
  await storeSample(storage, { id, checks: ["verified"] })
  const lookAt = (minutesAhead: number) =>
    status([storage], { maxAgeHours: 26 }, { now: () => new Date(Date.now() + minutesAhead * 60_000) })
  expect((await lookAt(4)).clocks).toEqual([])
  expect((await lookAt(-4)).clocks).toEqual([])
  expect(statusFailure(await lookAt(0))).toBeUndefined()
  const ahead = statusFailure(await lookAt(62))
  expect(ahead?.exitCode).toBe(12)
  expect(ahead?.message).toBe(`this machine's clock is 1 h 2 min ahead of that of ${storage.url}`)
  expect(statusFailure(await lookAt(-62))?.message).toContain(
    "this machine's clock is 1 h 2 min behind that of",
  )
  storage.close()
  await buckets.close()
})

function look(where: Storage[], options: Partial<StatusOptions> = {}) {
  return status(where, { maxAgeHours: 26, ...options }, { now: () => now })
}
