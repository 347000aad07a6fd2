import { randomBytes } from "node:crypto"
import { setTimeout as wait } from "node:timers/promises"
import { describe, expect, test } from "vitest"
import { S3Storage } from "../../task/storage/s3-storage.ts"
import { parseS3Url } from "../../task/storage/s3-url.ts"
import { ObjectExistsError } from "../../task/storage/storage.ts"
import { bytesOf } from "../support/bytes.ts"
import { rejectionOf } from "../support/failure.ts"
import { first, startS3World } from "../support/s3-world.ts"
import { contentOf, keysOf } from "../support/storage-contents.ts"

// As short as a machine that is busy with other tests allows.
const impatient = { timeoutSeconds: 1 }

// `big` is more than the operating system keeps of a connection on its way.
const part = randomBytes(5 * 1024 * 1024)
const big = randomBytes(16 * 1024 * 1024)

describe.concurrent("a service with a passing fault", () => {
  test.each([
    ["asks to slow down", { status: 503, code: "SlowDown" }],
    ["has an internal error", { status: 500, code: "InternalError" }],
    ["breaks the connection", "refuse"],
    ["breaks the connection midway", "break"],
    ["stops reading midway", "stall"],
    ["does not answer", "hang"],
    ["loses its answer", "lose-answer"],
  ] as const)("%s, gets every part and the manifest whole", async (_, fault) => {
    await using world = await startS3World()
    const { endpoint } = world
    const storage = world.open(impatient)
    endpoint.inject(first(1, "UploadPart", fault))
    const writer = await storage.create("folder/object")
    await Promise.all([writer.write(big), writer.write(part)])
    endpoint.inject(first(1, "CompleteMultipartUpload", fault))
    await writer.finish()
    endpoint.inject(first(1, "PutObject", fault))
    await storage.put("folder/manifest", part, { ifAbsent: true })
    expect((await contentOf(storage, "folder/object")).equals(Buffer.concat([big, part]))).toBe(true)
    expect((await contentOf(storage, "folder/manifest")).equals(part)).toBe(true)
    expect(world.countOf("PutObject")).toBeGreaterThan(1)
    expect(world.countOf("CompleteMultipartUpload")).toBeGreaterThan(1)
    expect(endpoint.openUploads()).toEqual([])
  })

  test("breaks the connection, and a manifest was there before: it is not taken for ours", async () => {
    await using world = await startS3World()
    const { endpoint, storage } = world
    await storage.put("manifest", Buffer.from("theirs"))
    endpoint.inject(first(1, "PutObject", "refuse"))
    const putting = storage.put("manifest", Buffer.from("ours!!"), { ifAbsent: true })
    await expect(putting).rejects.toThrow(ObjectExistsError)
    expect(await contentOf(storage, "manifest")).toEqual(Buffer.from("theirs"))
  })

  test.each(["break", "stall"] as const)(
    "%s midway through a download: the rest is asked for",
    async (fault) => {
      await using world = await startS3World()
      const { endpoint } = world
      const storage = world.open(impatient)
      await storage.put("object", big)
      endpoint.inject(first(3, "GetObject", fault))
      expect((await contentOf(storage, "object")).equals(big)).toBe(true)
      expect((await contentOf(storage, "object", 1_000_003)).equals(big.subarray(1_000_003))).toBe(true)
      expect(world.countOf("GetObject")).toBeGreaterThan(4)
    },
  )

  test.each(["manifest", "object"])(
    "loses its answer to the last request for a %s, to somebody who may see objects and not read them",
    async (kind) => {
      await using world = await startS3World()
      const { endpoint } = world
      const storage = world.open({ parameters: "&write-once=true" })
      const denied = { status: 403, code: "AccessDenied" } as const
      const losing = first(1, kind === "manifest" ? "PutObject" : "CompleteMultipartUpload", "lose-answer")
      endpoint.inject((request) =>
        ["HeadObject", "GetObject"].includes(request.operation) ? denied : losing(request),
      )
      if (kind === "manifest") await storage.put("folder/manifest", part, { ifAbsent: true })
      else {
        const writer = await storage.create("folder/object")
        await writer.write(part)
        await writer.finish()
      }
      endpoint.inject()
      expect((await contentOf(storage, `folder/${kind}`)).equals(part)).toBe(true)
      expect(endpoint.openUploads()).toEqual([])
    },
  )

  test("is asked again no more than five times", async () => {
    await using world = await startS3World()
    world.endpoint.inject(() => ({ status: 503, code: "ServiceUnavailable" }))
    const failure = await rejectionOf(world.storage.listFolders(""))
    expect(failure.message).toContain("it is overloaded")
    expect(world.countOf("ListObjectsV2")).toBe(5)
  })
})

describe("a service of its own mind", () => {
  const body = randomBytes(10_000)

  test("says a few times that another write is under way: it is tried again", async () => {
    await using world = await startS3World()
    world.endpoint.inject(first(3, "PutObject", { status: 409, code: "ConditionalRequestConflict" }))
    await world.storage.put("manifest", body, { ifAbsent: true })
    expect((await contentOf(world.storage, "manifest")).equals(body)).toBe(true)
    world.endpoint.inject(({ operation }) =>
      operation === "PutObject" ? { status: 409, code: "ConditionalRequestConflict" } : undefined,
    )
    const failure = await rejectionOf(world.storage.put("another", body, { ifAbsent: true }))
    expect(failure.message).toContain("cannot write another in s3:")
    expect(failure.message).toContain("another writer keeps writing it")
  })

  test.each(["GetObject", "HeadObject", "ListObjectsV2"])(
    "says once that an object is there, where there is none: it is stored, even where %s is refused",
    async (operation) => {
      await using world = await startS3World()
      let refusals = 0
      world.endpoint.inject((request) => {
        if (request.operation === operation) return { status: 403, code: "AccessDenied" }
        if (request.operation !== "PutObject" || refusals++ > 0) return undefined
        return { status: 412, code: "PreconditionFailed" }
      })
      await world.storage.put("manifest", body, { ifAbsent: true })
      world.endpoint.inject()
      expect((await contentOf(world.storage, "manifest")).equals(body)).toBe(true)
    },
  )

  test("sends all of an object, whatever part was asked for: what was not wanted is left out", async () => {
    await using world = await startS3World()
    const { endpoint, storage } = world
    await storage.put("object", part)
    let reads = 0
    endpoint.inject(({ operation }) => {
      if (operation !== "GetObject") return undefined
      return reads++ === 0 ? "break" : "whole"
    })
    expect((await contentOf(storage, "object")).equals(part)).toBe(true)
    expect(reads).toBe(2)
    expect((await contentOf(storage, "object", 1_000_003)).equals(part.subarray(1_000_003))).toBe(true)
    expect(await contentOf(storage, "object", part.length)).toHaveLength(0)
    const beyond = await rejectionOf(contentOf(storage, "object", part.length + 1))
    expect(beyond.message).toContain("cannot read object in s3:")
  })
})

describe.concurrent("a service that stays broken", () => {
  test.each([
    ["breaks every connection", "refuse", "broke the connection"],
    ["breaks every connection midway", "break", "broke the connection"],
    ["stops reading midway", "stall", "does not answer"],
    ["never answers", "hang", "does not answer"],
  ] as const)("%s: the upload fails and leaves nothing", async (_, fault, message) => {
    await using world = await startS3World()
    const { endpoint } = world
    const storage = world.open(message === "does not answer" ? impatient : {})
    const writer = await storage.create("folder/object")
    await writer.write(part)
    endpoint.inject(({ operation }) => (operation === "UploadPart" ? fault : undefined))
    const failure = await rejectionOf(writer.write(big))
    expect(failure.message).toContain(
      `cannot write folder/object in ${storage.url}: ${endpoint.url} ${message}`,
    )
    expect(await rejectionOf(writer.finish())).toBe(failure)
    await writer.abort()
    expect(endpoint.openUploads()).toEqual([])
    expect(await keysOf(storage)).toEqual([])
  })

  test.each(["break", "stall"] as const)("%s midway through every download: it fails", async (fault) => {
    await using world = await startS3World()
    const { endpoint } = world
    await world.storage.put("object", big)
    const storage = world.open({ timeoutSeconds: 0.5 })
    endpoint.inject(({ operation }) => (operation === "GetObject" ? fault : undefined))
    const failure = await rejectionOf(contentOf(storage, "object"))
    expect(failure.message).toContain(`cannot read object in ${storage.url}`)
  })

  test("an upload that can't be given up either says so, in time", async () => {
    await using world = await startS3World()
    const writer = await world.storage.create("object")
    world.endpoint.inject(() => "hang")
    const startedAt = Date.now()
    const failure = await rejectionOf(writer.abort())
    expect(failure.message).toContain(`cannot end the upload of object in ${world.storage.url}`)
    expect(failure.message).toContain("does not answer")
    expect(Date.now() - startedAt).toBeLessThan(20_000)
  })
})

describe.concurrent("a slow service", () => {
  test("is waited for as long as bytes go", async () => {
    await using world = await startS3World()
    world.endpoint.inject(() => ({ bytesPerSecond: 12_000_000 }))
    const storage = world.open({ timeoutSeconds: 3 })
    const body = Buffer.concat([big, big, big])
    const startedAt = Date.now()
    await storage.put("object", body)
    expect(Date.now() - startedAt).toBeGreaterThan(3_000)
    world.endpoint.inject()
    expect((await contentOf(storage, "object")).equals(body)).toBe(true)
    expect(world.countOf("PutObject")).toBe(1)
  })

  test("gives a slow reader every byte, though the connection is given up meanwhile", async () => {
    await using world = await startS3World()
    const storage = world.open(impatient)
    await storage.put("object", big)
    const chunks: Uint8Array[] = []
    const reading: AsyncIterable<Uint8Array> = await storage.read("object")
    for await (const chunk of reading) {
      if (chunks.length === 2) await wait(1_500)
      chunks.push(chunk)
    }
    expect(Buffer.concat(chunks).equals(big)).toBe(true)
    expect(world.countOf("GetObject")).toBeGreaterThan(1)
  })

  test("whose object is replaced while it is read fails rather than mix the two", async () => {
    await using world = await startS3World()
    const { endpoint, storage } = world
    await storage.put("object", big)
    endpoint.inject(first(1, "GetObject", "break"))
    const reading = await storage.read("object")
    await storage.put("object", randomBytes(big.length))
    const failure = await rejectionOf(bytesOf(reading))
    expect(failure.message).toContain("it was changed while it was read")
  })
})

test("giving up an upload does not wait for parts that hang", async () => {
  await using world = await startS3World()
  const writer = await world.storage.create("object")
  world.endpoint.inject(({ operation }) => (operation === "UploadPart" ? "hang" : undefined))
  const writing = rejectionOf(writer.write(part))
  await wait(50)
  const startedAt = Date.now()
  await writer.abort()
  expect((await writing).message).toContain("it was given up")
  expect(Date.now() - startedAt).toBeLessThan(20_000)
  expect(world.endpoint.openUploads()).toEqual([])
})

test("an interrupt ends requests that hang at once, and the upload can still be given up", async () => {
  await using world = await startS3World()
  const stop = new AbortController()
  const interrupted = world.open({ signal: stop.signal })
  const writer = await interrupted.create("object")
  await interrupted.put("other", big)
  world.endpoint.inject(({ operation }) => {
    if (operation === "AbortMultipartUpload") return undefined
    return operation === "GetObject" ? "stall" : "hang"
  })
  const reading = await interrupted.read("other")
  const pending = [writer.write(part), interrupted.put("a", part), keysOf(interrupted), bytesOf(reading)]
  await wait(50)
  const reason = new Error("interrupted")
  const startedAt = Date.now()
  stop.abort(reason)
  for (const result of await Promise.allSettled(pending)) {
    expect(result.status).toBe("rejected")
    if (result.status === "rejected") expect(result.reason).toBe(reason)
  }
  await writer.abort()
  expect(Date.now() - startedAt).toBeLessThan(20_000)
  expect(world.endpoint.openUploads()).toEqual([])
})

test("an interrupt while an upload begins leaves none", async () => {
  await using world = await startS3World()
  const stop = new AbortController()
  const reason = new Error("interrupted")
  world.endpoint.inject(({ operation }) => {
    if (operation === "CreateMultipartUpload") stop.abort(reason)
    return undefined
  })
  await expect(world.open({ signal: stop.signal }).create("object")).rejects.toBe(reason)
  expect(world.countOf("CreateMultipartUpload")).toBe(1)
  expect(world.endpoint.openUploads()).toEqual([])
})

test("an interrupt does not wait long for an upload that does not begin", async () => {
  await using world = await startS3World()
  const stop = new AbortController()
  const reason = new Error("interrupted")
  world.endpoint.inject(() => {
    stop.abort(reason)
    return "hang"
  })
  const startedAt = Date.now()
  const interrupted = world.open({ signal: stop.signal, timeoutSeconds: 60 })
  await expect(interrupted.create("object")).rejects.toBe(reason)
  expect(Date.now() - startedAt).toBeLessThan(20_000)
})

describe("a probe", () => {
  const denied = { status: 403, code: "AccessDenied" } as const
  const sent = ["CreateMultipartUpload", "UploadPart", "AbortMultipartUpload"]

  test("asks AWS for nothing but what a backup needs", async () => {
    await using world = await startS3World()
    const { endpoint } = world
    const keys = { AWS_ACCESS_KEY_ID: endpoint.accessKeyId, AWS_SECRET_ACCESS_KEY: endpoint.secretAccessKey }
    const settings = parseS3Url(`s3://backups/root?endpoint=${endpoint.url}`, keys)
    const storage = new S3Storage({ ...settings, isAws: true })
    expect(await storage.probe("orders/probe")).toEqual([])
    expect(endpoint.requests.map(({ operation }) => operation)).toEqual(sent)
    storage.close()
  })

  test("asks for nothing but what a backup needs, and can do without ending what it began", async () => {
    await using world = await startS3World()
    const needed = [...sent, "PutObject"]
    world.endpoint.inject(({ operation }) => (needed.includes(operation) ? undefined : denied))
    await world.storage.probe("orders/probe")
    const asked = world.endpoint.requests.map(({ operation }) => operation)
    expect(asked).toEqual([...sent, "PutObject", "PutObject", "DeleteObject"])
    expect(world.endpoint.openUploads()).toEqual([])
    world.endpoint.inject(first(1, "AbortMultipartUpload", denied))
    await world.storage.probe("orders/probe")
  })

  test.each(sent.slice(0, 2))("fails where %s is refused, and leaves nothing", async (operation) => {
    await using world = await startS3World()
    world.endpoint.inject(first(1, operation, denied))
    const failure = await rejectionOf(world.storage.probe("orders/probe"))
    expect(failure.message).toBe(`cannot write orders/probe in ${world.storage.url}: access denied`)
    expect(world.endpoint.openUploads()).toEqual([])
  })
})

describe("what the URL asks for", () => {
  test("write-once replaces no object, however it is written", async () => {
    await using world = await startS3World()
    const once = world.open({ parameters: "&write-once=true" })
    for (const key of ["put", "parts"]) await world.storage.put(key, Buffer.from("first"))
    await expect(once.put("put", Buffer.from("second"))).rejects.toThrow(ObjectExistsError)
    const writer = await once.create("parts")
    await writer.write(part)
    await expect(writer.finish()).rejects.toThrow(ObjectExistsError)
    await writer.abort()
    for (const key of ["put", "parts"])
      expect(await contentOf(world.storage, key)).toEqual(Buffer.from("first"))
    expect(world.endpoint.openUploads()).toEqual([])
  })

  test("storage class and KMS key are set on every object", async () => {
    await using world = await startS3World()
    const kmsKey = "arn:aws:kms:eu-central-1:123456789012:key/k"
    const kept = world.open({ parameters: `&storage-class=STANDARD_IA&sse-kms-key=${kmsKey}` })
    await kept.put("put", part)
    const writer = await kept.create("parts")
    await writer.finish()
    for (const key of ["root/put", "root/parts"])
      expect(world.endpoint.headersOf("backups", key)).toMatchObject({
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": kmsKey,
      })
  })

  test("more parts than the service takes are refused before they are sent", async () => {
    await using world = await startS3World()
    const writer = await world.open({ parameters: "&max-parts=2" }).create("object")
    await writer.write(part)
    await writer.write(part)
    const failure = await rejectionOf(writer.write(part))
    expect(failure.message).toContain("more than 2 parts")
    expect(world.countOf("UploadPart")).toBe(2)
    await writer.abort()
  })

  test("a prefix keeps two storages in one bucket apart", async () => {
    await using world = await startS3World()
    await world.storage.put("ours/object", part)
    const whole = world.open({ bucket: "backups" })
    await whole.put("rootless/object", part)
    expect(await keysOf(world.storage)).toEqual(["ours/object"])
    expect(await keysOf(whole)).toEqual(["root/ours/object", "rootless/object"])
  })
})

describe.concurrent("an answer with success that can't be a list is an error:", () => {
  const list = (inner: string) =>
    `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>${inner}</ListBucketResult>`
  const one =
    "<Contents><Key>root/a/1</Key><Size>1</Size></Contents><CommonPrefixes><Prefix>root/a/</Prefix></CommonPrefixes>"
  const page =
    '<!DOCTYPE html><html><head><meta charset="utf-8"><title>Sign in</title></head><body><br>Hello</body></html>'
  const tidyPage = "<html><head><title>Sign in</title></head><body><p>Hello</p></body></html>"

  test.each([
    ["nothing at all", "", "the answer is no list"],
    ["a page for people", page, "does not answer like an S3 service"],
    ["a page for people that is XML", tidyPage, "the answer is no list"],
    ["JSON", '{"objects": []}', "does not answer like an S3 service"],
    ["an error", "<Error><Code>InternalError</Code><Message>sorry</Message></Error>", "it is overloaded"],
    ["a list without any of what a list says", list(""), "the answer is no list"],
    [
      "a list that is cut short",
      list(`<IsTruncated>true</IsTruncated>${one}`),
      "does not say how it goes on",
    ],
    [
      "a list that never ends",
      list(`<IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>${one}`),
      "does not come to its end",
    ],
    [
      "a list of something else",
      list("<IsTruncated>false</IsTruncated><Contents><Key>elsewhere</Key></Contents>"),
      "of something else",
    ],
    ["half a list", list(one).slice(0, 150), "does not answer like an S3 service"],
  ])("%s", async (_, answer, message) => {
    await using world = await startS3World()
    for (const key of ["a/1", "b/2", "c/3"]) await world.storage.put(key, Buffer.from("x"))
    world.endpoint.inject(({ operation }) => (operation.startsWith("List") ? { answer } : undefined))
    for (const asked of [() => keysOf(world.storage), () => world.storage.listFolders("")]) {
      const failure = await rejectionOf(asked())
      expect(failure).toMatchObject({ kind: "storage", exitCode: 4 })
      expect(failure.message).toMatch(/^cannot list /)
      expect(failure.message).toContain(message)
    }
    const uploads = answer
      .replace("ListBucketResult", "ListMultipartUploadsResult")
      .replaceAll("Contents", "Upload")
    world.endpoint.inject(() => ({ answer: uploads }))
    const failure = await rejectionOf(world.storage.removeStaleUploads("", new Date()))
    expect(failure).toMatchObject({ kind: "storage", exitCode: 4 })
  })

  test("uploads that are cut short, or never come to their end", async () => {
    await using world = await startS3World()
    const uploads = (inner: string) => ({
      answer: `<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>${inner}</ListMultipartUploadsResult>`,
    })
    for (const [inner, message] of [
      ["", "does not say how it goes on"],
      [
        "<NextKeyMarker>x</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker>",
        "does not come to its end",
      ],
    ] as const) {
      world.endpoint.inject(() => uploads(inner))
      const failure = await rejectionOf(world.storage.removeStaleUploads("", new Date()))
      expect(failure.message).toContain(message)
    }
  })
})
