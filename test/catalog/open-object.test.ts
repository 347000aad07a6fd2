import { Readable } from "node:stream"
import { buffer } from "node:stream/consumers"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { keyOf } from "../../task/catalog/catalog.ts"
import { openObject } from "../../task/catalog/open-object.ts"
import type { Manifest, ManifestObject } from "../../task/core/manifest.ts"
import { generateIdentity } from "../../task/keys/identity.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { seal } from "../../task/streams/seal.ts"
import { rejectionOf } from "../support/failure.ts"
import { override } from "../support/override.ts"
import { storeSample } from "../support/sample-backup.ts"
import { contentOf } from "../support/storage-contents.ts"
import { type Storages, storageKinds } from "../support/storage-kinds.ts"

const ids = ["20260101T030000Z-aaaaaaaa", "20260102T030000Z-bbbbbbbb"] as const
const main = "main.dump.zst.age"
const plain = Buffer.alloc(500_000, "what was backed up\n")
const { identity, recipient } = await generateIdentity()

describe.each(storageKinds)("opening an object in $kind", ({ start }) => {
  let storages: Storages
  let storage: Storage
  let manifest: Manifest
  beforeAll(async () => {
    storages = await start()
  })
  afterAll(() => storages.close())
  beforeEach(async () => {
    storage = storages.open()
    manifest = await store(ids[0])
  })
  afterEach(() => storage.close())

  async function store(id: string): Promise<Manifest> {
    const sealed = await buffer(seal(Readable.from([plain]), [recipient]))
    const stored = await storeSample(storage, { id, objects: { [main]: sealed } })
    return { ...stored, encryption: { algorithm: "age", recipients: [recipient] } }
  }
  const key = () => keyOf(manifest, main)
  const read = () => contentOf(storage, key())
  const opened = (of: Manifest = manifest, identities = [identity], onBytes?: (bytes: number) => void) =>
    openObject(storage, of, mainOf(of), { identities, checkFirst: false, onBytes })

  test("gives what was sealed, and counts the stored bytes", async () => {
    let bytes = 0
    expect(await buffer(opened(manifest, [identity], (more) => (bytes += more)))).toEqual(plain)
    expect(bytes).toBe(mainOf(manifest).sizeBytes)
  })

  test("gives what is stored of a backup that is not encrypted", async () => {
    const open: Manifest = { ...manifest, encryption: { algorithm: "none" } }
    expect(await buffer(opened(open, []))).toEqual(await read())
  })

  test.for([
    ["cut short", (bytes: Buffer) => bytes.subarray(0, -1), /it has \d+ of \d+ bytes/],
    [
      "grown longer",
      (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(1)]),
      /it is longer than \d+ bytes/,
    ],
    ["empty", () => Buffer.alloc(0), /it has 0 of \d+ bytes/],
  ] as const)("fails for an object that is %s, and names it", async ([, change, how]) => {
    await storage.put(key(), change(await read()))
    const failure = await rejectionOf(buffer(opened()))
    expect(failure.kind).toBe("damaged")
    expect(failure.message).toContain(`${key()} in ${storage.url} is not what its manifest says`)
    expect(failure.message).toMatch(how)
  })

  test("fails for the object of another backup, of the same size and sealed for the same recipient, before its end", async () => {
    const other = await store(ids[1])
    await storage.put(key(), await contentOf(storage, keyOf(other, main)))
    let bytes = 0
    const reading = async () => {
      for await (const chunk of opened()) bytes += chunk.length
    }
    const failure = await rejectionOf(reading())
    expect(failure.kind).toBe("damaged")
    expect(failure.message).toContain("its SHA-256 is another")
    expect(failure.hint).toContain("swapped")
    expect(bytes).toBeLessThanOrEqual(plain.length - 64 * 1024)
  })

  test("checked first, gives nothing of an object that was swapped, before or after the check", async () => {
    const good = await read()
    const swapped = await buffer(
      seal(Readable.from([Buffer.alloc(plain.length, "a stranger's\n")]), [recipient]),
    )
    expect(swapped.length).toBe(good.length)
    const firstBytes = async (answers: readonly Buffer[]) => {
      let reads = 0
      const changing = override(storage, {
        read: async () => Readable.from([answers[Math.min(reads++, answers.length - 1)]]),
      })
      // Of its own, so that nothing is known of it.
      const of = structuredClone(manifest)
      const options = { identities: [identity], checkFirst: true }
      let bytes = 0
      const reading = async () => {
        for await (const chunk of openObject(changing, of, mainOf(of), options)) bytes += chunk.length
        return bytes
      }
      return { failed: await reading().catch((error: unknown) => error), bytes }
    }
    expect(await firstBytes([good])).toMatchObject({ failed: plain.length })
    for (const answers of [[swapped], [good, swapped]])
      expect(await firstBytes(answers)).toMatchObject({ failed: { kind: "damaged" }, bytes: 0 })
  })

  test("says that an object is missing", async () => {
    await storage.remove([key()])
    const failure = await rejectionOf(buffer(opened()))
    expect(failure.kind).toBe("damaged")
    expect(failure.message).toBe(`${key()} in ${storage.url} is missing`)
  })

  test("asks for an identity where none or a wrong one is given, and names the recipients", async () => {
    const stranger = (await generateIdentity()).identity
    for (const identities of [[], [stranger]]) {
      const failure = await rejectionOf(buffer(opened(manifest, identities)))
      expect(failure.kind).toBe("key")
      expect(failure.hint).toContain(recipient)
    }
  })

  test("stops when it is told to", async () => {
    const reason = new Error("told to")
    const object = openObject(storage, manifest, mainOf(manifest), {
      identities: [identity],
      checkFirst: false,
      signal: AbortSignal.abort(reason),
    })
    await expect(buffer(object)).rejects.toBe(reason)
  })
})

function mainOf({ objects }: Manifest): ManifestObject {
  const object = objects.find(({ kind }) => kind === "main")
  if (!object) throw new Error("a manifest has a main object")
  return object
}
