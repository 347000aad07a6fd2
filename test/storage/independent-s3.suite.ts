// Run by test/support/independent-s3.ts, and not by `npm test`: it needs services that nobody here wrote.
import { randomUUID } from "node:crypto"
import {
  CreateMultipartUploadCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3"
import { describe, expect, test } from "vitest"
import { openStorage } from "../../task/storage/open-storage.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { rejectionOf } from "../support/failure.ts"
import { s3Services } from "../support/s3-services.ts"
import { storageContract } from "./storage-contract.ts"

describe.each(s3Services)("$name", ({ name, url, accessKeyId, secretAccessKey }) => {
  const keys = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey }
  const open = (place: string, env: Record<string, string> = keys) =>
    openStorage(`s3://${place}?endpoint=${url}`, { env })
  /** What it says of any request. */
  const failuresOf = async (storage: Storage) => {
    const attempts = [
      storage.put("object", Buffer.from("x")),
      storage.create("object"),
      storage.listFolders(""),
    ]
    const failures = await Promise.all(attempts.map(rejectionOf))
    storage.close()
    return failures.map(({ message }) => message)
  }

  storageContract(name, async () => {
    const run = randomUUID()
    return {
      open: (folder, options) =>
        openStorage(`s3://backups/${run}/${folder}?endpoint=${url}`, { env: keys, ...options }),
      close: async () => {},
    }
  })

  test("a wrong secret is heard of", async () => {
    for (const message of await failuresOf(open("backups/x", { ...keys, AWS_SECRET_ACCESS_KEY: "wrong" })))
      expect(message).toContain("the secret key is wrong")
  })

  test("a bucket that is not there is heard of", async () => {
    for (const message of await failuresOf(open("no-such-bucket/x")))
      expect(message).toContain("has no bucket no-such-bucket")
  })

  test("parts that are too small are heard of", async () => {
    const storage = open("backups/small")
    const writer = await storage.create("object")
    await writer.write(Buffer.from("small"))
    await writer.write(Buffer.from("last"))
    expect((await rejectionOf(writer.finish())).message).toContain("a part is smaller than is allowed there")
    await writer.abort()
    storage.close()
  })

  test.each<[string, Pick<PutObjectCommandInput, "ContentMD5" | "ChecksumCRC32">]>([
    ["MD5", { ContentMD5: Buffer.alloc(16).toString("base64") }],
    ["CRC-32", { ChecksumCRC32: "AAAAAA==" }],
  ])("it looks at bodies: a wrong %s is refused, of an object and of a part", async (_, wrong) => {
    const credentials = { accessKeyId, secretAccessKey }
    const client = new S3Client({ endpoint: url, region: "us-east-1", forcePathStyle: true, credentials })
    const target = { Bucket: "backups", Key: `wrong/${randomUUID()}` }
    const Body = Buffer.from("content")
    const put = client.send(new PutObjectCommand({ ...target, ...wrong, Body }))
    await expect(put).rejects.toMatchObject({ $metadata: { httpStatusCode: 400 } })
    const declared = wrong.ChecksumCRC32 === undefined ? {} : { ChecksumAlgorithm: "CRC32" as const }
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ ...target, ...declared }))
    const part = client.send(new UploadPartCommand({ ...target, ...wrong, UploadId, PartNumber: 1, Body }))
    await expect(part).rejects.toMatchObject({ $metadata: { httpStatusCode: 400 } })
    client.destroy()
  })
})
