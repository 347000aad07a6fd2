import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { keyOf } from "../../task/catalog/catalog.ts"
import { type Catalog, findBackup, readCatalog } from "../../task/catalog/find-backup.ts"
import { PgstowError } from "../../task/errors.ts"
import { openStorage } from "../../task/storage/open-storage.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { failureOf, rejectionOf } from "../support/failure.ts"
import { override } from "../support/override.ts"
import { quiet } from "../support/quiet.ts"
import { type SampleBackup, sampleManifest, storeSample } from "../support/sample-backup.ts"
import { type Storages, startFileStorages } from "../support/storage-kinds.ts"

const [first, second, third, fourth] = [
  "20260101T030000Z-aaaaaaaa",
  "20260102T030000Z-bbbbbbbb",
  "20260102T150000Z-cccccccc",
  "20260103T030000Z-dddddddd",
] as const

let place: Storages
beforeAll(async () => {
  place = await startFileStorages()
})
afterAll(() => place.close())

/** A storage with these backups; the manifests of `damaged` are cut short. */
async function storageOf(
  backups: readonly SampleBackup[],
  damaged: readonly string[] = [],
): Promise<Storage> {
  const storage = place.open()
  for (const backup of backups) {
    await storeSample(storage, backup)
    if (damaged.includes(backup.id))
      await storage.put(keyOf(sampleManifest(backup), "manifest.json"), Buffer.from("{"))
  }
  return storage
}

const catalogOf = async (backups: readonly SampleBackup[], damaged?: readonly string[]) =>
  readCatalog([await storageOf(backups, damaged)], quiet.log)

const errorOf = (catalog: Catalog, wanted: string | Date, database?: string) =>
  failureOf(() => findBackup(catalog, wanted, database))

const idsOf = (catalog: Catalog, wanted: string | Date, database?: string) => {
  const { entry, passedOver } = findBackup(catalog, wanted, database)
  return { found: entry.id, passedOver: passedOver.map(({ id }) => id) }
}

describe("latest", () => {
  test("is the newest", async () => {
    const catalog = await catalogOf([{ id: second }, { id: fourth }, { id: first }])
    expect(idsOf(catalog, "latest")).toEqual({ found: fourth, passedOver: [] })
  })

  test("passes over newer ones that failed or can't be read, and says so", async () => {
    const catalog = await catalogOf(
      [
        { id: first },
        { id: second, checks: ["verified"] },
        { id: third, checks: ["failed"] },
        { id: fourth },
      ],
      [fourth],
    )
    expect(idsOf(catalog, "latest")).toEqual({ found: second, passedOver: [fourth, third] })
  })

  test("is the newest failed one where all failed", async () => {
    const catalog = await catalogOf(
      [{ id: first, checks: ["failed"] }, { id: second, checks: ["deep-failed"] }, { id: third }],
      [third],
    )
    expect(idsOf(catalog, "latest")).toEqual({ found: second, passedOver: [third] })
  })

  test("is no misplaced folder that happens to sort last", async () => {
    const storage = await storageOf([{ id: first }])
    await storage.put("orders/x-copy/manifest.json", Buffer.from("{}"))
    expect(idsOf(await readCatalog([storage], quiet.log), "latest")).toEqual({ found: first, passedOver: [] })
  })

  test("says what is wrong where no manifest can be read", async () => {
    const error = errorOf(await catalogOf([{ id: first }], [first]), "latest")
    expect(error.kind).toBe("damaged")
    expect(error.message).toContain(first)
  })
})

describe("a time", () => {
  test("means the last backup started at or before it", async () => {
    const catalog = await catalogOf([{ id: first }, { id: second }, { id: third }, { id: fourth }])
    const at = (time: string) => idsOf(catalog, new Date(time)).found
    expect(at("2026-01-02T02:59:59Z")).toBe(first)
    expect(at("2026-01-02T03:00:00Z")).toBe(second)
    expect(at("2026-01-02T14:59:59.999Z")).toBe(second)
    expect(at("2030-01-01T00:00:00Z")).toBe(fourth)
  })

  test("passes over a failed one for one before it", async () => {
    const catalog = await catalogOf([{ id: first }, { id: second, checks: ["failed"] }, { id: fourth }])
    expect(idsOf(catalog, new Date("2026-01-02T12:00:00Z"))).toEqual({ found: first, passedOver: [second] })
  })

  test("before the first backup names the first", async () => {
    const error = errorOf(await catalogOf([{ id: second }, { id: third }]), new Date("2026-01-02T02:59:59Z"))
    expect(error).toMatchObject({ kind: "notFound", hint: `The first is ${second}.` })
    expect(error.message).toContain("was started by 2026-01-02T02:59:59.000Z")
  })
})

describe("an id", () => {
  test("finds the backup, whole or by its beginning, whatever its last check found", async () => {
    const catalog = await catalogOf([{ id: first }, { id: second, checks: ["failed"] }, { id: third }])
    expect(idsOf(catalog, second)).toEqual({ found: second, passedOver: [] })
    expect(idsOf(catalog, "20260102T03").found).toBe(second)
    expect(idsOf(catalog, "20260101").found).toBe(first)
  })

  test("that is the beginning of several names them", async () => {
    const error = errorOf(await catalogOf([{ id: first }, { id: second }, { id: third }]), "20260102")
    expect(error.kind).toBe("usage")
    expect(error.message).toBe("2 backups have an id that begins with 20260102")
    expect(error.hint).toBe(`Say which: ${third} of "orders", ${second} of "orders".`)
  })

  test("that nothing has names the nearest there are", async () => {
    const catalog = await catalogOf([{ id: first }, { id: second }, { id: third }, { id: fourth }])
    expect(errorOf(catalog, "20260102T0400")).toMatchObject({
      kind: "notFound",
      hint: `The nearest are ${fourth}, ${third}, ${second}, ${first}.`,
    })
    expect(errorOf(catalog, "2025").hint).toBe(`The nearest are ${second}, ${first}.`)
    expect(errorOf(catalog, "2027").hint).toBe(`The nearest are ${fourth}, ${third}.`)
  })

  test("of a backup that can't be read says why", async () => {
    const error = errorOf(await catalogOf([{ id: first }, { id: second }], [first]), first)
    expect(error.kind).toBe("damaged")
    expect(error.message).toContain(first)
  })

  test("needs no database, unless several have such a backup", async () => {
    const catalog = await catalogOf([
      { id: first },
      { id: second, database: "shop" },
      { id: first, database: "a\nb" },
    ])
    expect(findBackup(catalog, second).entry.database).toBe("shop")
    expect(errorOf(catalog, first).hint).toBe(`Say which: ${first} of "a\\nb", ${first} of "orders".`)
    expect(findBackup(catalog, first, "orders").entry.database).toBe("orders")
  })
})

describe("the database", () => {
  test("may be left out where there is one only", async () => {
    const catalog = await catalogOf([{ id: first }, { id: second, database: "shop" }])
    const error = errorOf(catalog, "latest")
    expect(error).toMatchObject({ kind: "usage", hint: 'Choose one with --database: "orders", "shop".' })
    expect(idsOf(catalog, "latest", "shop").found).toBe(second)
  })

  test("that has no backup is named, with those that have", async () => {
    const storage = await storageOf([{ id: first }, { id: first, database: "shop" }])
    const error = errorOf(
      await readCatalog([storage], { ...quiet.log, database: "ordrs" }),
      "latest",
      "ordrs",
    )
    expect(error).toMatchObject({ kind: "notFound", hint: 'Backups exist for "orders", "shop".' })
    expect(error.message).toBe(`there is no backup of "ordrs" in ${storage.url}`)
  })

  test("of an empty storage: there is no backup", async () => {
    const catalog = await catalogOf([])
    for (const wanted of ["latest", "2026", new Date()])
      expect(errorOf(catalog, wanted).kind).toBe("notFound")
    expect(errorOf(catalog, "latest", "orders").message).toMatch(/the directory file:\S+ does not exist/)
  })
})

test("a database's folder that can't be listed is told, and never taken for one without backups", async () => {
  const storage = await storageOf([{ id: first }, { id: second, database: "shop" }])
  const noRoute = new PgstowError("storage", "no route to host")
  const half = override(storage, {
    listFolders: (prefix) => (prefix === "shop/" ? Promise.reject(noRoute) : storage.listFolders(prefix)),
  })
  const warnings: string[] = []
  const catalog = await readCatalog([half], { warn: (message) => warnings.push(message) })
  expect(warnings).toEqual(['the backups of "shop" are not looked at: no route to host'])
  expect(findBackup(catalog, "latest", "orders").entry.id).toBe(first)
  expect(() => findBackup(catalog, "latest", "shop")).toThrow(noRoute)
  // Of two databases, only one can be seen: it is not the one that is meant for that.
  expect(errorOf(catalog, "latest")).toMatchObject({
    kind: "usage",
    hint: 'Choose one with --database: "orders", "shop".',
  })
})

describe("of copies in several storages", () => {
  test("the first storage's is taken", async () => {
    const storages = [await storageOf([{ id: first }]), await storageOf([{ id: first }])]
    expect(findBackup(await readCatalog(storages, quiet.log), first).entry.storage).toBe(storages[0])
  })

  test("one that failed or can't be read makes way for a good one, without being passed over", async () => {
    const failed = await storageOf([{ id: first, checks: ["failed"] }])
    const damaged = await storageOf([{ id: first }], [first])
    const good = await storageOf([{ id: first }])
    const catalog = await readCatalog([failed, damaged, good], quiet.log)
    for (const wanted of [first, "latest"]) {
      const { entry, passedOver } = findBackup(catalog, wanted)
      expect(entry.storage).toBe(good)
      expect(passedOver).toEqual([])
    }
  })
  test("a whole id means that backup, whatever else begins so; an empty one means none", async () => {
    const storage = await storageOf([{ id: first }])
    await storage.put(`orders/${first}x/manifest.json`, Buffer.from("{"))
    const catalog = await readCatalog([storage], quiet.log)
    expect(idsOf(catalog, first)).toEqual({ found: first, passedOver: [] })
    expect(errorOf(await catalogOf([{ id: first }]), "")).toMatchObject({
      kind: "usage",
      message: "the backup's id is empty",
    })
  })

  test("a storage that can't be read is left out with a warning, and only the last one is an error", async () => {
    const unreadable = openStorage("file:///proc/self/environ/backups", { env: {} })
    const good = await storageOf([{ id: first }])
    const warnings: string[] = []
    const catalog = await readCatalog([unreadable, good], { warn: (message) => warnings.push(message) })
    expect(findBackup(catalog, "latest").entry.storage).toBe(good)
    expect(warnings).toEqual([
      expect.stringMatching(/^looking only in the other storages: .*\/proc\/self\/environ/),
    ])
    expect((await rejectionOf(readCatalog([unreadable], quiet.log))).kind).toBe("storage")
  })
})
