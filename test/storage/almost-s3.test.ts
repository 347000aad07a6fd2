import { randomBytes } from "node:crypto"
import { afterEach, describe, expect, test, vi } from "vitest"
import type { Storage } from "../../task/storage/storage.ts"
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
