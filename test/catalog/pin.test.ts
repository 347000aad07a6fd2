import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { checksFolder, keyOf, listBackups, readPins } from "../../task/catalog/catalog.ts"
import { cleanup } from "../../task/catalog/clean-up.ts"
import { list } from "../../task/catalog/list.ts"
import { pin, pinFailure, unpin } from "../../task/catalog/pin.ts"
import { remove } from "../../task/catalog/remove.ts"
import { show } from "../../task/catalog/show.ts"
import { formatList } from "../../task/commands/list.ts"
import { formatPinned } from "../../task/commands/pin.ts"
import { formatShow } from "../../task/commands/show.ts"
import { PgstowError } from "../../task/errors.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { override } from "../support/override.ts"
import { quiet } from "../support/quiet.ts"
import { sampleManifest, storeSample } from "../support/sample-backup.ts"
import { type Storages, storageKinds } from "../support/storage-kinds.ts"

const older = "20260101T030000Z-aaaaaaaa"
const newer = "20260102T030000Z-bbbbbbbb"
const reason = "before the migration"

describe.each(storageKinds)("pins in $kind", ({ start }) => {
  let storages: Storages
  let first: Storage
  let second: Storage
  beforeAll(async () => {
    storages = await start()
  })
  afterAll(() => storages.close())
  beforeEach(async () => {
    first = storages.open()
    second = storages.open()
    for (const storage of [first, second])
      for (const id of [older, newer]) await storeSample(storage, { id, checks: ["verified"] })
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
  const policy = { policy: { keepLast: 1 }, dryRun: false }
  const idsIn = async (storage: Storage) => (await listBackups(storage)).map(({ id }) => id)
  const pinOlder = () => pin([first, second], { backup: "20260101", reason }, context)
  const removeOlder = (force: boolean) =>
    remove([first, second], { id: older, force, confirm: async () => {} }, context)

  test("a pinned backup outlives cleanup in every storage, until it is unpinned", async () => {
    const pinned = await pinOlder()
    expect(pinned).toMatchObject({
      id: older,
      storages: [
        { notes: 1, error: null },
        { notes: 1, error: null },
      ],
    })
    expect(formatPinned(pinned, "pinned")).toContain(`pinned ${older} of orders in ${second.url}`)
    const kept = await cleanup([first, second], policy, context)
    expect(kept.storages[1]?.decisions).toMatchObject([{ id: newer }, { id: older, because: ["pinned"] }])
    for (const storage of [first, second]) expect(await idsIn(storage)).toEqual([newer, older])
    await pinOlder()
    expect(await unpin([first], { backup: older }, context)).toMatchObject({ storages: [{ notes: 2 }] })
    await cleanup([first, second], policy, context)
    expect(await idsIn(first)).toEqual([newer])
    expect(await idsIn(second)).toEqual([newer, older])
    const again = await unpin([first], { backup: newer }, context)
    expect(formatPinned(again, "unpinned")).toBe(`${newer} of orders was not pinned in ${first.url}`)
  })

  test("one that is pinned while a cleanup runs stays", async () => {
    let isRead = false
    const racing = override(first, {
      list: (prefix) => {
        // In a bucket, the catalog lists all of a database at once.
        if (prefix === "orders/") isRead = true
        return first.list(prefix)
      },
      listKeys: async (prefix) => {
        if (prefix === keyOf({ database: "orders", id: older }, checksFolder)) {
          // Where it reads it singly, it does so first; what comes then is the removal.
          if (isRead && (await readPins(first, { database: "orders", id: older })).length === 0)
            await pin([first], { backup: older, reason }, context)
          isRead = true
        }
        return first.listKeys(prefix)
      },
    })
    const { storages: done } = await cleanup([racing], policy, context)
    expect(done).toMatchObject([
      { removedBackups: 0, decisions: [{}, { keep: true, because: ["pinned meanwhile"] }] },
    ])
    expect(await idsIn(first)).toEqual([newer, older])
  })

  test("list and show say so, with the reason", async () => {
    await pinOlder()
    const listed = await list([first], { warn: () => {} })
    expect(listed.backups.map(({ pinned }) => pinned)).toEqual([false, true])
    expect(formatList(listed)).toMatch(/aaaaaaaa .*verified, pinned$/m)
    const shown = await show([first], { backup: older }, context)
    expect(shown).toMatchObject({ state: "verified", checks: [{ kind: "verified" }], pins: [{ reason }] })
    expect(formatShow(shown)).toMatch(/^pinned +\d.* UTC by pgstow .*: before the migration$/m)
  })

  test("a note whose content is damaged pins all the same", async () => {
    const key = keyOf(sampleManifest({ id: older }), `${checksFolder}20260103T040000Z-pinned-7c0de4xy.json`)
    await first.put(key, Buffer.from("{"))
    await cleanup([first], policy, context)
    expect(await idsIn(first)).toEqual([newer, older])
    const shown = await show([first], { backup: older }, context)
    expect(formatShow(shown)).toMatch(/pinned .*: its reason can't be read$/m)
  })

  test("remove takes it only by force", async () => {
    await pin([second], { backup: older, reason }, context)
    await expect(removeOlder(false)).rejects.toMatchObject({
      kind: "usage",
      message: `${older} is pinned in ${second.url}`,
      hint: expect.stringMatching(/pgstow unpin .*--force/) as string,
    })
    expect(await idsIn(first)).toEqual([newer, older])
    await removeOlder(true)
    expect(await idsIn(second)).toEqual([newer])
  })

  test("where a storage does not take it, the others have it, and that is said", async () => {
    const full = override(second, {
      put: () => Promise.reject(new PgstowError("storage", "no space left")),
    })
    const result = await pin([first, full], { backup: older, reason }, context)
    expect(result.storages.map(({ error }) => error)).toEqual([null, "no space left"])
    expect(pinFailure(result)).toMatchObject({
      kind: "storage",
      message: `nothing was noted of ${older} in ${second.url}: no space left`,
    })
    const dead = override(second, {
      listFolders: () => Promise.reject(new PgstowError("storage", "no route to host")),
    })
    expect(pinFailure(await unpin([first, dead], { backup: older }, context))?.message).toContain(second.url)
  })

  test("there must be a reason, and such a backup", async () => {
    await expect(pin([first], { backup: older, reason: " " }, context)).rejects.toMatchObject({
      kind: "usage",
    })
    await expect(pin([first], { backup: older, reason: "x".repeat(1_001) }, context)).rejects.toMatchObject({
      kind: "usage",
    })
    await expect(pin([first], { backup: "2025", reason }, context)).rejects.toMatchObject({
      kind: "notFound",
    })
  })
})
