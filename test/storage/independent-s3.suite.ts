// Run by test/support/independent-s3.ts, and not by `npm test`: it needs a service at PGSTOW_TEST_S3_URL.
import { randomUUID } from "node:crypto"
import { expect, test } from "vitest"
import { openStorage } from "../../task/storage/open-storage.ts"
import { rejectionOf } from "../support/failure.ts"
import { storageContract } from "./storage-contract.ts"

const { env } = process
const url = new URL(env.PGSTOW_TEST_S3_URL ?? "s3://no-service")
const at = (bucket: string, prefix: string) => `s3://${bucket}/${prefix}${url.search}`

storageContract("a service that is not ours", async () => {
  const run = randomUUID()
  return {
    open: (name, options) => openStorage(at(url.hostname, `${run}/${name}`), { env, ...options }),
    close: async () => {},
  }
})

test("a wrong secret is heard of", async () => {
  const storage = openStorage(at(url.hostname, "x"), { env: { ...env, AWS_SECRET_ACCESS_KEY: "wrong" } })
  const attempts = [
    storage.put("object", Buffer.from("x")),
    storage.create("object"),
    storage.listFolders(""),
  ]
  for (const failure of await Promise.all(attempts.map(rejectionOf)))
    expect(failure.message).toContain("the secret key is wrong")
  storage.close()
})

test("a bucket that is not there is heard of", async () => {
  const storage = openStorage(at("no-such-bucket", "x"), { env })
  const attempts = [
    storage.put("object", Buffer.from("x")),
    storage.create("object"),
    storage.listFolders(""),
  ]
  for (const failure of await Promise.all(attempts.map(rejectionOf)))
    expect(failure.message).toContain("has no bucket no-such-bucket")
  storage.close()
})

test("parts that are too small are heard of", async () => {
  const storage = openStorage(at(url.hostname, "small"), { env })
  const writer = await storage.create("object")
  await writer.write(Buffer.from("small"))
  await writer.write(Buffer.from("last"))
  expect((await rejectionOf(writer.finish())).message).toContain("a part is smaller than is allowed there")
  await writer.abort()
  storage.close()
})
