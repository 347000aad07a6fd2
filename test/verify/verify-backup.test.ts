import { Readable } from "node:stream"
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
  vi,
} from "vitest"
import { keyOf, proofHoldsMs, removeBackup } from "../../task/catalog/catalog.ts"
import type { ProgressUpdate } from "../../task/console/progress.ts"
import type { Manifest } from "../../task/core/manifest.ts"
import { storedBytes } from "../../task/core/manifest.ts"
import { PgstowError } from "../../task/errors.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { verifyBackup } from "../../task/verify/verify-backup.ts"
import { failing } from "../support/bytes.ts"
import { override } from "../support/override.ts"
import { storeSample } from "../support/sample-backup.ts"
import { contentOf } from "../support/storage-contents.ts"
import { type Storages, startS3Storages, storageKinds } from "../support/storage-kinds.ts"

const ids = ["20260101T030000Z-aaaaaaaa", "20260102T030000Z-bbbbbbbb"] as const
const main = "main.dump.zst.age"
const globals = "globals.sql.zst.age"

describe.each(storageKinds)("verifying a backup in $kind", ({ start }) => {
  let storages: Storages
  let storage: Storage
  let manifest: Manifest
  beforeAll(async () => {
    storages = await start()
  })
  afterAll(() => storages.close())
  beforeEach(async () => {
    storage = storages.open()
    manifest = await storeSample(storage, { id: ids[0] })
  })
  afterEach(() => storage.close())

  const verify = () => verifyBackup(storage, manifest)
  const read = async (name: string, of = manifest) => contentOf(storage, keyOf(of, name))
  const replace = (name: string, bytes: Uint8Array, of = manifest) => storage.put(keyOf(of, name), bytes)

  test("finds nothing wrong with one that is as it was written, and reports every byte", async () => {
    const updates: ProgressUpdate[] = []
    const problems = await verifyBackup(storage, manifest, {
      onProgress: (update) => updates.push(update),
    })
    expect(problems).toEqual([])
    const doneBytes = updates.map((update) => update.doneBytes)
    expect(doneBytes).toEqual(doneBytes.toSorted((a, b) => a - b))
    expect(updates.at(-1)).toMatchObject({
      doneBytes: storedBytes(manifest),
      totalBytes: storedBytes(manifest),
    })
  })

  test("finds a missing object", async () => {
    await storage.remove([keyOf(manifest, globals)])
    expect(await verify()).toEqual([{ object: globals, expected: "37 bytes", found: "no such object" }])
  })

  test("finds an object cut short, and one grown longer", async () => {
    const bytes = await read(main)
    await replace(main, bytes.subarray(0, -1))
    await replace(globals, Buffer.concat([await read(globals), Buffer.from("\0")]))
    expect(await verify()).toEqual([
      { object: main, expected: `${bytes.length} bytes`, found: `${bytes.length - 1} bytes` },
      { object: globals, expected: "37 bytes", found: "38 bytes" },
    ])
  })

  test("finds one flipped bit", async () => {
    const bytes = await read(main)
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
    await replace(main, bytes)
    const [problem, ...others] = await verify()
    expect(others).toEqual([])
    expect(problem).toMatchObject({ object: main, expected: `SHA-256 ${manifest.objects[0]?.sha256}` })
    expect(problem?.found).toMatch(/^SHA-256 [0-9a-f]{64}$/)
  })

  test("finds objects of two backups swapped, though their sizes are the same", async () => {
    const other = await storeSample(storage, { id: ids[1] })
    const [mine, others] = [await read(main), await read(main, other)]
    expect(mine.length).toBe(others.length)
    await replace(main, others)
    await replace(main, mine, other)
    expect((await verify()).map(({ object }) => object)).toEqual([main])
    expect((await verifyBackup(storage, other)).map(({ object }) => object)).toEqual([main])
  })

  test("finds two objects of one backup swapped", async () => {
    const [a, b] = [await read(main), await read(globals)]
    await replace(main, b)
    await replace(globals, a)
    expect((await verify()).map(({ object }) => object)).toEqual([main, globals])
  })

  test("finds an object that the storage can't read, from its start or midway", async () => {
    const refused = new PgstowError("storage", "the disk has errors")
    const fails = (how: () => Promise<Readable>) =>
      override(storage, { read: (key, options) => (key.endsWith(main) ? how() : storage.read(key, options)) })
    const found = [
      {
        object: main,
        expected: `${manifest.objects[0]?.sizeBytes} bytes`,
        found: "unreadable: the disk has errors",
      },
    ]
    expect(
      await verifyBackup(
        fails(() => Promise.reject(refused)),
        manifest,
      ),
    ).toEqual(found)
    expect(
      await verifyBackup(
        fails(async () => Readable.from(failing([Buffer.from("half")], refused))),
        manifest,
      ),
    ).toEqual(found)
  })

  test("says nothing of the backup where the storage can't be reached", async () => {
    const noRoute = () => Promise.reject(new PgstowError("storage", "no route to host"))
    const gone = override(storage, { read: noRoute, readAtMost: noRoute })
    await expect(verifyBackup(gone, manifest)).rejects.toThrow("no route to host")
  })

  test("says nothing of a backup that is removed meanwhile", async () => {
    await removeBackup(storage, manifest)
    await expect(verify()).rejects.toMatchObject({ kind: "notFound" })
  })

  test("reads the manifest once more, however many objects are missing", async () => {
    const objects = Object.fromEntries(
      Array.from({ length: 200 }, (_, n) => [`data/${n}.copy.zst.age`, Buffer.from(`rows ${n}`)]),
    )
    const many = await storeSample(storage, { id: ids[1], objects })
    await storage.remove(many.objects.map(({ name }) => keyOf(many, name)))
    const read: string[] = []
    const counting = override(storage, {
      read: async (key, options) => {
        read.push(key)
        return storage.read(key, options)
      },
      readAtMost: async (key, maxBytes) => {
        read.push(key)
        return storage.readAtMost(key, maxBytes)
      },
    })
    // Each answer takes so long that the one before does not count any more.
    const clock = vi.spyOn(performance, "now").mockImplementation(() => read.length * proofHoldsMs)
    onTestFinished(() => clock.mockRestore())
    expect(await verifyBackup(counting, many)).toHaveLength(200)
    expect(read.filter((key) => key.endsWith("manifest.json"))).toHaveLength(1)
    expect(read).toHaveLength(201)
  })

  test("ends when told to, before it begins and midway", async () => {
    await expect(verifyBackup(storage, manifest, { signal: AbortSignal.abort() })).rejects.toThrow("aborted")
    const stop = new AbortController()
    const { signal } = stop
    await expect(verifyBackup(storage, manifest, { signal, onProgress: () => stop.abort() })).rejects.toThrow(
      "aborted",
    )
  })
})

test("an object that a bucket refuses is damage, a bucket that refuses all is none", async () => {
  const storages = await startS3Storages()
  const storage = storages.open()
  const manifest = await storeSample(storage, { id: ids[0] })
  const refuse = (part: string) =>
    storages.endpoint.inject(({ key }) =>
      key.includes(part) ? { status: 403, code: "AccessDenied" } : undefined,
    )
  refuse(main)
  expect(await verifyBackup(storage, manifest)).toMatchObject([
    { object: main, found: /unreadable: .*denied/i },
  ])
  refuse("")
  await expect(verifyBackup(storage, manifest)).rejects.toMatchObject({ kind: "storage" })
  storage.close()
  await storages.close()
})
