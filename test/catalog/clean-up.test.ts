import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest"
import { keyOf, listBackups, readFindings, readManifest } from "../../task/catalog/catalog.ts"
import { type CleanupOptions, cleanup, cleanupFailure } from "../../task/catalog/clean-up.ts"
import { formatCleanup } from "../../task/commands/cleanup.ts"
import { PgstowError } from "../../task/errors.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { verify as verifyBackup } from "../../task/verify/verify.ts"
import { override } from "../support/override.ts"
import { sampleManifest, storeSample } from "../support/sample-backup.ts"
import { keysOf } from "../support/storage-contents.ts"
import { type Storages, startS3Storages, storageKinds } from "../support/storage-kinds.ts"

const ids = [
  "20260101T030000Z-aaaaaaaa",
  "20260102T030000Z-bbbbbbbb",
  "20260103T030000Z-cccccccc",
  "20260104T030000Z-dddddddd",
] as const
// Objects are written now; debris is what is older than two days by then.
const now = new Date(Date.now() + 49 * 3_600_000)
const keepTwo = { policy: { keepLast: 2 }, dryRun: false } satisfies CleanupOptions

describe.each(storageKinds)("cleanup of $kind", ({ start }) => {
  let storages: Storages
  let first: Storage
  let second: Storage
  beforeAll(async () => {
    storages = await start()
  })
  afterAll(() => storages.close())
  beforeEach(() => {
    // By what a bucket says the time is, the clock of these tests would be wrong.
    first = override(storages.open(), { clock: () => undefined })
    second = override(storages.open(), { clock: () => undefined })
  })
  afterEach(() => {
    first.close()
    second.close()
  })

  const context = { now: () => now, signal: new AbortController().signal }
  const idsIn = async (storage: Storage, database = "orders") =>
    (await listBackups(storage, database)).map(({ id }) => id)
  const sizeOf = async (storage: Storage) =>
    (await Array.fromAsync(storage.list(""))).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const storeAll = async (storage: Storage, database?: string) => {
    for (const id of ids)
      await storeSample(storage, { id, checks: ["verified"], ...(database ? { database } : {}) })
  }

  test("removes what the policy does not keep, each database for itself, and counts what that frees", async () => {
    await storeAll(first)
    await storeAll(first, "sh/op")
    await storeSample(first, { id: ids[0], database: "small" })
    const before = await sizeOf(first)
    const result = await cleanup([first], keepTwo, context)
    expect(result.storages[0]).toMatchObject({ removedBackups: 4, error: null, debris: [] })
    expect(result.storages[0]?.freedBytes).toBe(before - (await sizeOf(first)))
    expect(await idsIn(first)).toEqual([ids[3], ids[2]])
    expect(await idsIn(first, "sh/op")).toEqual([ids[3], ids[2]])
    expect(await idsIn(first, "small")).toEqual([ids[0]])
  })

  test("leaves the other databases alone where one is named", async () => {
    await storeAll(first)
    await storeAll(first, "shop")
    await cleanup([first], { ...keepTwo, database: "shop" }, context)
    expect(await idsIn(first)).toHaveLength(4)
    expect(await idsIn(first, "shop")).toHaveLength(2)
  })

  test("where one database's folder can't be listed, the others are cleaned up, and it is told", async () => {
    await storeAll(first)
    await storeAll(first, "shop")
    const half = override(first, {
      listFolders: (prefix) =>
        prefix === "shop/"
          ? Promise.reject(new PgstowError("storage", "no route to host"))
          : first.listFolders(prefix),
    })
    const result = await cleanup([half], keepTwo, context)
    expect(result.storages).toMatchObject([
      {
        removedBackups: 2,
        debris: [],
        error: "the backups of shop can't be listed: no route to host",
      },
    ])
    expect(cleanupFailure(result)).toMatchObject({ exitCode: 4 })
    expect(await idsIn(first)).toHaveLength(2)
    expect(await idsIn(first, "shop")).toHaveLength(4)
  })

  test("keeps of a month the backup that was drilled", async () => {
    await storeSample(first, { id: ids[0], checks: ["verified", "drilled"] })
    await storeSample(first, { id: ids[1], checks: ["verified"] })
    await storeSample(first, { id: ids[2], checks: ["verified"] })
    const [cleaned] = (await cleanup([first], { ...keepTwo, policy: { keepMonthly: 1 } }, context)).storages
    expect(cleaned?.decisions.map(({ id, keep, because }) => [id, keep, because.at(-1)])).toEqual([
      [ids[2], true, "the newest verified backup is never removed"],
      [ids[1], false, "no rule keeps it"],
      [ids[0], true, "monthly 2026-01, drilled"],
    ])
  })

  test("a dry run decides the same and touches nothing", async () => {
    await storeAll(first)
    await first.put("orders/20251231T030000Z-zzzzzzzz/main.dump.zst.age", Buffer.from("half of it"))
    const before = await keysOf(first)
    const dry = await cleanup([first], { ...keepTwo, dryRun: true }, context)
    expect(await keysOf(first)).toEqual(before)
    expect(dry.storages[0]).toMatchObject({ removedBackups: 2, debris: [{ sizeBytes: 10, due: false }] })
    const real = await cleanup([first], keepTwo, context)
    expect(real.storages[0]?.decisions).toEqual(dry.storages[0]?.decisions)
    expect(await idsIn(first)).toEqual([ids[3], ids[2]])
  })

  test("each storage keeps its own newest good one", async () => {
    for (const id of ids) {
      await storeSample(first, { id, checks: ["verified"] })
      await storeSample(second, { id, checks: [id === ids[0] ? "verified" : "failed"] })
    }
    await cleanup([first, second], { ...keepTwo, policy: { keepLast: 1 } }, context)
    expect(await idsIn(first)).toEqual([ids[3]])
    expect(await idsIn(second)).toEqual([ids[3], ids[2], ids[1], ids[0]])
  })

  test("a check by a clock that is ahead hides no damage: the good backup stays", async () => {
    const verify = async (id: string, hoursAhead: number) => {
      const manifest = await readManifest(first, { database: "orders", id })
      const at = () => new Date(Date.parse("2026-01-05T00:00:00Z") + hoursAhead * 3_600_000)
      const seen = await readFindings(first, manifest)
      const silent = { update: () => {}, clear: () => {} }
      return verifyBackup(first, manifest, { seen }, { ...context, now: at, progress: silent })
    }
    const keepOne = { ...keepTwo, policy: { keepLast: 1 } }
    for (const id of [ids[0], ids[1]]) {
      await storeSample(first, { id })
      expect((await verify(id, id === ids[1] ? 1 : 0)).kind).toBe("verified")
    }
    await first.put(`orders/${ids[1]}/main.dump.zst.age`, Buffer.from("damaged"))
    expect((await verify(ids[1], 0)).kind).toBe("failed")
    await cleanup([first], keepOne, context)
    expect((await listBackups(first)).map(({ id, state }) => [id, state])).toEqual([
      [ids[1], "failed"],
      [ids[0], "verified"],
    ])
    // Once a newer one is good, the damaged one goes.
    await storeSample(first, { id: ids[2] })
    await verify(ids[2], 0)
    await cleanup([first], keepOne, context)
    expect(await idsIn(first)).toEqual([ids[2]])
  })

  test("a storage that fails is named, and the others are cleaned all the same", async () => {
    await storeAll(first)
    await storeAll(second)
    const broken = override(first, {
      remove: () => Promise.reject(new PgstowError("storage", "access denied")),
    })
    const result = await cleanup([broken, second], keepTwo, context)
    expect(result.storages).toMatchObject([
      { storage: first.url, removedBackups: 0, error: "access denied" },
      { storage: second.url, removedBackups: 2, error: null },
    ])
    expect(await idsIn(first)).toHaveLength(4)
    expect(await idsIn(second)).toHaveLength(2)
  })

  test("what can't be read is kept, named, and counts for nothing", async () => {
    await storeAll(first)
    const key = keyOf(sampleManifest({ id: ids[3] }), "manifest.json")
    await first.put(key, Buffer.from("{"))
    const result = await cleanup([first], keepTwo, context)
    expect(await idsIn(first)).toEqual([ids[3], ids[2], ids[1]])
    expect(result.storages[0]?.decisions[0]).toMatchObject({ id: ids[3], state: "unreadable", keep: true })
    expect(formatCleanup(result)).toContain("the manifest is not JSON")
  })

  test("what interrupted backups left goes after two days, once it was noted: objects and uploads", async () => {
    await storeSample(first, { id: ids[0] })
    await first.put(`orders/${ids[1]}/main.dump.zst.age`, Buffer.from("half of it"))
    const writer = await first.create(`orders/${ids[2]}/main.dump.zst.age`)
    await writer.write(Buffer.from("less"))
    const runAfter = async (hours: number, dryRun = false) => {
      const later = { ...context, now: () => new Date(Date.now() + hours * 3_600_000) }
      const result = await cleanup([first], { ...keepTwo, dryRun }, later)
      return { ...result.storages[0], text: formatCleanup(result) }
    }
    expect(await runAfter(47)).toMatchObject({ debris: [], staleUploads: 0 })

    const left = { database: "orders", id: ids[1], sizeBytes: 10 }
    const before = await keysOf(first)
    const seen = await runAfter(49, true)
    expect(seen).toMatchObject({ debris: [{ ...left, notedAt: null, due: false }], freedBytes: 0 })
    expect(seen.text).toContain(`would note what an interrupted backup left: ${ids[1]} of orders, 10 B`)
    expect(await keysOf(first)).toEqual(before)

    expect(await runAfter(49)).toMatchObject({
      debris: [{ ...left, due: false }],
      staleUploads: 1,
      freedBytes: 0,
    })
    const noted = await keysOf(first)
    expect(noted).toHaveLength(before.length + 1)
    expect((await runAfter(60)).debris).toMatchObject([{ id: ids[1], due: false }])
    expect(await keysOf(first)).toEqual(noted)

    const due = await runAfter(62, true)
    expect(due.debris).toMatchObject([{ id: ids[1], due: true }])
    expect(due.text).toContain(`would remove what an interrupted backup left: ${ids[1]} of orders`)
    expect(await keysOf(first)).toEqual(noted)
    const gone = await runAfter(62)
    expect(gone.debris).toEqual(due.debris)
    expect(gone.freedBytes).toBe(due.freedBytes)
    expect(await idsIn(first)).toEqual([ids[0]])
    expect((await keysOf(first)).every((key) => key.startsWith(`orders/${ids[0]}/`))).toBe(true)
    await writer.abort()
  })

  test("without a policy nothing is touched, and the error says what to write", async () => {
    await storeAll(first)
    const nothing = () => cleanup([first], { policy: {}, dryRun: false }, context)
    await expect(nothing).rejects.toMatchObject({ kind: "usage" })
    await expect(nothing).rejects.toThrow("no retention rule was given")
    expect(await idsIn(first)).toHaveLength(4)
  })

  test("an interruption ends it between two removals", async () => {
    await storeAll(first)
    const stop = new AbortController()
    const stopping = override(first, {
      remove: async (keys) => {
        stop.abort()
        await first.remove(keys)
      },
    })
    await expect(cleanup([stopping], keepTwo, { ...context, signal: stop.signal })).rejects.toThrow("aborted")
    expect(await idsIn(first)).toEqual([ids[3], ids[2], ids[1]])
  })

  test("people read every decision of a dry run, and of a real one what was removed", async () => {
    await storeAll(first)
    const dry = formatCleanup(await cleanup([first], { ...keepTwo, dryRun: true }, context))
    expect(dry.split("\n")).toEqual([
      first.url,
      "ID                         DATABASE  STATE      STORED  DECISION  BECAUSE",
      `${ids[3]}  orders    verified  1.3 MiB  keep      the newest verified backup is never removed; last 2`,
      `${ids[2]}  orders    verified  1.3 MiB  keep      last 2`,
      `${ids[1]}  orders    verified  1.3 MiB  remove    no rule keeps it`,
      `${ids[0]}  orders    verified  1.3 MiB  remove    no rule keeps it`,
      "would remove 2 of 4 backups, 2.6 MiB",
    ])
    const real = formatCleanup(await cleanup([first], keepTwo, context))
    expect(real).not.toContain(ids[3])
    expect(real).toContain(ids[0])
    expect(real).toContain("removed 2 of 4 backups, 2.6 MiB")
  })
})

test("cleanup by a clock that is ahead goes by the bucket's, and says so", async () => {
  const storages = await startS3Storages()
  const storage = storages.open()
  const startedAt = (hoursAgo: number) =>
    `${new Date(Date.now() - hoursAgo * 3_600_000).toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`
  const [young, old] = [`${startedAt(1)}-aaaaaaaa`, `${startedAt(30)}-bbbbbbbb`]
  await storeSample(storage, { id: young, checks: ["verified"] })
  await storeSample(storage, { id: old, checks: ["verified"] })
  await storage.put(`orders/${startedAt(3)}-cccccccc/main.dump.zst.age`, Buffer.from("being written"))
  const options = { policy: { keepDays: 2 }, dryRun: false }
  const clean = async (hoursAhead: number) => {
    const now = () => new Date(Date.now() + hoursAhead * 3_600_000)
    return cleanup([storage], options, { now, signal: new AbortController().signal })
  }
  const ahead = await clean(72)
  expect(ahead.storages).toMatchObject([{ removedBackups: 0, debris: [], error: null }])
  expect(ahead.storages[0]?.clockAheadSeconds).toBeCloseTo(72 * 3600, -2)
  expect(formatCleanup(ahead)).toContain(`this machine's clock is 72 h 0 min ahead of that of ${storage.url}`)
  expect((await clean(0)).storages).toMatchObject([
    { removedBackups: 0, debris: [], clockAheadSeconds: null },
  ])
  expect((await listBackups(storage)).map(({ id }) => id)).toEqual([young, old])
  storage.close()
  await storages.close()
})

describe("a bucket", () => {
  const context = { now: () => now, signal: new AbortController().signal }
  const open = async () => {
    const storages = await startS3Storages()
    onTestFinished(() => storages.close())
    const storage = override(storages.open(), { clock: () => undefined })
    onTestFinished(() => storage.close())
    for (const id of ids) await storeSample(storage, { id, checks: ["verified"] })
    return { endpoint: storages.endpoint, storage }
  }

  test("with locked objects keeps these, each named, and all else that is to go goes, uploads and debris too", async () => {
    const { endpoint, storage } = await open()
    const locked = [keyOf({ database: "orders", id: ids[0] }, "manifest.json")]
    for (const name of ["main.dump.zst.age", "globals.sql.zst.age"])
      locked.push(keyOf({ database: "orders", id: ids[1] }, name))
    for (const key of locked) endpoint.lock("backups", `1/${key}`)
    const debris = "orders/20251201T030000Z-eeeeeeee/main.dump.zst.age"
    await storage.put(debris, Buffer.from("left"))
    const left = await storage.create("orders/20251202T030000Z-ffffffff/main.dump.zst.age")
    await left.write(Buffer.from("left"))

    const result = await cleanup([storage], { ...keepTwo, policy: { keepLast: 1 } }, context)
    expect(result.storages).toMatchObject([{ removedBackups: 1, staleUploads: 1, notes: [] }])
    expect(result.storages[0]?.debris).toMatchObject([{ id: "20251201T030000Z-eeeeeeee", notedAt: null }])
    for (const key of locked) expect(result.storages[0]?.error).toContain(key)
    expect((await listBackups(storage)).map(({ id }) => id)).toEqual([ids[3], ids[0]])
    const keys = await keysOf(storage)
    for (const key of locked) expect(keys).toContain(key)
    expect(keys.filter((key) => key.includes(ids[2]))).toEqual([])
  })

  test("that keeps versions, or can't list unfinished uploads, is said to", async () => {
    const { endpoint, storage } = await open()
    endpoint.keepVersions("backups")
    endpoint.rules.add("no-list-uploads").add("no-delete-objects")
    const result = await cleanup([storage], keepTwo, context)
    expect(result.storages).toMatchObject([{ removedBackups: 2, staleUploads: 0, error: null }])
    const text = formatCleanup(result)
    expect(text).toContain("The bucket keeps versions")
    expect(text).toContain("The service can't list unfinished uploads")
  })
})

test("a bucket that confirms the removal of a manifest, and does not remove it, keeps its objects", async () => {
  const storages = await startS3Storages()
  const storage = storages.open()
  for (const id of ids) await storeSample(storage, { id, checks: ["verified"] })
  const before = await keysOf(storage)
  let left = 1
  storages.endpoint.inject(({ operation }) =>
    operation === "DeleteObjects" && left-- > 0 ? { answer: "<DeleteResult/>" } : undefined,
  )
  const context = { now: () => new Date(), signal: new AbortController().signal }
  const { storages: cleaned } = await cleanup([storage], keepTwo, context)
  expect(cleaned).toMatchObject([{ removedBackups: 0, error: /still has orders.*manifest\.json/ }])
  expect(await keysOf(storage)).toEqual(before)
  storage.close()
  await storages.close()
})

test("a bucket that is wrong about one manifest costs no backup, however long it stays so", async () => {
  const storages = await startS3Storages()
  const storage = override(storages.open(), { clock: () => undefined })
  const manifest = await storeSample(storage, { id: ids[0], checks: ["verified"] })
  await storeSample(storage, { id: ids[1], checks: ["verified"] })
  for (const operation of ["HeadObject", "GetObject"])
    for (const hours of [49, 73, 97, 121]) {
      storages.endpoint.inject((request) =>
        request.operation === operation && request.key.endsWith(`${ids[0]}/manifest.json`)
          ? { status: 404, code: "NoSuchKey" }
          : undefined,
      )
      const context = {
        now: () => new Date(Date.now() + hours * 3_600_000),
        signal: new AbortController().signal,
      }
      const result = await cleanup([storage], keepTwo, context)
      expect(result.storages).toMatchObject([{ removedBackups: 0, debris: [], error: null }])
    }
  storages.endpoint.inject()
  expect(await readManifest(storage, manifest)).toEqual(manifest)
  expect(await listBackups(storage)).toHaveLength(2)
  storage.close()
  await storages.close()
})
