import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { keyOf, listBackups, manifestName } from "../../task/catalog/catalog.ts"
import { type RemoveOptions, remove, removeFailure } from "../../task/catalog/remove.ts"
import { PgstowError } from "../../task/errors.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { override } from "../support/override.ts"
import { quiet } from "../support/quiet.ts"
import { storeSample } from "../support/sample-backup.ts"
import { keysOf } from "../support/storage-contents.ts"
import { type Storages, storageKinds } from "../support/storage-kinds.ts"

const older = "20260101T030000Z-aaaaaaaa"
const newer = "20260102T030000Z-bbbbbbbb"

describe.each(storageKinds)("remove from $kind", ({ start }) => {
  let storages: Storages
  let first: Storage
  let second: Storage
  beforeAll(async () => {
    storages = await start()
  })
  afterAll(() => storages.close())
  beforeEach(() => {
    first = storages.open()
    second = storages.open()
  })
  afterEach(() => {
    first.close()
    second.close()
  })

  const context = {
    now: () => new Date(),
    signal: new AbortController().signal,
    log: { ...quiet.log, warn: () => {} },
  }
  const removeNow = (id: string, more: Partial<RemoveOptions> = {}, from = [first, second]) =>
    remove(from, { id, force: false, confirm: async () => {}, ...more }, context)
  const idsIn = async (storage: Storage) => (await listBackups(storage)).map(({ id }) => id)

  test("takes every copy, and nothing of another backup", async () => {
    for (const storage of [first, second]) {
      await storeSample(storage, { id: older, checks: ["verified"] })
      await storeSample(storage, { id: newer, checks: ["verified"] })
    }
    const result = await removeNow("20260101")
    expect(result).toMatchObject({ database: "orders", id: older })
    expect(result.storages.map(({ error }) => error)).toEqual([null, null])
    expect(removeFailure(result)).toBeUndefined()
    for (const storage of [first, second]) {
      expect((await keysOf(storage)).filter((key) => key.includes(older))).toEqual([])
      expect(await idsIn(storage)).toEqual([newer])
    }
  })

  test.each([
    ["verified, though a newer one is not", older, ["verified"], []],
    ["the newest of those never verified", newer, [], []],
    ["not damaged, though a newer one is", older, [], ["failed"]],
    ["all damaged: part of it may be all there is", newer, ["failed"], ["failed"]],
  ] as const)(
    "refuses the newest good backup without --force: %s",
    async (_, id, olderChecks, newerChecks) => {
      await storeSample(first, { id: older, checks: olderChecks })
      await storeSample(first, { id: newer, checks: newerChecks })
      await storeSample(second, { id: newer, database: "other", checks: ["verified"] })
      const refused = removeNow(id, { database: "orders" })
      await expect(refused).rejects.toMatchObject({
        kind: "usage",
        hint: expect.stringContaining("--force") as string,
      })
      expect(await idsIn(first)).toEqual([newer, older])
      await removeNow(id, { database: "orders", force: true })
      expect(await idsIn(first)).not.toContain(id)
      expect(await idsIn(second)).toEqual([newer])
    },
  )

  test("removes nothing where the answer is no, a storage can't be read, or no id was given", async () => {
    await storeSample(first, { id: older })
    await storeSample(first, { id: newer, checks: ["verified"] })
    const no = new PgstowError("notConfirmed", "no")
    await expect(removeNow(older, { confirm: () => Promise.reject(no) })).rejects.toBe(no)
    const dead = override(second, {
      listFolders: () => Promise.reject(new PgstowError("storage", "it is dead")),
    })
    await expect(removeNow(older, {}, [first, dead])).rejects.toMatchObject({ kind: "storage" })
    await expect(removeNow("latest", { force: true })).rejects.toMatchObject({ kind: "usage" })
    expect(await idsIn(first)).toEqual([newer, older])
  })

  test("removes the manifest before anything else, and a backup whose manifest can't be read", async () => {
    await storeSample(first, { id: newer, checks: ["verified"] })
    const manifest = await storeSample(first, { id: older })
    await first.put(keyOf(manifest, manifestName), Buffer.from("{"))
    const removed: string[] = []
    const watched = override(first, {
      remove: async (keys) => {
        removed.push(...keys)
        await first.remove(keys)
      },
    })
    await removeNow(older, {}, [watched])
    expect(removed[0]).toBe(keyOf(manifest, manifestName))
    expect((await keysOf(first)).filter((key) => key.includes(older))).toEqual([])
  })

  test("what is not named by an id is refused, since it may be somebody else's", async () => {
    await storeSample(first, { id: newer, checks: ["verified"] })
    await first.put("orders/mine/manifest.json", Buffer.from("{"))
    await expect(removeNow("mine", {}, [first])).rejects.toMatchObject({
      kind: "usage",
      message: '"mine" of "orders" is not named by an id, and is never removed',
    })
    await expect(removeNow("", { force: true }, [first])).rejects.toMatchObject({ kind: "usage" })
    expect(await keysOf(first)).toContain("orders/mine/manifest.json")
    expect(await idsIn(first)).toEqual(["mine", newer])
  })

  test("a copy that may not be removed is named, and the other goes", async () => {
    for (const storage of [first, second]) {
      await storeSample(storage, { id: older })
      await storeSample(storage, { id: newer, checks: ["verified"] })
    }
    const locked = override(first, {
      remove: () => Promise.reject(new PgstowError("storage", "it is protected by Object Lock")),
    })
    const result = await removeNow(older, {}, [locked, second])
    expect(removeFailure(result)).toMatchObject({
      kind: "storage",
      message: `not all of ${older} was removed: it is protected by Object Lock`,
    })
    expect(await idsIn(first)).toEqual([newer, older])
    expect(await idsIn(second)).toEqual([newer])
  })
})
