import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { readCatalog } from "../../task/catalog/find-backup.ts"
import { nothingFound } from "../../task/catalog/nothing-found.ts"
import { openStorage } from "../../task/storage/open-storage.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { storeSample } from "../support/sample-backup.ts"
import { startFileStorages, startS3Storages } from "../support/storage-kinds.ts"

const id = "20260101T030000Z-aaaaaaaa"

/** Opens the storage at a path below the place's root; "" is the root. */
type Open = (path: string) => Storage

const kinds: readonly {
  readonly kind: string
  readonly missing: string
  readonly start: () => Promise<{ open: Open; close: () => Promise<void> }>
}[] = [
  {
    kind: "a directory",
    missing: "the directory URL does not exist",
    start: async () => {
      const place = await startFileStorages()
      const root = place.open().url
      const open: Open = (path) => openStorage(root + (path && `/${path}`), { env: {} })
      return { open, close: () => place.close() }
    },
  },
  {
    kind: "a bucket",
    missing: "there is nothing in URL",
    start: async () => {
      const place = await startS3Storages()
      const { endpoint } = place
      const env = { TEST_ACCESS_KEY: endpoint.accessKeyId, TEST_SECRET_KEY: endpoint.secretAccessKey }
      const open: Open = (path) =>
        openStorage(`s3://backups/${path}?endpoint=${endpoint.url}&credentials=TEST`, { env })
      return { open, close: () => place.close() }
    },
  },
]

describe.each(kinds)("nothing found in $kind", ({ missing, start }) => {
  let place: Awaited<ReturnType<typeof start>>
  beforeEach(async () => {
    place = await start()
    await storeSample(place.open("pgstow"), { id })
    await storeSample(place.open("pgstow"), { id, database: "shop" })
  })
  afterEach(() => place.close())

  const said = async (path: string, database?: string) => {
    const storage = place.open(path)
    const { kind, message, hint } = await nothingFound(storage, database)
    expect(kind).toBe("notFound")
    return { message: message.replace(storage.url, "URL"), hint }
  }

  test("above the backups: where they are below it", async () => {
    const hint = "Backups were found below pgstow/: add that to the storage's URL."
    expect(await said("")).toEqual({ message: "there is no backup in URL", hint })
    expect(await said("", "orders")).toEqual({ message: 'there is no backup of "orders" in URL', hint })
  })

  test("a name mistyped: the place beside it", async () => {
    const hint = `Backups were found in ${place.open("pgstow").url}.`
    expect(await said("pgstwo")).toEqual({ message: missing, hint })
    expect(await said("pgstow/prod")).toEqual({ message: missing, hint })
  })

  test("a database's own folder: the place that it is in", async () => {
    const hint = `Backups were found in ${place.open("pgstow").url}.`
    expect(await said("pgstow/orders")).toEqual({ message: "there is no backup in URL", hint })
  })

  test("another database: those that there are", async () => {
    expect(await said("pgstow", "order")).toEqual({
      message: 'there is no backup of "order" in URL',
      hint: 'Backups exist for "orders", "shop".',
    })
  })

  test("of several storages, one that has nothing is named in a warning", async () => {
    const warnings: string[] = []
    const storages = [place.open("pgstow"), place.open("pgstwo")]
    const { entries } = await readCatalog(storages, { warn: (message) => void warnings.push(message) })
    expect(entries).toHaveLength(2)
    expect(warnings).toEqual([expect.stringContaining("pgstwo")])
  })
})

test("a place that nothing is near says how to make a backup", async () => {
  const place = await startS3Storages()
  try {
    expect((await nothingFound(place.open())).hint).toMatch(/pgstow backup.*right storage/)
  } finally {
    await place.close()
  }
})
