import { afterEach, beforeEach, expect, test } from "vitest"
import { remove } from "../../task/catalog/remove.ts"
import { PgstowError } from "../../task/errors.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { verifyCopies, verifyFailure } from "../../task/verify/verify.ts"
import { severalFailure, verifySeveral } from "../../task/verify/verify-several.ts"
import { testContext } from "../support/context.ts"
import { override } from "../support/override.ts"
import { storeSample } from "../support/sample-backup.ts"
import { keysOf } from "../support/storage-contents.ts"
import { type Storages, startFileStorages } from "../support/storage-kinds.ts"

const [first, second] = ["20260101T030000Z-aaaaaaaa", "20260102T030000Z-bbbbbbbb"] as const
const noRoute = new PgstowError("storage", "no route to host")
const all = { backups: "all", deep: undefined, onBackup: () => {} } as const

let storages: Storages
let half: Storage
beforeEach(async () => {
  storages = await startFileStorages()
  const storage = storages.open()
  await storeSample(storage, { id: first })
  await storeSample(storage, { id: second, database: "shop" })
  half = override(storage, {
    listFolders: (prefix) => (prefix === "shop/" ? Promise.reject(noRoute) : storage.listFolders(prefix)),
  })
})
afterEach(() => storages.close())

test("all are verified that can be listed, and a database that can't be is a failure", async () => {
  const verified = await verifySeveral([half], { ...all, database: undefined }, testContext())
  expect(verified.map(({ database, id, failure }) => [database, id, failure])).toEqual([
    ["orders", first, undefined],
    ["shop", "*", noRoute],
  ])
  expect(severalFailure(verified)).toMatchObject({ kind: "storage" })
  const ofOne = verifySeveral([half], { ...all, database: "shop" }, testContext())
  await expect(ofOne).rejects.toThrow(noRoute)
})

test("a storage that can't be read may have a copy of each: that is a failure, too", async () => {
  const good = storages.open()
  await storeSample(good, { id: first })
  const dead = override(half, { listFolders: () => Promise.reject(noRoute) })
  const verified = await verifySeveral([good, dead], { ...all, database: undefined }, testContext())
  // Said once, however many backups there are.
  expect(verified.map(({ database, id, failure }) => [database, id, failure])).toEqual([
    ["orders", first, undefined],
    ["*", "*", noRoute],
  ])
  expect(verified[0]?.copies?.results).toMatchObject([{ kind: "verified" }])
  expect(severalFailure(verified)).toMatchObject({ kind: "storage" })
  const choice = { backup: "latest", database: undefined, deep: undefined }
  const copies = await verifyCopies([dead, good], choice, testContext())
  expect(copies.results).toMatchObject([{ kind: "verified" }])
  expect(verifyFailure(copies)).toBe(noRoute)
})

test("nothing is removed where a database's folder can't be listed, which may have a copy", async () => {
  const before = await keysOf(half)
  const options = { id: first, force: true, confirm: () => Promise.resolve() }
  await expect(remove([half], options, testContext())).rejects.toMatchObject({
    kind: "storage",
    message: "nothing was removed: a storage can't be read, and may have a copy",
  })
  expect(await keysOf(half)).toEqual(before)
})
