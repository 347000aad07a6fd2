import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { keyOf, listBackups, readManifest } from "../../task/catalog/catalog.ts"
import { type DebrisOptions, findDebris, noteDebris, removeDebris } from "../../task/catalog/debris.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { override } from "../support/override.ts"
import { storeSample } from "../support/sample-backup.ts"
import { keysOf } from "../support/storage-contents.ts"
import { type Storages, startS3Storages, storageKinds } from "../support/storage-kinds.ts"

const ids = ["20260101T030000Z-aaaaaaaa", "20260102T030000Z-bbbbbbbb"] as const
const half = { database: "orders", id: ids[0] }
const options: DebrisOptions = { olderThanHours: 48, backups: [] }
// The objects are written now: the clock is moved on instead.
const later = (hours: number) => new Date(Date.now() + hours * 3_600_000)

describe.each(storageKinds)("debris in $kind", ({ start }) => {
  let storages: Storages
  let storage: Storage
  beforeAll(async () => {
    storages = await start()
  })
  afterAll(() => storages.close())
  beforeEach(async () => {
    storage = storages.open()
    await storage.put(keyOf(half, "main.dump.zst.age"), Buffer.from("half of it"))
  })
  afterEach(() => storage.close())

  test("is what has no manifest and was not touched for 48 hours", async () => {
    const found = { ...half, sizeBytes: 10, notedAt: null, due: false }
    await storeSample(storage, { id: ids[1] })
    await storage.put("orders/notes/README", Buffer.from("mine"))
    expect(await findDebris(storage, later(47), options)).toEqual([])
    expect(await findDebris(storage, later(49), options)).toEqual([found])
    expect(await findDebris(storage, later(2), { ...options, olderThanHours: 1 })).toEqual([found])
    expect(await findDebris(storage, later(49), { ...options, database: "shop" })).toEqual([])
  })

  test("is not what a backup that was started lately may still be writing", async () => {
    const now = later(49)
    const id = `${now.toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z-zzzzzzzz`
    await storage.put(`orders/${id}/main.dump.zst.age`, Buffer.from("being written"))
    expect((await findDebris(storage, now, options)).map((debris) => debris.id)).toEqual([ids[0]])
  })

  test("is due once a run has noted it, 12 hours later, and the note does not put that off", async () => {
    await noteDebris(storage, half, later(49))
    expect(await findDebris(storage, later(49), options)).toMatchObject([{ ...half, due: false }])
    expect(await findDebris(storage, later(60), options)).toMatchObject([{ ...half, due: false }])
    const [debris] = await findDebris(storage, later(62), options)
    expect(debris).toMatchObject({ ...half, due: true })
    expect(await findDebris(storage, later(47), options)).toEqual([])
  })

  test("is not due by a note from the future, or by one that the storage took later than it says", async () => {
    await noteDebris(storage, half, later(200))
    expect(await findDebris(storage, later(100), options)).toMatchObject([{ ...half, notedAt: null }])
    await noteDebris(storage, half, later(-100))
    expect(await findDebris(storage, later(11), { ...options, olderThanHours: 1 })).toMatchObject([
      { ...half, due: false },
    ])
  })

  test("is removed with its checks and notes, and nothing else", async () => {
    const kept = await storeSample(storage, { id: ids[1] })
    await storage.put(keyOf(half, "checks/20260101T050000Z-verified-xxxxxxxx.json"), Buffer.from("{}"))
    expect(await removeDebris(storage, half)).toBe(12)
    expect((await keysOf(storage)).every((key) => key.startsWith(keyOf(kept, "")))).toBe(true)
  })

  test("is none where the catalog has read a manifest, whatever the storage says since", async () => {
    const manifest = await storeSample(storage, { id: ids[1], checks: ["verified"] })
    await noteDebris(storage, manifest, later(0))
    await storage.remove([keyOf(manifest, "manifest.json")])
    const find = (backups: DebrisOptions["backups"]) =>
      findDebris(storage, later(70), { ...options, backups })
    expect((await find([])).map(({ id }) => id)).toContain(ids[1])
    expect((await find([manifest])).map(({ id }) => id)).not.toContain(ids[1])
  })

  test("is none as long as one way of asking shows a manifest, or is refused an answer", async () => {
    const manifest = await storeSample(storage, { id: ids[0], checks: ["verified"] })
    await noteDebris(storage, manifest, later(0))
    const key = keyOf(manifest, "manifest.json")
    const stat: Storage["stat"] = async (asked) => (asked === key ? undefined : storage.stat(asked))
    const list: Storage["list"] = async function* (prefix) {
      for await (const object of storage.list(prefix)) if (object.key !== key) yield object
    }
    for (const wrong of [{ stat }, { list }, { stat, list }].map((methods) => override(storage, methods))) {
      expect(await findDebris(wrong, later(70), options)).toEqual([])
      expect(await removeDebris(wrong, manifest)).toBe(0)
    }
    expect(await readManifest(storage, manifest)).toEqual(manifest)
  })

  test("that has become a backup meanwhile stays, and its notes say nothing of its state", async () => {
    await noteDebris(storage, half, later(0))
    const manifest = await storeSample(storage, { id: ids[0] })
    expect(await removeDebris(storage, half)).toBe(0)
    expect(await listBackups(storage)).toMatchObject([{ manifest, state: "unverified", findings: [] }])
  })
})

test("no one wrong answer of a bucket makes debris of a backup", async () => {
  const storages = await startS3Storages()
  const storage = storages.open()
  const manifest = await storeSample(storage, { id: ids[0], checks: ["verified"] })
  await noteDebris(storage, manifest, later(0))
  const before = await keysOf(storage)
  for (const operation of ["HeadObject", "GetObject", "ListObjectsV2"])
    for (const [status, code] of [
      [404, "NoSuchKey"],
      [403, "AccessDenied"],
    ] as const) {
      storages.endpoint.inject((request) => (request.operation === operation ? { status, code } : undefined))
      const found = findDebris(storage, later(70), options)
      if (operation === "ListObjectsV2") await expect(found).rejects.toMatchObject({ kind: "storage" })
      else expect(await found, `${operation} ${code}`).toEqual([])
    }
  storages.endpoint.inject()
  expect(await keysOf(storage)).toEqual(before)
  storage.close()
  await storages.close()
})
