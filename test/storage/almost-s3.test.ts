import { randomBytes } from "node:crypto"
import { afterEach, describe, expect, test, vi } from "vitest"
import { NotRemovedError, ObjectExistsError, type Storage } from "../../task/storage/storage.ts"
import { storeObject } from "../../task/streams/store-object.ts"
import { rejectionOf } from "../support/failure.ts"
import type { Rule } from "../support/s3/rules.ts"
import { type S3World, startS3World } from "../support/s3-world.ts"
import { contentOf, keysOf } from "../support/storage-contents.ts"

const part = randomBytes(5 * 1024 * 1024)

/** All that a backup, its checks and its removal do in a storage. */
async function wholeLife(storage: Storage): Promise<void> {
  await storage.probe("orders/probe")
  const writer = await storage.create("orders/object")
  await Promise.all([writer.write(part), writer.write(part), writer.write(Buffer.from("end"))])
  await writer.finish()
  await storage.put("orders/manifest", Buffer.from("manifest"), { ifAbsent: true })
  await storage.put("orders/check", Buffer.from("check"))
  expect(
    (await contentOf(storage, "orders/object")).equals(Buffer.concat([part, part, Buffer.from("end")])),
  ).toBe(true)
  expect(await keysOf(storage)).toEqual(["orders/check", "orders/manifest", "orders/object"])
  const left = await storage.create("orders/left")
  await left.write(part)
  expect(await storage.removeStaleUploads("", new Date(Date.now() + 60_000))).toBe(1)
  await storage.remove(["orders/check", "orders/manifest", "orders/object"])
  expect(await keysOf(storage)).toEqual([])
}

describe.concurrent("with an endpoint of its own, all of it works where the service", () => {
  test.each<[Rule]>([
    ["no-checksum-headers"],
    ["delete-objects-needs-md5"],
    ["retention-needs-md5"],
    ["retention-needs-md5-or-checksum"],
    ["parts-declare-checksums"],
    ["complete-needs-checksums"],
    ["no-x-id"],
    ["no-delete-objects"],
    ["no-delete-objects-by-argument"],
    ["no-if-none-match"],
    ["ignores-if-none-match"],
    ["at-most-100-parts"],
  ])("%s", async (rule) => {
    await using world = await startS3World({ rules: [rule] })
    await wholeLife(world.storage)
  })

  test("has a path of its own", async () => {
    await using world = await startS3World({ path: "/storage/v1/s3" })
    expect(world.storage.url).toContain("/storage/v1/s3")
    await wholeLife(world.storage)
    await wholeLife(world.open({ parameters: "&path-style=true", bucket: "backups" }))
  })
})

describe.concurrent("as AWS wants it, by CRC-32, all of it works where the service", () => {
  test.each<[Rule]>([
    ["retention-needs-md5-or-checksum"],
    ["parts-declare-checksums"],
    ["complete-needs-checksums"],
  ])("%s", async (rule) => {
    await using world = await startS3World({ rules: [rule] })
    await wholeLife(world.open({ parameters: "&checksum=crc32" }))
  })
})

describe("what proves a body", () => {
  afterEach(() => vi.unstubAllEnvs())

  const stored = (world: S3World) =>
    world.endpoint.requests.filter(({ operation }) =>
      ["PutObject", "UploadPart", "DeleteObjects"].includes(operation),
    )

  test.each([undefined, "WHEN_REQUIRED", "WHEN_SUPPORTED"])(
    "is its MD5, and never a checksum that the service may refuse (AWS_REQUEST_CHECKSUM_CALCULATION=%s)",
    async (calculation) => {
      vi.stubEnv("AWS_REQUEST_CHECKSUM_CALCULATION", calculation)
      vi.stubEnv("AWS_RESPONSE_CHECKSUM_VALIDATION", calculation)
      await using world = await startS3World()
      await wholeLife(world.open())
      expect(stored(world).length).toBeGreaterThan(5)
      for (const { headers } of stored(world)) expect(headers["content-md5"]).toMatch(/^.{22}==$/)
      for (const { headers } of world.endpoint.requests)
        expect(Object.keys(headers).filter((name) => /checksum|trailer/.test(name))).toEqual([])
    },
  )

  test.each([undefined, "WHEN_REQUIRED", "WHEN_SUPPORTED"])(
    "is its CRC-32 on AWS, declared and told again at the end (AWS_REQUEST_CHECKSUM_CALCULATION=%s)",
    async (calculation) => {
      vi.stubEnv("AWS_REQUEST_CHECKSUM_CALCULATION", calculation)
      await using world = await startS3World({
        rules: ["parts-declare-checksums", "complete-needs-checksums"],
      })
      await wholeLife(world.open({ parameters: "&checksum=crc32" }))
      for (const { headers } of stored(world)) {
        expect(headers["x-amz-checksum-crc32"]).toMatch(/^.{6}==$/)
        expect(headers["content-md5"]).toBeUndefined()
      }
      const begun = world.endpoint.requests.filter(({ operation }) => operation === "CreateMultipartUpload")
      for (const { headers } of begun) expect(headers["x-amz-checksum-algorithm"]).toBe("CRC32")
    },
  )

  test.each(["md5", "crc32"])(
    "is looked at: a body that changes on its way is refused (%s)",
    async (checksum) => {
      await using world = await startS3World()
      const storage = world.open({ parameters: `&checksum=${checksum}` })
      const writer = await storage.create("object")
      world.endpoint.inject(({ operation }) =>
        operation === "UploadPart" || operation === "PutObject" ? "flip" : undefined,
      )
      expect((await rejectionOf(writer.write(part))).message).toContain("BadDigest")
      expect((await rejectionOf(storage.put("other", part))).message).toContain("BadDigest")
      await writer.abort()
      expect(await keysOf(storage)).toEqual([])
    },
  )
})

describe("removing", () => {
  const keys = Array.from({ length: 20 }, (_, index) => `orders/${index}`)
  const put = (storage: Storage) => Promise.all(keys.map((key) => storage.put(key, Buffer.from("x"))))

  test.each<[Rule]>([["no-delete-objects"], ["no-delete-objects-by-argument"]])(
    "goes one by one after the first refusal, and asks no second time (%s)",
    async (rule) => {
      await using world = await startS3World({ rules: [rule] })
      await put(world.storage)
      await world.storage.remove(keys)
      await put(world.storage)
      await world.storage.remove([...keys, "orders/none"])
      expect(await keysOf(world.storage)).toEqual([])
      expect(world.countOf("DeleteObjects")).toBe(1)
      expect(world.countOf("DeleteObject")).toBe(41)
    },
  )

  test.each<[string, Rule[]]>([
    ["together", []],
    ["one by one", ["no-delete-objects"]],
  ])("%s names each object that is locked, and removes all others", async (_, rules) => {
    await using world = await startS3World({ rules })
    await put(world.storage)
    for (const key of ["orders/3", "orders/17"]) world.endpoint.lock("backups", `root/${key}`)
    const failure = await rejectionOf(world.storage.remove(keys))
    expect(failure).toBeInstanceOf(NotRemovedError)
    expect(failure.message).toBe(
      `cannot remove 2 of 20 objects in ${world.storage.url}: protected by Object Lock: orders/3, orders/17`,
    )
    expect(failure.hint).toContain("retention")
    expect(await keysOf(world.storage)).toEqual(["orders/17", "orders/3"])
    expect(world.storage.keepsVersions()).toBe(false)
  })

  test.each<[string, Rule[]]>([
    ["together", []],
    ["one by one", ["no-delete-objects"]],
  ])("%s tells a bucket that keeps versions", async (_, rules) => {
    await using world = await startS3World({ rules })
    world.endpoint.keepVersions("backups")
    await put(world.storage)
    await world.storage.remove(keys)
    expect(world.storage.keepsVersions()).toBe(true)
  })

  test("unfinished uploads is left to a service that can't list them", async () => {
    await using world = await startS3World({ rules: ["no-list-uploads"] })
    expect(await world.storage.removeStaleUploads("", new Date())).toBeUndefined()
  })
})

describe("objects that must not be replaced", () => {
  test.each<[Rule, string]>([
    ["no-if-none-match", "does not know"],
    ["ignores-if-none-match", "does not keep to"],
  ])("where the service %s: it is known from the probe, said once, and looked up", async (rule, what) => {
    await using world = await startS3World({ rules: [rule] })
    const { storage } = world
    expect(await storage.probe("orders/probe")).toEqual([
      `${storage.url} ${what} If-None-Match: whether an object is there already is looked up before it is written`,
    ])
    expect(await storage.probe("orders/probe")).toEqual([])
    expect(await keysOf(storage)).toEqual([])
    const before = world.countOf("PutObject")
    await storage.put("manifest", Buffer.from("first"), { ifAbsent: true })
    await expect(storage.put("manifest", Buffer.from("second"), { ifAbsent: true })).rejects.toThrow(
      ObjectExistsError,
    )
    expect(await contentOf(storage, "manifest")).toEqual(Buffer.from("first"))
    expect(world.countOf("PutObject")).toBe(before + 1)
  })

  test.each<[Rule]>([["no-if-none-match"], ["ignores-if-none-match"]])(
    "are not, without a probe either (%s)",
    async (rule) => {
      await using world = await startS3World({ rules: [rule] })
      await world.storage.put("check", Buffer.from("first"), { ifAbsent: true })
      await expect(world.open().put("check", Buffer.from("second"), { ifAbsent: true })).rejects.toThrow(
        ObjectExistsError,
      )
      expect(await contentOf(world.storage, "check")).toEqual(Buffer.from("first"))
    },
  )

  test.each<[Rule]>([["no-if-none-match"], ["ignores-if-none-match"]])(
    "are stored by who may not look either (%s)",
    async (rule) => {
      await using world = await startS3World({ rules: [rule] })
      world.endpoint.inject(({ operation }) =>
        /^(Head|Get|List|Delete)/.test(operation) ? { status: 403, code: "AccessDenied" } : undefined,
      )
      await world.storage.probe("orders/probe")
      await world.storage.put("orders/manifest", Buffer.from("first"), { ifAbsent: true })
      world.endpoint.inject()
      expect(await keysOf(world.storage)).toEqual(["orders/manifest", "orders/probe-if-none-match"])
    },
  )

  test("are not asked of a service that can't keep write-once", async () => {
    await using world = await startS3World({ rules: ["ignores-if-none-match"] })
    const failure = await rejectionOf(world.open({ parameters: "&write-once=true" }).probe("orders/probe"))
    expect(failure.message).toContain("does not keep to If-None-Match, which write-once needs")
    expect(failure.hint).toContain("Leave write-once out")
  })

  test.each(["interrupted", "killed"])(
    "are probed by an object that does not stay where a run is %s",
    async (how) => {
      await using world = await startS3World()
      const stop = new AbortController()
      const reason = new Error("interrupted")
      let puts = 0
      world.endpoint.inject(({ operation }) => {
        if (operation === "DeleteObject" && how === "killed") return "refuse"
        // By the second the first is stored. This one must not be, once all else is over.
        if (operation !== "PutObject" || ++puts !== 2 || how !== "interrupted") return undefined
        stop.abort(reason)
        return "refuse"
      })
      const probe = world.open({ signal: stop.signal }).probe("orders/probe")
      if (how === "interrupted") await expect(probe).rejects.toBe(reason)
      else await probe
      world.endpoint.inject()
      // What a kill leaves goes with the next probe.
      if (how === "killed") await world.open().probe("orders/probe")
      expect(await keysOf(world.storage)).toEqual([])
    },
  )

  test("are known to be safe after several probes at once, and by who may not remove the probe's object", async () => {
    await using world = await startS3World()
    const probes = Array.from({ length: 4 }, () => world.open().probe("orders/probe"))
    expect(await Promise.all(probes)).toEqual([[], [], [], []])
    expect(await keysOf(world.storage)).toEqual([])
    world.endpoint.inject(({ operation }) =>
      operation === "DeleteObject" ? { status: 403, code: "AccessDenied" } : undefined,
    )
    for (let run = 0; run < 3; run++) expect(await world.open().probe("orders/probe")).toEqual([])
    world.endpoint.inject()
    expect(await keysOf(world.storage)).toEqual(["orders/probe-if-none-match"])
  })
})

describe("parts", () => {
  const mebibyte = 1024 * 1024
  async function* stream(bytes: number): AsyncGenerator<Buffer> {
    for (let left = bytes; left > 0; left -= mebibyte) yield Buffer.alloc(Math.min(left, mebibyte), 1)
  }

  test("are all of one size, and as many as the service takes, however wrong the guess was", async () => {
    await using world = await startS3World({ rules: ["equal-parts"] })
    const storage = world.open({ parameters: "&max-parts=4" })
    const { sizeBytes, failures } = await storeObject(stream(30 * mebibyte), [storage], "object", {
      expectedBytes: 0,
    })
    expect([...failures]).toEqual([])
    expect((await contentOf(storage, "object")).length).toBe(sizeBytes)
  })

  test("of which a service takes fewer than 10,000: it is known from the probe, and their size follows", async () => {
    await using world = await startS3World({ rules: ["at-most-100-parts"] })
    const { storage } = world
    expect(storage.partRules).toMatchObject({ most: 10_000, equal: true })
    const [note] = await storage.probe("orders/probe")
    expect(note).toContain("takes no 10000 parts of an object, but 100: add max-parts=100 to its URL")
    expect(storage.partRules).toMatchObject({ most: 100, equal: true })
    expect(world.endpoint.openUploads()).toEqual([])
  })

  test("of which a service takes fewer, are told with what to set where nobody probed", async () => {
    await using world = await startS3World({ rules: ["at-most-100-parts"] })
    const writer = await world.storage.create("object")
    for (let number = 1; number <= 100; number++) await writer.write(Buffer.from("x"))
    const failure = await rejectionOf(writer.write(Buffer.from("x")))
    expect(failure.message).toContain("the service takes no part number 101")
    expect(failure.hint).toBe("Add max-parts=100 to the storage's URL.")
    await writer.abort()
  })

  test("too few for what is expected are refused before a byte is read, with what to set", async () => {
    await using world = await startS3World()
    const storage = world.open({ parameters: "&max-parts=2" })
    let wasRead = false
    async function* source(): AsyncGenerator<Buffer> {
      wasRead = true
      yield Buffer.from("x")
    }
    const failure = await rejectionOf(storeObject(source(), [storage], "object", { expectedBytes: 2 ** 35 }))
    expect(failure.message).toContain("object would be too large: 2 parts can't hold it")
    expect(failure.hint).toContain("Raise max-parts")
    expect(wasRead).toBe(false)
    expect(world.endpoint.requests).toEqual([])
  })

  test("that come to more than was expected say what to set; with that set, it goes", async () => {
    await using world = await startS3World({ rules: ["equal-parts"] })
    const small = world.open({ parameters: "&max-parts=2" })
    const stored = storeObject(stream(17 * mebibyte), [small], "object", { expectedBytes: 0 })
    const failure = await rejectionOf(stored)
    expect(failure.message).toContain("more than 2 parts")
    expect(failure.hint).toContain("Add part-size=32 to the storage's URL")
    const large = world.open({ parameters: "&max-parts=2&part-size=32" })
    await storeObject(stream(40 * mebibyte), [large], "object", { expectedBytes: 0 })
    expect((await large.stat("object"))?.sizeBytes).toBe(40 * mebibyte)
  })
})
