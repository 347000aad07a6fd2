import { randomBytes } from "node:crypto"
import { access } from "node:fs/promises"
import { Readable } from "node:stream"
import * as tls from "node:tls"
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  ListPartsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { bytesOf } from "./bytes.ts"
import { crc32c } from "./s3/checksums.ts"
import { bodyOf } from "./s3/request-body.ts"
import { verifySignature } from "./s3/signature.ts"
import { type S3Endpoint, startS3Endpoint } from "./s3-endpoint.ts"

const Bucket = "bucket"
const Key = "folder/an odd+name=ü&?#.txt"
const Body = randomBytes(100_000)
const fiveMiB = 5 * 1024 * 1024

let endpoint: S3Endpoint
let client: S3Client

function connect(to: S3Endpoint): S3Client {
  const { url, accessKeyId, secretAccessKey } = to
  const credentials = { accessKeyId, secretAccessKey }
  return new S3Client({
    endpoint: url,
    region: "us-east-1",
    forcePathStyle: true,
    maxAttempts: 1,
    credentials,
  })
}

async function contentOf(from: S3Client, versionId?: string): Promise<Buffer> {
  const { Body: body } = await from.send(new GetObjectCommand({ Bucket, Key, VersionId: versionId }))
  return Buffer.from((await body?.transformToByteArray()) ?? [])
}

beforeAll(async () => {
  endpoint = await startS3Endpoint({ buckets: [Bucket] })
  client = connect(endpoint)
})
afterEach(() => client.send(new DeleteObjectCommand({ Bucket, Key })))
afterAll(async () => {
  client.destroy()
  await endpoint.close()
})

describe("signatures", () => {
  // https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, "Example: GET Object"
  const signed = {
    method: "GET",
    url: "/test.txt",
    headers: {
      host: "examplebucket.s3.amazonaws.com",
      range: "bytes=0-9",
      "x-amz-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      "x-amz-date": "20130524T000000Z",
      authorization:
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request," +
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date," +
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    },
  }
  const secretOf = () => "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
  const then = new Date("2013-05-24T00:00:00Z")

  test("as in AWS's own example are right", () => {
    expect(() => verifySignature(signed, secretOf, then)).not.toThrow()
  })

  test("of another request, key or time are refused", () => {
    const codeOf = (request: typeof signed, secret: typeof secretOf | (() => undefined), now: Date) => {
      try {
        verifySignature(request, secret, now)
      } catch (error) {
        return error
      }
      return undefined
    }
    const mismatch = { code: "SignatureDoesNotMatch" }
    expect(codeOf({ ...signed, url: "/test.tx" }, secretOf, then)).toMatchObject(mismatch)
    expect(codeOf({ ...signed, url: "/test.txt?acl" }, secretOf, then)).toMatchObject(mismatch)
    expect(codeOf({ ...signed, method: "PUT" }, secretOf, then)).toMatchObject(mismatch)
    expect(codeOf(signed, () => undefined, then)).toMatchObject({ code: "InvalidAccessKeyId" })
    expect(codeOf(signed, secretOf, new Date())).toMatchObject({ code: "RequestTimeTooSkewed" })
    const unsigned = { ...signed, headers: { ...signed.headers, "x-amz-acl": "public-read" } }
    expect(codeOf(unsigned, secretOf, then)).toMatchObject({ code: "AccessDenied" })
    const none = { ...signed, headers: { ...signed.headers, authorization: "" } }
    expect(codeOf(none, secretOf, then)).toMatchObject({ code: "AccessDenied" })
  })
})

describe("bodies", () => {
  test.each<[string, Partial<PutObjectCommandInput>]>([
    ["CRC32", { ChecksumCRC32: "AAAAAA==" }],
    ["CRC32C", { ChecksumCRC32C: "AAAAAA==" }],
    ["SHA-1", { ChecksumSHA1: Buffer.alloc(20).toString("base64") }],
    ["SHA-256", { ChecksumSHA256: Buffer.alloc(32).toString("base64") }],
    ["MD5", { ContentMD5: Buffer.alloc(16).toString("base64") }],
  ])("with a wrong %s are refused and not kept", async (_, checksum) => {
    const putting = client.send(new PutObjectCommand({ Bucket, Key, Body, ...checksum }))
    await expect(putting).rejects.toMatchObject({ name: "BadDigest" })
    await expect(contentOf(client)).rejects.toMatchObject({ name: "NoSuchKey" })
  })

  test.each(["CRC32", "CRC32C", "SHA1", "SHA256"] as const)("with a right %s are kept", async (algorithm) => {
    await client.send(new PutObjectCommand({ Bucket, Key, Body, ChecksumAlgorithm: algorithm }))
    expect(await contentOf(client)).toEqual(Body)
  })

  test("have the CRC32C that RFC 3720 gives", () => {
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283)
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa)
  })

  test("of unknown checksums are refused rather than believed", async () => {
    const headers = { "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-checksum-xxhash3": "AAAA" }
    const reading = bytesOf(bodyOf(headers, Readable.from([Body])))
    await expect(reading).rejects.toMatchObject({ code: "NotImplemented" })
  })

  test("streamed by the SDK with a trailer, over TLS, arrive", async () => {
    const secure = await startS3Endpoint({ tls: true, buckets: [Bucket] })
    const before = tls.getCACertificates("default")
    tls.setDefaultCACertificates([...before, secure.certificate ?? ""])
    const secureClient = connect(secure)
    const pieces = Readable.from([Body.subarray(0, 30_000), Body.subarray(30_000)], { objectMode: false })
    await secureClient.send(new PutObjectCommand({ Bucket, Key, Body: pieces, ContentLength: Body.length }))
    expect(await contentOf(secureClient)).toEqual(Body)
    tls.setDefaultCACertificates(before)
    secureClient.destroy()
    await secure.close()
  })

  test("in chunks are held against their trailer and their length", async () => {
    const read = (text: string, length: number) => {
      const headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-trailer": "x-amz-checksum-crc32",
        "x-amz-decoded-content-length": String(length),
      }
      return bytesOf(bodyOf(headers, Readable.from(Array.from(text, (each) => Buffer.from(each)))))
    }
    const chunks = "5\r\n12345\r\n4\r\n6789\r\n0\r\n"
    expect(await read(`${chunks}x-amz-checksum-crc32:y/Q5Jg==\r\n\r\n`, 9)).toEqual(Buffer.from("123456789"))
    for (const [text, length, code] of [
      [`${chunks}x-amz-checksum-crc32:y/Q5JQ==\r\n\r\n`, 9, "BadDigest"],
      [`${chunks}\r\n`, 9, "BadDigest"],
      [`${chunks}x-amz-checksum-crc32:y/Q5Jg==\r\n\r\n`, 10, "IncompleteBody"],
      ["5\r\n12345", 9, "IncompleteBody"],
      ["5\r\n123456789\r\n", 9, "InvalidChunk"],
    ] as const)
      await expect(read(text, length)).rejects.toMatchObject({ code })
  })

  test("are read in ranges", async () => {
    await client.send(new PutObjectCommand({ Bucket, Key, Body }))
    const range = async (Range: string) => {
      const answer = await client.send(new GetObjectCommand({ Bucket, Key, Range }))
      return {
        content: Buffer.from((await answer.Body?.transformToByteArray()) ?? []),
        is: answer.ContentRange,
      }
    }
    expect(await range("bytes=99990-")).toEqual({
      content: Body.subarray(99_990),
      is: "bytes 99990-99999/100000",
    })
    expect(await range("bytes=0-9")).toEqual({ content: Body.subarray(0, 10), is: "bytes 0-9/100000" })
    await expect(range("bytes=100000-")).rejects.toMatchObject({ name: "InvalidRange" })
  })
})

describe("uploads", () => {
  async function upload(...sizes: number[]) {
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }))
    const parts = await Promise.all(
      sizes.map(async (size, index) => {
        const part = { Bucket, Key, UploadId, PartNumber: index + 1, Body: randomBytes(size) }
        return { PartNumber: index + 1, ETag: (await client.send(new UploadPartCommand(part))).ETag }
      }),
    )
    const complete = (Parts: typeof parts, IfNoneMatch?: "*") => {
      const MultipartUpload = { Parts }
      return client.send(
        new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload, IfNoneMatch }),
      )
    }
    return { UploadId, parts, complete }
  }

  test("are not completed by parts that are wrong, missing, small or in another order", async () => {
    const { UploadId, parts, complete } = await upload(fiveMiB, 10, fiveMiB)
    const [one, two, three] = parts
    if (!one || !two || !three) throw new Error("three parts were sent")
    await expect(complete([{ ...one, ETag: two.ETag }])).rejects.toMatchObject({ name: "InvalidPart" })
    await expect(complete([one, { ...two, PartNumber: 9 }])).rejects.toMatchObject({ name: "InvalidPart" })
    await expect(complete([three, one])).rejects.toMatchObject({ name: "InvalidPartOrder" })
    await expect(complete(parts)).rejects.toMatchObject({ name: "EntityTooSmall" })
    await expect(complete([])).rejects.toMatchObject({ name: "MalformedXML" })
    const listed = await client.send(new ListPartsCommand({ Bucket, Key, UploadId }))
    expect(listed.Parts?.map(({ Size }) => Size)).toEqual([fiveMiB, 10, fiveMiB])
    await complete([one, three])
    expect((await contentOf(client)).length).toBe(2 * fiveMiB)
    await expect(complete([one])).rejects.toMatchObject({ name: "NoSuchUpload" })
  })

  test("with If-None-Match are not completed where there is an object already", async () => {
    await client.send(new PutObjectCommand({ Bucket, Key, Body }))
    const { parts, complete } = await upload(10)
    await expect(complete(parts, "*")).rejects.toMatchObject({ name: "PreconditionFailed" })
    expect(await contentOf(client)).toEqual(Body)
    await complete(parts)
    expect(await contentOf(client)).toHaveLength(10)
  })
})

describe("buckets", () => {
  test("that keep versions keep what is replaced or deleted", async () => {
    const versioned = await startS3Endpoint({ buckets: [Bucket] })
    const keeper = connect(versioned)
    await keeper.send(
      new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: "Enabled" } }),
    )
    const first = await keeper.send(new PutObjectCommand({ Bucket, Key, Body }))
    await keeper.send(new PutObjectCommand({ Bucket, Key, Body: "second" }))
    expect(await contentOf(keeper)).toEqual(Buffer.from("second"))
    await keeper.send(new DeleteObjectCommand({ Bucket, Key }))
    await expect(contentOf(keeper)).rejects.toMatchObject({ name: "NoSuchKey" })
    expect(await contentOf(keeper, first.VersionId)).toEqual(Body)
    await keeper.send(new PutObjectCommand({ Bucket, Key, Body: "third", IfNoneMatch: "*" }))
    await keeper.send(new DeleteObjectCommand({ Bucket, Key, VersionId: first.VersionId }))
    await expect(contentOf(keeper, first.VersionId)).rejects.toMatchObject({ name: "NoSuchVersion" })
    expect(await contentOf(keeper)).toEqual(Buffer.from("third"))
    keeper.destroy()
    await versioned.close()
  })

  test("are listed page by page, folders and objects together", async () => {
    const keys = ["a", "b/1", "b/2", "b/3", "c", "d/1", "e"]
    for (const key of keys) await client.send(new PutObjectCommand({ Bucket, Key: `list/${key}`, Body: "x" }))
    for (const MaxKeys of [1, 2, 3, 1000]) {
      const found: string[] = []
      let ContinuationToken: string | undefined
      do {
        const page: ListObjectsV2CommandOutput = await client.send(
          new ListObjectsV2Command({ Bucket, Prefix: "list/", Delimiter: "/", MaxKeys, ContinuationToken }),
        )
        const objects = (page.Contents ?? []).map(({ Key: name = "" }) => name)
        const folders = (page.CommonPrefixes ?? []).map(({ Prefix: name = "" }) => name)
        expect(objects.length + folders.length).toBeLessThanOrEqual(MaxKeys)
        found.push(...objects, ...folders)
        ContinuationToken = page.NextContinuationToken
      } while (ContinuationToken !== undefined)
      expect(found.toSorted()).toEqual(["a", "b/", "c", "d/", "e"].map((name) => `list/${name}`))
    }
  })
})

test("an endpoint that was given no folder leaves none", async () => {
  const short = await startS3Endpoint({ buckets: [Bucket] })
  const shortClient = connect(short)
  await shortClient.send(new PutObjectCommand({ Bucket, Key, Body }))
  const [file = ""] = short.filesOf(Bucket, Key)
  await access(file)
  shortClient.destroy()
  await short.close()
  await expect(access(file)).rejects.toMatchObject({ code: "ENOENT" })
})
