import { rename, rm } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterEach, beforeEach, expect, test } from "vitest"
import { keyOf, putCheck, putManifest, readFindings } from "../../task/catalog/catalog.ts"
import { pin } from "../../task/catalog/pin.ts"
import type { RetentionPolicy } from "../../task/core/retention.ts"
import { PgstowError } from "../../task/errors.ts"
import { collect } from "../../task/report/collect.ts"
import { makePage } from "../../task/report/page.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { testContext } from "../support/context.ts"
import { override } from "../support/override.ts"
import { sampleManifest, storeSample } from "../support/sample-backup.ts"
import { type Storages, startFileStorages } from "../support/storage-kinds.ts"

const ids = ["20260101T030000Z-aaaaaaaa", "20260102T030000Z-bbbbbbbb", "20260103T030000Z-cccccccc"] as const
const now = () => new Date("2026-01-03T05:00:00Z")
const noRoute = new PgstowError("storage", "no route to host")

let storages: Storages
let first: Storage
let second: Storage
beforeEach(async () => {
  storages = await startFileStorages()
  first = storages.open()
  second = storages.open()
})
afterEach(() => storages.close())

function collected(of: readonly Storage[], policy: RetentionPolicy | null = null, database?: string) {
  return collect(of, { policy, maxAgeHours: 26, database }, { ...testContext(), now })
}

test("a backup is told with its sizes, time and state, its copies as one", async () => {
  for (const storage of [first, second]) await storeSample(storage, { id: ids[0], checks: ["verified"] })
  await storeSample(second, { id: ids[1], checks: ["failed"] })
  const { databases, storages: urls } = await collected([first, second], { keepDays: 30 })
  expect(urls).toEqual([first.url, second.url])
  const kept = {
    keep: true,
    because: ["the newest verified backup is never removed", "younger than 30 days"],
  }
  expect(databases[0]?.backups[1]).toEqual({
    id: ids[0],
    startedAt: "2026-01-01T03:00:00.000Z",
    seconds: 83.5,
    storedBytes: 1_360_037,
    rawBytes: 5_440_148,
    rows: null,
    partial: null,
    state: "verified",
    copies: [
      { storage: 0, state: "verified", pinned: false, kept },
      { storage: 1, state: "verified", pinned: false, kept },
    ],
  })
  expect(databases[0]?.backups[0]).toMatchObject({ id: ids[1], state: "failed", copies: [{ storage: 1 }] })
})

test("the state of a backup is that of its best copy, and the words of list", async () => {
  await storeSample(first, { id: ids[0], checks: ["verified", "drilled"] })
  await storeSample(first, { id: ids[1], checks: ["verified", "drill-failed"] })
  await storeSample(first, { id: ids[2] })
  await storeSample(second, { id: ids[0], checks: ["deep-failed"] })
  const [report] = (await collected([first, second])).databases
  expect(report?.backups.map(({ state, copies }) => [state, ...copies.map((copy) => copy.state)])).toEqual([
    ["unverified", "unverified"],
    ["drill-failed", "drill-failed"],
    ["drilled", "drilled", "deep-failed"],
  ])
  expect(report).toMatchObject({
    newest: { id: ids[2], ageHours: 2 },
    newestVerified: { id: ids[1], ageHours: 26 },
    newestDrilled: { id: ids[0], ageHours: 50 },
    overdue: false,
  })
})

test("no verified backup, or only an old one, is overdue", async () => {
  await storeSample(first, { id: ids[2] })
  await storeSample(first, { id: ids[0], database: "shop", checks: ["verified"] })
  const { databases } = await collected([first])
  expect(databases.map(({ database, overdue }) => [database, overdue])).toEqual([
    ["orders", true],
    ["shop", true],
  ])
})

test("problems are told in their words: checks, manifests, what was interrupted, the future", async () => {
  const broken = keyOf(sampleManifest({ id: ids[1] }), "manifest.json")
  for (const storage of [first, second]) {
    await storeSample(storage, { id: ids[0], checks: ["failed"] })
    await storeSample(storage, { id: ids[1] })
  }
  await first.put(broken, Buffer.from("{"))
  await first.put("orders/20251231T030000Z-eeeeeeee/main.dump.zst.age", Buffer.from("half"))
  // One that is still being written.
  await first.put("orders/20260103T045500Z-ffffffff/main.dump.zst.age", Buffer.from("half"))
  await storeSample(second, { id: "20270101T030000Z-gggggggg", checks: ["verified"] })
  const [report] = (await collected([first, second])).databases
  expect(report?.problems).toEqual([
    {
      at: "2027-01-01T03:00:00.000Z",
      id: "20270101T030000Z-gggggggg",
      storages: [1],
      what: /^It is dated in the future/,
    },
    { at: "2026-01-02T03:00:00.000Z", id: ids[1], storages: [0], what: /not JSON/ },
    {
      at: "2026-01-01T04:00:00.000Z",
      id: ids[0],
      storages: [0, 1],
      what: "failed: main.dump.zst.age: expected 3 bytes, found 2 bytes",
    },
    {
      at: "2025-12-31T03:00:00.000Z",
      id: "20251231T030000Z-eeeeeeee",
      storages: [0],
      what: /interrupted/,
    },
  ])
  expect(report?.newestVerified).toBeNull()
  expect(report?.nights).toEqual([
    { day: "2025-12-31", mark: "failed" },
    { day: "2026-01-01", mark: "failed" },
    { day: "2026-01-02", mark: "good" },
    { day: "2026-01-03", mark: "none" },
  ])
})

test("drills are told with what they measured", async () => {
  const manifest = await storeSample(first, { id: ids[0], checks: ["verified"] })
  const drill = { server: "17.10", restoreSeconds: 12.5, compareSeconds: 1, rows: 77, objects: {}, notes: [] }
  const at = "2026-01-02T00:00:00.000Z"
  await putCheck(
    first,
    manifest,
    { kind: "drilled", at, by: "pgstow 0.2.0", problems: [], drill },
    await readFindings(first, manifest),
  )
  const [report] = (await collected([first])).databases
  expect(report?.drills).toEqual([
    { id: ids[0], storage: 0, at, good: true, restoreSeconds: 12.5, rows: 77, server: "17.10" },
  ])
})

test("a failure whose record can't be read is told all the same", async () => {
  await storeSample(first, { id: ids[0] })
  await first.put(
    `orders/${ids[0]}/checks/20260102T000000Z-failed-zzzzzzzz-after-none.json`,
    Buffer.from("{"),
  )
  const [report] = (await collected([first])).databases
  expect(report?.backups[0]?.state).toBe("failed")
  expect(report?.problems).toEqual([
    { at: "2026-01-02T00:00:00.000Z", id: ids[0], storages: [0], what: "failed: its record can't be read" },
  ])
})

test("what retention would remove is told with the reason", async () => {
  for (const id of ids) await storeSample(first, { id, checks: ["verified"] })
  const [report] = (await collected([first], { keepLast: 1 })).databases
  expect(report?.backups.map(({ copies }) => copies[0]?.kept?.keep)).toEqual([true, false, false])
  expect(report?.backups[1]?.copies[0]?.kept?.because).toEqual(["no rule keeps it"])
  expect(report?.outlook.keptBytes).toBe(1_360_037)
})

test("a pinned backup is told as such, with a policy and without", async () => {
  for (const id of ids) await storeSample(first, { id, checks: ["verified"] })
  const context = { ...testContext(), now }
  await pin([first], { backup: ids[0], database: undefined, reason: "before the migration" }, context)
  const [plain] = (await collected([first])).databases
  expect(plain?.backups.map(({ copies }) => copies[0]?.pinned)).toEqual([false, false, true])
  const [kept] = (await collected([first], { keepLast: 1 })).databases
  expect(kept?.backups[2]?.copies[0]?.kept).toEqual({ keep: true, because: ["pinned"] })
})

test("a partial backup says what it holds, in the data and on the page", async () => {
  const none = {
    tables: [],
    schemas: [],
    excludeTables: [],
    excludeSchemas: [],
    excludeTableData: [],
    withoutRows: [],
  }
  const partial = { ...none, tables: ["audit.*"] }
  await putManifest(first, { ...sampleManifest({ id: ids[0] }), format: 2, partial })
  const data = await collected([first])
  expect(data.databases[0]?.backups[0]?.partial).toBe("only tables audit.*")
  expect(makePage(data, { script: "", style: "" })).toContain("<td>unverified; partial: only tables audit.*")
})

test("a storage that does not answer, or one folder of it, hides nothing of the others", async () => {
  await storeSample(first, { id: ids[0], checks: ["verified"] })
  const silent = override(second, { listFolders: () => Promise.reject(noRoute) })
  const half = await collected([first, silent])
  expect(half.databases).toHaveLength(1)
  expect(half.unlisted).toEqual([
    { storage: second.url, database: null, problem: "no route to host", hint: null },
  ])

  await storeSample(second, { id: ids[0], database: "shop" })
  const partly = override(second, {
    listFolders: (prefix) => (prefix === "shop/" ? Promise.reject(noRoute) : second.listFolders(prefix)),
  })
  const most = await collected([first, partly])
  expect(most.databases.map(({ database }) => database)).toEqual(["orders"])
  expect(most.unlisted).toMatchObject([{ storage: second.url, database: "shop" }])
})

test("an empty storage is told of beside another, and fails alone; so does one that does not answer", async () => {
  await expect(collected([first, second])).rejects.toMatchObject({ kind: "notFound" })
  await storeSample(first, { id: ids[0] })
  const { empty } = await collected([first, second])
  expect(empty).toMatchObject([{ storage: second.url }])
  await expect(collected([first], null, "nope")).rejects.toMatchObject({ kind: "notFound" })
  const silent = override(first, { listFolders: () => Promise.reject(noRoute) })
  await expect(collected([silent])).rejects.toBe(noRoute)
})

test("checks that can't be listed are a problem of their own", async () => {
  await storeSample(first, { id: ids[0], checks: ["verified"] })
  const checks = join(fileURLToPath(first.url), "orders", ids[0], "checks")
  await rename(checks, `${checks}-away`)
  const unreadable = override(first, {
    listKeys: (prefix) => (prefix.endsWith("checks/") ? Promise.reject(noRoute) : first.listKeys(prefix)),
  })
  const [report] = (await collected([unreadable])).databases
  expect(report?.backups[0]?.state).toBe("checks unreadable")
  expect(report?.problems).toMatchObject([{ what: "no route to host" }])
  await rm(`${checks}-away`, { recursive: true })
})
