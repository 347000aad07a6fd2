import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { type CatalogEntry, listBackups, manifestsBefore, readStorage } from "../../task/catalog/catalog.ts"
import { pin } from "../../task/catalog/pin.ts"
import { backupId } from "../../task/core/backup-id.ts"
import type { CheckKind } from "../../task/core/check.ts"
import { listAcross } from "../../task/storage/list-across.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { testContext } from "../support/context.ts"
import { override } from "../support/override.ts"
import { storeSample } from "../support/sample-backup.ts"
import { startFileStorages, startS3Storages } from "../support/storage-kinds.ts"

const first = Date.UTC(2026, 0, 1, 3)
const objects = { "main.dump.zst.age": Buffer.from("main") }
const checks: readonly (readonly CheckKind[])[] = [[], ["verified"], ["failed"], ["verified", "drilled"]]
const ids = Array.from({ length: 12 }, (_, n) => backupId(new Date(first + n * 86_400_000), Array(6).fill(0)))

describe("of a bucket, a catalog", () => {
  let storages: Awaited<ReturnType<typeof startS3Storages>>
  let storage: Storage
  beforeAll(async () => {
    storages = await startS3Storages()
  })
  afterAll(() => storages.close())
  beforeEach(async () => {
    storage = storages.open()
    for (const database of ["orders", "shop"])
      for (const [n, id] of ids.entries())
        await storeSample(storage, { id, database, objects, checks: checks[n % checks.length] ?? [] })
  })
  afterEach(() => {
    storages.endpoint.inject()
    storage.close()
  })

  /** How many requests of each kind `work` makes. */
  async function requestsOf(work: () => Promise<unknown>): Promise<Record<string, number>> {
    const before = storages.endpoint.requests.length
    await work()
    const made = Map.groupBy(storages.endpoint.requests.slice(before), ({ operation }) => operation)
    return Object.fromEntries([...made].map(([operation, each]) => [operation, each.length]))
  }

  const knownOf = (entries: readonly CatalogEntry[]) =>
    entries.map(({ database, id, state, findings, pins, problem }) => {
      const known = findings.toSorted((a, b) => (a.id < b.id ? -1 : 1))
      return { database, id, state, findings: known, pins, problem }
    })
  const singly = () => override(storage, { listsAcrossFolders: false })

  test("takes one request for each manifest, and lists no backup by itself", async () => {
    // The databases; then the backups of each, and all their objects.
    const lists = 1 + 2 + 2
    expect(await requestsOf(() => readStorage(storage))).toEqual({ GetObject: 24, ListObjectsV2: lists })
    expect(await requestsOf(() => readStorage(storage, { database: "orders" }))).toEqual({
      GetObject: 12,
      ListObjectsV2: 2,
    })
  })

  test("says the same of each backup as where it is listed by itself", async () => {
    const reason = "before the migration"
    await pin([storage], { backup: ids[1] ?? "", database: "shop", reason }, testContext())
    const known = knownOf(await listBackups(storage))
    expect(known).toHaveLength(24)
    expect(new Set(known.map(({ state }) => state))).toEqual(new Set(["unverified", "verified", "failed"]))
    expect(known.filter(({ pins }) => pins?.length !== 0)).toMatchObject([{ database: "shop", id: ids[1] }])
    expect(known).toEqual(knownOf(await listBackups(singly())))
  })

  test("lists each backup by itself where all of them can't be listed at once", async () => {
    const known = knownOf(await listBackups(storage))
    let lists = 0
    storages.endpoint.inject(({ operation, prefix }) => {
      // Of the two lists of that folder, the second is that of all objects.
      if (operation !== "ListObjectsV2" || !prefix.endsWith("/shop/")) return undefined
      lists += 1
      return lists > 1 ? { status: 403, code: "AccessDenied" } : undefined
    })
    const made = await requestsOf(async () => expect(knownOf(await listBackups(storage))).toEqual(known))
    expect(made).toEqual({ GetObject: 24, ListObjectsV2: 1 + 2 + 2 + 12 })
  })

  test("looks once more for what is known of a backup whose manifest was not in the listing", async () => {
    const known = knownOf(await listBackups(storage))
    const [absent = ""] = ids
    const forgetful = override(storage, {
      list: async function* (prefix) {
        for await (const object of storage.list(prefix)) if (!object.key.includes(absent)) yield object
      },
    })
    const made = await requestsOf(async () => expect(knownOf(await listBackups(forgetful))).toEqual(known))
    expect(made.ListObjectsV2).toBe(1 + 2 + 2 + 2)
  })

  test("of a few earlier manifests asks for these alone", async () => {
    const of = { database: "orders", id: ids[11] ?? "" }
    expect(await requestsOf(() => manifestsBefore(storage, of, 3))).toEqual({
      GetObject: 3,
      ListObjectsV2: 1,
    })
  })

  test("gives up to list all objects where there are about as many as a list can name for each backup", async () => {
    const listing = async (perFolder: number) => {
      let listed = 0
      const folders = Array.from({ length: 40 }, (_, n) => String(n).padStart(2, "0"))
      const many = override(storage, {
        list: async function* () {
          for (const folder of folders)
            for (let n = 0; n < perFolder; n += 1) {
              listed += 1
              yield { key: `orders/${folder}/${n}`, sizeBytes: 1, modifiedAt: new Date(0) }
            }
        },
      })
      const found = await listAcross(many, "orders/", folders, (name) => name === "0")
      return { listed, found: found && [...found].length }
    }
    expect(await listing(100)).toEqual({ listed: 4_000, found: 40 })
    expect(await listing(300)).toEqual({ listed: 1_000, found: undefined })
  })
})

test("of a directory, a folder that holds nothing is no unfinished backup, and a half-written one is", async () => {
  const storages = await startFileStorages()
  const storage = storages.open()
  const [empty = "", half = "", whole = ""] = ids
  await storeSample(storage, { id: whole, objects })
  await storage.put(`orders/${half}/data/0001.copy.zst.age`, Buffer.from("half"))
  await mkdir(join(fileURLToPath(storage.url), "orders", empty, "data"), { recursive: true })
  const { entries, bare } = await readStorage(storage)
  expect(entries.map(({ id }) => id)).toEqual([whole])
  expect(bare).toEqual([{ database: "orders", id: half }])
  await storages.close()
})
