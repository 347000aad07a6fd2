import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import {
  keyOf,
  listBackups,
  listDatabases,
  putCheck,
  putManifest,
  readChecks,
  readManifest,
  removeBackup,
} from "../../task/catalog/catalog.ts"
import { formatManifest } from "../../task/core/manifest.ts"
import { ObjectExistsError, ObjectNotFoundError, type Storage } from "../../task/storage/storage.ts"
import { override } from "../support/override.ts"
import { sampleManifest, storeSample } from "../support/sample-backup.ts"
import { contentOf, keysOf } from "../support/storage-contents.ts"
import { type Storages, storageKinds } from "../support/storage-kinds.ts"

const ids = ["20260101T030000Z-aaaaaaaa", "20260102T030000Z-bbbbbbbb", "20260103T030000Z-cccccccc"] as const
const strangeNames = [
  "orders",
  "quo\"ted'",
  "sla/sh",
  "line\nbreak",
  "📚 Bücher",
  ".",
  "..",
  "../..",
  "%2E",
  " ",
]

describe.each(storageKinds)("the catalog in $kind", ({ start }) => {
  let storages: Storages
  let storage: Storage
  beforeAll(async () => {
    storages = await start()
  })
  afterAll(() => storages.close())
  beforeEach(() => {
    storage = storages.open()
  })
  afterEach(() => storage.close())

  test("an empty storage holds no database and no backup", async () => {
    expect(await listDatabases(storage)).toEqual([])
    expect(await listBackups(storage)).toEqual([])
    expect(await listBackups(storage, "orders")).toEqual([])
  })

  test("backups are listed newest first, with what their manifests say", async () => {
    for (const id of [ids[1], ids[2], ids[0]]) await storeSample(storage, { id })
    await storeSample(storage, { id: ids[1], database: "shop" })
    const entries = await listBackups(storage)
    expect(entries.map(({ id, database }) => [id, database])).toEqual([
      [ids[2], "orders"],
      [ids[1], "orders"],
      [ids[1], "shop"],
      [ids[0], "orders"],
    ])
    expect(entries[0]?.manifest).toEqual(sampleManifest({ id: ids[2] }))
    expect((await listBackups(storage, "shop")).map(({ database }) => database)).toEqual(["shop"])
  })

  test("a database of any name keeps its backups to itself", async () => {
    for (const database of strangeNames) await storeSample(storage, { id: ids[0], database })
    expect(await listDatabases(storage)).toEqual(strangeNames.toSorted())
    for (const database of strangeNames) {
      const entries = await listBackups(storage, database)
      expect(entries.map(({ manifest }) => manifest?.database)).toEqual([database])
    }
    await removeBackup(storage, { database: "..", id: ids[0] })
    expect(await listDatabases(storage)).toEqual(strangeNames.filter((name) => name !== "..").toSorted())
  })

  test("a folder without a manifest, or of something else, is no backup", async () => {
    await storeSample(storage, { id: ids[0] })
    await storage.put(`orders/${ids[1]}/main.dump.zst.age`, Buffer.from("half"))
    await storage.put("orders/notes/README", Buffer.from("mine"))
    await storage.put("README", Buffer.from("mine"))
    expect((await listBackups(storage)).map(({ id }) => id)).toEqual([ids[0]])
  })

  test("the state is what the checks found last", async () => {
    await storeSample(storage, { id: ids[0], checks: ["verified", "failed"] })
    await storeSample(storage, { id: ids[1], checks: ["failed", "deep-verified"] })
    await storeSample(storage, { id: ids[2] })
    expect((await listBackups(storage)).map(({ state, finding }) => [state, finding?.kind])).toEqual([
      ["unverified", undefined],
      ["verified", "deep-verified"],
      ["failed", "failed"],
    ])
  })

  test("checks made at the same moment all stay, and a damaged record hides no other", async () => {
    const name = await storeSample(storage, { id: ids[0] })
    const check = { kind: "verified", at: "2026-01-01T04:00:00Z", by: "pgstow 0.1.0", problems: [] } as const
    await Promise.all(Array.from({ length: 5 }, () => putCheck(storage, name, check, [])))
    await storage.put(keyOf(name, "checks/20260101T050000Z-failed-xxxxxxxx.json"), Buffer.from("{"))
    expect(await readChecks(storage, name)).toEqual(Array.from({ length: 5 }, () => check))
    // The name alone says that it failed: a record cut short is no reason to trust the backup.
    expect((await listBackups(storage))[0]?.state).toBe("failed")
  })

  test("a manifest is put once: a second one leaves the first as it is", async () => {
    const manifest = await storeSample(storage, { id: ids[0] })
    const other = { ...manifest, writtenBy: "someone else" }
    await expect(putManifest(storage, other)).rejects.toThrow(ObjectExistsError)
    expect(await readManifest(storage, manifest)).toEqual(manifest)
  })

  describe("a manifest that can't be used is listed with the reason, and hides no other backup:", () => {
    const good = sampleManifest({ id: ids[0] })
    test.each([
      ["not JSON", "{", "the manifest is not JSON"],
      ["empty", "", "the manifest is not JSON"],
      ["cut short", formatManifest(good).slice(0, 400), "the manifest is not JSON"],
      [
        "a field missing",
        JSON.stringify({ ...good, snapshot: undefined }),
        "the manifest is damaged: snapshot",
      ],
      ["newer format", JSON.stringify({ format: 3, shape: "unknown" }), "the manifest has format version 3"],
      ["no object", JSON.stringify({ ...good, objects: [] }), "the manifest is damaged: objects"],
      [
        "an object outside the folder",
        JSON.stringify({ ...good, objects: [{ ...good.objects[0], name: "a/../../b" }] }),
        "the manifest is damaged: objects.0.name",
      ],
      [
        "another backup's",
        formatManifest(sampleManifest({ id: ids[1] })),
        `is the manifest of backup ${ids[1]}`,
      ],
      [
        "another database's",
        formatManifest(sampleManifest({ id: ids[0], database: "shop" })),
        `is the manifest of backup ${ids[0]} of "shop"`,
      ],
    ])("%s", async (_, manifestText, reason) => {
      await storeSample(storage, { id: ids[2], checks: ["verified"] })
      await storeSample(storage, { id: ids[0], checks: ["verified"] })
      const key = keyOf(good, "manifest.json")
      await storage.put(key, Buffer.from(manifestText))
      const [newest, broken, ...others] = await listBackups(storage)
      expect(others).toEqual([])
      expect(newest?.problem).toBeUndefined()
      expect(broken).toMatchObject({ database: "orders", id: ids[0], state: "verified" })
      expect(broken?.manifest).toBeUndefined()
      expect(broken?.problem).toMatchObject({ kind: "damaged" })
      const messages = [broken?.problem?.message, String(broken?.problem?.cause)].join(" ")
      expect(messages).toContain(reason)
      expect(messages).toContain(key)
      await expect(readManifest(storage, good)).rejects.toThrow(broken?.problem?.message)
    })
  })

  test("a backup copied to a folder of another name is listed as misplaced", async () => {
    await storage.put(
      "orders/old-one/manifest.json",
      Buffer.from(formatManifest(sampleManifest({ id: ids[0] }))),
    )
    const [entry] = await listBackups(storage)
    expect(entry).toMatchObject({ id: "old-one", database: "orders", state: "unverified" })
    expect(entry?.problem?.hint).toContain(`orders/${ids[0]}/`)
  })

  test("removing a backup frees all of it and touches nothing else", async () => {
    await storeSample(storage, { id: ids[0], checks: ["verified", "failed"] })
    const kept = await storeSample(storage, { id: ids[1], checks: ["verified"] })
    const before = await Array.fromAsync(storage.list(`orders/${ids[0]}/`))
    const freed = await removeBackup(storage, { database: "orders", id: ids[0] })
    expect(freed).toBe(before.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))
    expect(before.length).toBe(5)
    expect((await keysOf(storage)).every((key) => key.startsWith(keyOf(kept, "")))).toBe(true)
    expect((await listBackups(storage)).map(({ id }) => id)).toEqual([ids[1]])
  })

  test("a removal interrupted after its first step leaves debris, and no backup", async () => {
    const manifest = await storeSample(storage, { id: ids[0], checks: ["verified"] })
    const interrupted = override(storage, {
      remove: async (keys) => {
        await storage.remove(keys.slice(0, 1))
        throw new Error("the power went")
      },
    })
    await expect(removeBackup(interrupted, manifest)).rejects.toThrow("the power went")
    expect(await listBackups(storage)).toEqual([])
    await expect(readManifest(storage, manifest)).rejects.toThrow(ObjectNotFoundError)
    expect((await keysOf(storage, keyOf(manifest, ""))).length).toBe(3)
  })

  test("what is no backup id is never removed: it could be a folder of many", async () => {
    await storeSample(storage, { id: ids[0] })
    for (const id of ["", ".", "..", "old", `${ids[0]}/checks`])
      await expect(removeBackup(storage, { database: "orders", id })).rejects.toThrow(RangeError)
    expect((await listBackups(storage)).length).toBe(1)
  })

  test("a stored manifest is the text that the format describes", async () => {
    const manifest = await storeSample(storage, { id: ids[0] })
    const stored = await contentOf(storage, `orders/${ids[0]}/manifest.json`)
    expect(stored.toString()).toBe(`${JSON.stringify(manifest, null, 2)}\n`)
  })
})
