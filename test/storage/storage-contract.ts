import { randomBytes } from "node:crypto"
import { setTimeout as wait } from "node:timers/promises"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { PgstowError } from "../../task/errors.ts"
import { ObjectExistsError, ObjectNotFoundError, type Storage } from "../../task/storage/storage.ts"
import { contentOf, inBatches, keysOf } from "../support/storage-contents.ts"

/** A kind of storage to hold against the contract. */
export type StorageKind = {
  /** Opens a storage that is empty when its name is first used. */
  readonly open: (name: string, options?: { readonly signal?: AbortSignal }) => Storage
  readonly close: () => Promise<void>
}

const partBytes = 5 * 1024 * 1024

/** What every storage promises: the same tests for all of them. */
export function storageContract(kindName: string, start: () => Promise<StorageKind>): void {
  describe(`${kindName} as a storage`, () => {
    let kind: StorageKind
    let storage: Storage
    let count = 0

    beforeAll(async () => {
      kind = await start()
    })
    afterAll(() => kind.close())
    beforeEach(() => {
      storage = kind.open(`storage-${++count}`)
    })
    afterEach(() => storage.close())

    test("it exists once it holds something, and its parent with it", async () => {
      expect(await storage.exists()).toBe(false)
      await storage.put("folder/object", Buffer.from("content"))
      expect(await storage.exists()).toBe(true)
      const parent = storage.parent()
      expect(await parent?.exists()).toBe(true)
      expect(storage.url).toContain(parent?.url.split("?")[0])
      expect(await parent?.listFolders("")).toContain(`storage-${count}`)
      parent?.close()
    })

    describe("objects stored at once", () => {
      test.each([0, 1, 65_537, 3_000_000])("%i bytes come back as they were", async (sizeBytes) => {
        const body = randomBytes(sizeBytes)
        await storage.put("folder/object", body)
        const content = await contentOf(storage, "folder/object")
        expect(content.equals(body)).toBe(true)
        for (const maxBytes of [1, 65_536, sizeBytes, sizeBytes + 1]) {
          const first = await storage.readAtMost("folder/object", maxBytes)
          expect(first.equals(body.subarray(0, maxBytes))).toBe(true)
        }
      })

      test("a second object under the same key replaces the first", async () => {
        await storage.put("object", Buffer.from("first, and longer"))
        await storage.put("object", Buffer.from("second"))
        expect(await contentOf(storage, "object")).toEqual(Buffer.from("second"))
      })

      test("where one is there already, ifAbsent rejects and leaves it as it is", async () => {
        await storage.put("object", Buffer.from("first"), { ifAbsent: true })
        const again = storage.put("object", Buffer.from("second"), { ifAbsent: true })
        await expect(again).rejects.toThrow(ObjectExistsError)
        await expect(again).rejects.toThrow(`${storage.url} already has an object object`)
        expect(await contentOf(storage, "object")).toEqual(Buffer.from("first"))
      })

      test("of ten writers with ifAbsent at the same time, exactly one stores its object", async () => {
        const bodies = Array.from({ length: 10 }, () => randomBytes(10_000))
        const results = await Promise.allSettled(
          bodies.map((body) => storage.put("race/object", body, { ifAbsent: true })),
        )
        const winners = bodies.filter((_, index) => results[index]?.status === "fulfilled")
        expect(winners).toHaveLength(1)
        for (const result of results)
          if (result.status === "rejected") expect(result.reason).toBeInstanceOf(ObjectExistsError)
        expect(await contentOf(storage, "race/object")).toEqual(winners[0])
        expect(await keysOf(storage)).toEqual(["race/object"])
      })
    })

    describe("objects of several parts", () => {
      test("come back in the order of the calls, though several parts were under way", async () => {
        const parts = [partBytes, partBytes + 1, partBytes, 17].map((size) => randomBytes(size))
        const writer = await storage.create("folder/parts")
        await Promise.all(parts.map((part) => writer.write(part)))
        await writer.finish()
        const content = await contentOf(storage, "folder/parts")
        expect(content.equals(Buffer.concat(parts))).toBe(true)
      })

      test("an object without parts is empty", async () => {
        const writer = await storage.create("empty")
        await writer.finish()
        expect(await storage.stat("empty")).toMatchObject({ key: "empty", sizeBytes: 0 })
        expect(await contentOf(storage, "empty")).toHaveLength(0)
      })

      test("nothing can be seen of an object before it is finished", async () => {
        const writer = await storage.create("folder/object")
        await writer.write(Buffer.alloc(partBytes))
        expect(await storage.stat("folder/object")).toBeUndefined()
        expect(await keysOf(storage)).toEqual([])
        expect(await storage.listFolders("")).toEqual([])
        await expect(storage.read("folder/object")).rejects.toThrow(ObjectNotFoundError)
        await writer.finish()
        expect(await keysOf(storage)).toEqual(["folder/object"])
      })

      test("an object stays as it is until another of its key is finished", async () => {
        await storage.put("object", Buffer.from("first"))
        const writer = await storage.create("object")
        await writer.write(Buffer.from("second"))
        expect(await contentOf(storage, "object")).toEqual(Buffer.from("first"))
        await writer.finish()
        expect(await contentOf(storage, "object")).toEqual(Buffer.from("second"))
      })
    })

    describe("an upload that is given up", () => {
      test("leaves nothing", async () => {
        const writer = await storage.create("folder/object")
        await writer.write(Buffer.alloc(partBytes))
        await writer.abort()
        await writer.abort()
        await expectNothingIn(storage)
      })

      test("leaves nothing, though parts were under way", async () => {
        const writer = await storage.create("folder/object")
        const writes = [1, 2, 3].map((byte) => writer.write(Buffer.alloc(partBytes, byte)))
        await Promise.all([writer.abort(), Promise.allSettled(writes)])
        await expectNothingIn(storage)
      })

      test("takes no more parts and can't be finished", async () => {
        const writer = await storage.create("object")
        await writer.abort()
        await expect(writer.write(Buffer.from("late"))).rejects.toThrow()
        await expect(writer.finish()).rejects.toThrow()
        await expectNothingIn(storage)
      })

      test("after it was finished, is no longer given up", async () => {
        const writer = await storage.create("object")
        await writer.write(Buffer.from("whole"))
        await writer.finish()
        await writer.abort()
        expect(await contentOf(storage, "object")).toEqual(Buffer.from("whole"))
      })
    })

    describe("a probe", () => {
      test("of a storage that takes bytes leaves nothing, and touches no object", async () => {
        await storage.probe("folder/probe")
        await expectNothingIn(storage)
        await storage.put("folder/probe", Buffer.from("x"))
        await storage.probe("folder/probe")
        expect(await contentOf(storage, "folder/probe")).toEqual(Buffer.from("x"))
      })

      test("beside writers of the same folder disturbs none of them", async () => {
        const keys = Array.from({ length: 30 }, (_, index) => `folder/deeper/${index}`)
        await Promise.all(
          keys.flatMap((key) => [
            storage.put(key, Buffer.from("x")),
            storage.probe("folder/probe"),
            storage.probe("folder/deeper/probe"),
          ]),
        )
        expect(await keysOf(storage)).toEqual(keys.toSorted())
      })
    })

    describe("reading", () => {
      test("from an offset gives what follows it, and nothing at the end", async () => {
        await storage.put("object", Buffer.from("0123456789"))
        expect(await contentOf(storage, "object", 4)).toEqual(Buffer.from("456789"))
        expect(await contentOf(storage, "object", 10)).toHaveLength(0)
      })

      test("what is not there rejects, and is named", async () => {
        await storage.put("folder/object", Buffer.from("x"))
        const reading = storage.read("folder/other")
        await expect(reading).rejects.toThrow(ObjectNotFoundError)
        await expect(reading).rejects.toThrow(`${storage.url} has no object folder/other`)
        await expect(storage.read("folder")).rejects.toThrow(ObjectNotFoundError)
        expect(await storage.stat("folder/other")).toBeUndefined()
        expect(await storage.stat("folder")).toBeUndefined()
      })

      test("may be broken off by the reader", async () => {
        await storage.put("object", Buffer.alloc(8 * 1024 * 1024))
        const unread = await storage.read("object")
        unread.destroy()
        const halfRead = await storage.read("object")
        for await (const chunk of halfRead) {
          expect(chunk).not.toHaveLength(0)
          break
        }
        expect(halfRead.destroyed).toBe(true)
        expect(await storage.stat("object")).toMatchObject({ sizeBytes: 8 * 1024 * 1024 })
      })
    })

    describe("listing", () => {
      const keys = ["a-b", "a.b", "a/b/c", "a/z", "aa", "b/1=2/x", "b/1%20/y", "b0", "c"]

      test("gives every object in the order of its key's bytes, with its size and time", async () => {
        const before = Date.now()
        for (const key of keys.toReversed()) await storage.put(key, Buffer.alloc(key.length))
        const listed = await Array.fromAsync(storage.list(""))
        expect(listed.map(({ key }) => key)).toEqual(keys.toSorted())
        for (const { key, sizeBytes, modifiedAt } of listed) {
          expect(sizeBytes).toBe(key.length)
          expect(Math.abs(modifiedAt.getTime() - before)).toBeLessThan(60_000)
          expect(await storage.stat(key)).toMatchObject({ key, sizeBytes })
        }
      })

      test("below a folder gives what is in it, and no folder of a longer name", async () => {
        for (const key of keys) await storage.put(key, Buffer.from("x"))
        expect(await keysOf(storage, "a/")).toEqual(["a/b/c", "a/z"])
        expect(await keysOf(storage, "a/b/")).toEqual(["a/b/c"])
        expect(await keysOf(storage, "nothing/")).toEqual([])
        expect(await storage.listFolders("")).toEqual(["a", "b"])
        expect(await storage.listFolders("a/")).toEqual(["b"])
        expect(await storage.listFolders("b/")).toEqual(["1%20", "1=2"])
        expect(await storage.listFolders("nothing/")).toEqual([])
        for (const prefix of ["", "a/", "a/b/", "nothing/"])
          expect(await storage.listKeys(prefix)).toEqual(await keysOf(storage, prefix))
        expect(await storage.listFolders("b/", { evenEmpty: true })).toEqual(["1%20", "1=2"])
      })

      test("and removing go on past the first thousand", async () => {
        const many = Array.from({ length: 1_005 }, (_, index) => `${index % 3}/${index}`)
        await inBatches(many, 25, (key) => storage.put(key, Buffer.from("x")))
        expect(await keysOf(storage)).toEqual(many.toSorted())
        await storage.remove(many)
        await expectNothingIn(storage)
      }, 60_000)
    })

    test("its clock is told by what it dates, and is unknown before", async () => {
      expect(storage.clock()).toBeUndefined()
      await storage.put("object", Buffer.from("x"))
      expect(Math.abs(Number(storage.clock()) - Date.now())).toBeLessThan(60_000)
    })

    describe("removing", () => {
      test("takes what is named and nothing else, and does not mind what is not there", async () => {
        for (const key of ["a/1", "a/2", "b/1"]) await storage.put(key, Buffer.from("x"))
        await storage.remove(["a/1", "a/none", "none/none", "b/1"])
        expect(await keysOf(storage)).toEqual(["a/2"])
        expect(await storage.listFolders("")).toEqual(["a"])
        await storage.remove([])
        await storage.remove(["a/2"])
        await expectNothingIn(storage)
      })

      test("stale uploads takes those begun before a time, and leaves the others alone", async () => {
        await storage.put("folder/object", Buffer.from("x"))
        const old = [await storage.create("folder/old"), await storage.create("other/old")]
        await wait(1_100)
        const between = new Date()
        await wait(1_100)
        const young = await storage.create("folder/young")
        expect(await storage.removeStaleUploads("folder/", between)).toBe(1)
        expect(await storage.removeStaleUploads("", between)).toBe(1)
        expect(await storage.removeStaleUploads("", between)).toBe(0)
        await young.finish()
        for (const writer of old) {
          await expect(writer.finish()).rejects.toThrow(PgstowError)
          await writer.abort()
        }
        expect(await keysOf(storage)).toEqual(["folder/object", "folder/young"])
      })
    })

    describe("keys", () => {
      test("of every character that is allowed, and of the greatest length, are kept", async () => {
        const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%=-"
        const segment = alphabet.repeat(4).slice(0, 240)
        const longest = [segment, segment, segment, segment.slice(0, 177)].join("/")
        expect(longest).toHaveLength(900)
        for (const key of [longest, "%", "%2F", "...", "-", "a=b", ".hidden"]) {
          await storage.put(key, Buffer.from(key))
          expect(await contentOf(storage, key)).toEqual(Buffer.from(key))
        }
        expect(await keysOf(storage)).toHaveLength(7)
      })

      const odd = ["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a b", "a\\b", "a\nb"]
      const tooLong = ["x".repeat(241), `${"x/".repeat(450)}x`]
      const refused = [...odd, "é", "a?b", "a*", ".x.tmp", ...tooLong].map(
        (key) => [key.slice(0, 9), key] as const,
      )
      test.each(refused)("%j is refused before it touches the storage", async (_, key) => {
        const attempts = [
          storage.put(key, Buffer.from("x")),
          storage.create(key),
          storage.read(key),
          storage.readAtMost(key, 1),
          storage.stat(key),
          storage.remove([key]),
        ]
        for (const attempt of attempts) {
          await expect(attempt).rejects.toThrow(PgstowError)
          await expect(attempt).rejects.toThrow("takes no object named")
        }
        await expectNothingIn(storage)
      })

      test.each(["a", "/", "../", "a b/", "/a/"])("%j is no folder", async (prefix) => {
        await expect(keysOf(storage, prefix)).rejects.toThrow("has no folder named")
        await expect(storage.listKeys(prefix)).rejects.toThrow("has no folder named")
        await expect(storage.listFolders(prefix)).rejects.toThrow("has no folder named")
        await expect(storage.removeStaleUploads(prefix, new Date())).rejects.toThrow("has no folder named")
      })
    })

    test("once its signal has aborted, it does nothing more, but uploads can still be given up", async () => {
      const stop = new AbortController()
      const stopped = kind.open(`storage-${count}`, { signal: stop.signal })
      await stopped.put("object", Buffer.from("x"))
      const writer = await stopped.create("folder/object")
      const writes = [1, 2].map((byte) => writer.write(Buffer.alloc(partBytes, byte)))
      const reason = new Error("interrupted")
      stop.abort(reason)
      await Promise.allSettled(writes)
      const attempts = [
        writer.write(Buffer.from("x")),
        writer.finish(),
        stopped.put("another", Buffer.from("x")),
        stopped.create("another"),
        stopped.probe("another"),
        stopped.read("object"),
        stopped.readAtMost("object", 1),
        stopped.stat("object"),
        stopped.remove(["object"]),
        stopped.listFolders(""),
        stopped.listKeys(""),
        keysOf(stopped),
        stopped.removeStaleUploads("", new Date()),
      ]
      for (const result of await Promise.allSettled(attempts))
        expect(result).toEqual({ status: "rejected", reason })
      await writer.abort()
      stopped.close()
      expect(await keysOf(storage)).toEqual(["object"])
      expect(await storage.removeStaleUploads("", new Date(Date.now() + 60_000))).toBe(0)
    })
  })
}

async function expectNothingIn(storage: Storage): Promise<void> {
  expect(await keysOf(storage)).toEqual([])
  expect(await storage.listFolders("")).toEqual([])
  expect(await storage.removeStaleUploads("", new Date(Date.now() + 60_000))).toBe(0)
}
