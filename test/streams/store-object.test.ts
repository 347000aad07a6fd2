import { createHash, randomBytes } from "node:crypto"
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import * as fc from "fast-check"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { messageOf } from "../../task/errors.ts"
import { openStorage } from "../../task/storage/open-storage.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { PartBuffers } from "../../task/streams/part-buffers.ts"
import { storeObject } from "../../task/streams/store-object.ts"
import { failing, inPieces } from "../support/bytes.ts"
import { rejectionOf } from "../support/failure.ts"
import { type S3Endpoint, startS3Endpoint } from "../support/s3-endpoint.ts"
import { contentOf, keysOf } from "../support/storage-contents.ts"

const partBytes = 8 * 1024 * 1024
const key = "orders/20260102T030000Z-k3v9x2ab/main.dump.zst.age"
const noise = randomBytes(5 * partBytes + 12_345)

let endpoint: S3Endpoint
let folder: string
let count = 0
let directory: Storage
let bucket: Storage

const openBucket = (signal?: AbortSignal) =>
  openStorage(`s3://backups/${count}?endpoint=${endpoint.url}&credentials=TEST`, {
    env: { TEST_ACCESS_KEY: endpoint.accessKeyId, TEST_SECRET_KEY: endpoint.secretAccessKey },
    signal,
  })
const openDirectory = (signal?: AbortSignal) => openStorage(`file://${folder}/${count}`, { env: {}, signal })

beforeAll(async () => {
  endpoint = await startS3Endpoint({ buckets: ["backups"] })
  folder = await mkdtemp(join(tmpdir(), "pgstow-store-"))
})
afterAll(async () => {
  await endpoint.close()
  await rm(folder, { recursive: true })
})
beforeEach(() => {
  count++
  bucket = openBucket()
  directory = openDirectory()
})
afterEach(() => {
  endpoint.inject()
  bucket.close()
})

const store = (source: AsyncIterable<Uint8Array>, storages: readonly Storage[], expectedBytes = 0) =>
  storeObject(source, storages, key, { expectedBytes })
/** The operations that the bucket was asked for in this test. */
const operations = () =>
  endpoint.requests.filter((request) => request.key.startsWith(`${count}/`)).map(({ operation }) => operation)
const refuse =
  (operation: string) =>
  ({ operation: asked }: { operation: string }) =>
    asked === operation ? ({ status: 403, code: "AccessDenied" } as const) : undefined

async function expectNothingLeft() {
  expect(await keysOf(bucket)).toEqual([])
  expect(endpoint.openUploads()).toEqual([])
  expect(await readdir(join(folder, String(count)), { recursive: true }).catch(() => [])).toEqual([])
}

describe("an object", () => {
  it("is stored whole where others share its memory, side by side and one after the other", async () => {
    const buffers = new PartBuffers()
    const objects = [5, 1, 4, 3, 2].map((parts) => noise.subarray(0, parts * partBytes - 77 * parts))
    const keys = objects.map((_, index) => `${key}.${index}`)
    const storeIn = async (index: number) => {
      const source = inPieces(objects[index] ?? Buffer.of(), [65_552])
      await storeObject(source, [directory, bucket], keys[index] ?? "", { expectedBytes: 0, buffers })
    }
    await Promise.all([0, 1, 2].map(storeIn))
    await storeIn(3)
    await storeIn(4)
    for (const [index, bytes] of objects.entries())
      for (const storage of [directory, bucket])
        expect((await contentOf(storage, keys[index] ?? "")).equals(bytes)).toBe(true)
  })

  it.each([0, 1, partBytes - 1, partBytes, partBytes + 1, 2 * partBytes, noise.length])(
    "of %i bytes is stored whole in every storage, and measured",
    async (size) => {
      const bytes = noise.subarray(0, size)
      const stored = await store(inPieces(bytes, [65_552]), [directory, bucket])
      expect(stored).toEqual({
        sizeBytes: size,
        sha256: createHash("sha256").update(bytes).digest("hex"),
        failures: new Map(),
      })
      for (const storage of [directory, bucket])
        expect((await contentOf(storage, key)).equals(bytes)).toBe(true)
    },
  )

  it("is the same however it comes", async () => {
    const bytes = noise.subarray(0, 2 * partBytes + 1)
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 3 * partBytes }), { minLength: 1, maxLength: 5 }),
        async (sizes) => {
          await store(inPieces(bytes, [...sizes, 1_000_000]), [directory])
          expect((await contentOf(directory, key)).equals(bytes)).toBe(true)
        },
      ),
      { numRuns: 10 },
    )
  })

  it("of one part is stored at once, and one of more in parts", async () => {
    await store(inPieces(noise.subarray(0, partBytes)), [bucket])
    expect(operations()).toEqual(["PutObject"])
    await store(inPieces(noise.subarray(0, partBytes + 1)), [bucket])
    expect(operations().slice(1)).toEqual([
      "CreateMultipartUpload",
      "UploadPart",
      "UploadPart",
      "CompleteMultipartUpload",
    ])
  })

  it("that is to be large is stored in large parts", async () => {
    await store(inPieces(noise), [bucket], (10_000 / 4.5) * 2 * partBytes)
    expect(operations().filter((operation) => operation === "UploadPart")).toHaveLength(3)
  })

  it("is not read faster than the slowest storage takes it, and an interrupt leaves nothing of it", async () => {
    endpoint.inject(({ operation }) => (operation === "UploadPart" ? "hang" : undefined))
    const abort = new AbortController()
    let read = 0
    async function* endless() {
      for (;;) {
        abort.signal.throwIfAborted()
        yield noise.subarray(0, 100_000)
        read += 100_000
      }
    }
    const slow = openBucket(abort.signal)
    const interrupted = expect(store(endless(), [openDirectory(abort.signal), slow])).rejects.toThrow(
      "interrupted",
    )
    while (operations().filter((operation) => operation === "UploadPart").length < 4) await wait(10)
    await wait(200)
    expect(read).toBeLessThanOrEqual(4 * partBytes + 100_000)
    abort.abort(new Error("interrupted"))
    await interrupted
    await expectNothingLeft()
    slow.close()
  })

  it.each([0, 1000, partBytes, 3 * partBytes])(
    "whose source fails after %i bytes leaves nothing anywhere, and that is the failure",
    async (size) => {
      const source = failing([noise.subarray(0, size)], new Error("pg_dump exited with 1"))
      await expect(store(source, [directory, bucket])).rejects.toThrow("pg_dump exited with 1")
      await expectNothingLeft()
    },
  )
})

describe("a storage that fails", () => {
  it.each(["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])(
    "at %s is left behind, while the others go on",
    async (operation) => {
      endpoint.inject(refuse(operation))
      const { failures } = await store(inPieces(noise, [65_552]), [bucket, directory])
      expect([...failures.keys()]).toEqual([bucket])
      expect(failures.get(bucket)).toMatchObject({ kind: "storage" })
      expect((await contentOf(directory, key)).equals(noise)).toBe(true)
      expect(await keysOf(bucket)).toEqual([])
      expect(endpoint.openUploads()).toEqual([])
    },
  )

  it("at a late part is not asked for the parts after it", async () => {
    let parts = 0
    endpoint.inject((request) =>
      request.operation === "UploadPart" && ++parts > 1 ? refuse("UploadPart")(request) : undefined,
    )
    const { failures } = await store(inPieces(noise, [65_552]), [directory, bucket])
    expect([...failures.keys()]).toEqual([bucket])
    expect((await contentOf(directory, key)).equals(noise)).toBe(true)
    expect(endpoint.openUploads()).toEqual([])
  })

  it("with an object of one part is left behind", async () => {
    endpoint.inject(refuse("PutObject"))
    const { failures } = await store(inPieces(Buffer.from("small")), [bucket, directory])
    expect([...failures.keys()]).toEqual([bucket])
    expect(await contentOf(directory, key)).toEqual(Buffer.from("small"))
  })

  it("and is the only one is the failure, and ends the source", async () => {
    endpoint.inject(refuse("UploadPart"))
    let read = 0
    let ended = false
    async function* source() {
      try {
        for (;;) {
          yield noise.subarray(0, partBytes)
          read++
        }
      } finally {
        ended = true
      }
    }
    expect(await rejectionOf(store(source(), [bucket]))).toMatchObject({ kind: "storage" })
    expect(ended).toBe(true)
    expect(read).toBeLessThanOrEqual(5)
    await expectNothingLeft()
  })

  it("like all the others is named beside them", async () => {
    endpoint.inject(refuse("PutObject"))
    await writeFile(join(folder, "file"), "")
    const blocked = openStorage(`file://${folder}/file/below`, { env: {} })
    const error = await rejectionOf(store(inPieces(Buffer.from("small")), [bucket, blocked]))
    expect(error).toMatchObject({ kind: "storage", message: `no storage took ${key}` })
    expect(messageOf(error)).toContain(bucket.url)
    expect(messageOf(error)).toContain(blocked.url)
  })
})
