import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as tls from "node:tls"
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import { openStorage } from "../../task/storage/open-storage.ts"
import { rejectionOf } from "../support/failure.ts"
import { startS3Endpoint } from "../support/s3-endpoint.ts"
import { first, startS3World } from "../support/s3-world.ts"
import { contentOf, keysOf } from "../support/storage-contents.ts"

const body = randomBytes(100_000)
const keys = { TEST_ACCESS_KEY: "id", TEST_SECRET_KEY: "secret" }

describe("a service that is out of reach", () => {
  test("refusing connections, is named", async () => {
    await using world = await startS3World()
    const { endpoint, storage } = world
    await endpoint.close()
    const failure = await rejectionOf(storage.put("folder/object", body))
    expect(failure.kind).toBe("storage")
    expect(failure.message).toBe(
      `cannot write folder/object in ${storage.url}: ${endpoint.url} refuses connections`,
    )
    expect(failure.hint).toBe("Check that it is running, and its port.")
  })

  test("by a name that there is not, is named", async () => {
    const nowhere = openStorage("s3://backups?endpoint=http://nowhere.invalid&credentials=TEST", {
      env: keys,
    })
    const failure = await rejectionOf(nowhere.listFolders(""))
    expect(failure.message).toMatch(/nowhere\.invalid (has no address|can't be looked up now)$/)
  })

  test("being something else than S3, is named", async () => {
    const server = createServer((_, response) => void response.end("<html><body>Welcome</body>"))
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    // A server that listens on a port has an address of this kind.
    const { port } = server.address() as AddressInfo
    const website = (scheme: string) =>
      openStorage(`s3://backups?endpoint=${scheme}://127.0.0.1:${port}&credentials=TEST`, { env: keys })
    const failure = await rejectionOf(website("http").listFolders(""))
    expect(failure.message).toContain(`http://127.0.0.1:${port} does not answer like an S3 service`)
    expect((await rejectionOf(website("https").listFolders(""))).message).toContain("does not speak TLS")
    server.closeAllConnections()
    server.close()
  })

  test("with a certificate that nobody has vouched for, is refused until it is trusted", async () => {
    const endpoint = await startS3Endpoint({ tls: true, buckets: ["backups"] })
    const env = { TEST_ACCESS_KEY: endpoint.accessKeyId, TEST_SECRET_KEY: endpoint.secretAccessKey }
    const open = () => openStorage(`s3://backups?endpoint=${endpoint.url}&credentials=TEST`, { env })
    const failure = await rejectionOf(open().put("object", body))
    expect(failure.message).toContain(`the certificate of ${endpoint.url} can't be verified`)
    expect(failure.hint).toContain("NODE_EXTRA_CA_CERTS")

    const before = tls.getCACertificates("default")
    tls.setDefaultCACertificates([...before, endpoint.certificate ?? ""])
    const trusting = open()
    await trusting.put("object", body)
    expect((await contentOf(trusting, "object")).equals(body)).toBe(true)
    tls.setDefaultCACertificates(before)
    trusting.close()
    await endpoint.close()
  })
})

describe("a service that refuses", () => {
  test.each<[what: string, env: Record<string, string>, message: string, hint: string]>([
    ["a wrong secret", { TEST_SECRET_KEY: "wrong" }, "the secret key is wrong", "belongs to this access key"],
    [
      "an unknown key",
      { TEST_ACCESS_KEY: "who" },
      "the access key is not known there",
      "Check the access key",
    ],
  ])("%s, is heard", async (_, env, message, hint) => {
    await using world = await startS3World()
    const failure = await rejectionOf(world.open({ env }).put("object", body))
    expect(failure.message).toContain(message)
    expect(failure.hint).toContain(hint)
    expect(failure.message).not.toContain(world.endpoint.secretAccessKey)
  })

  test.each<[what: string, status: number, code: string, message: string, hint: string]>([
    ["access", 403, "AccessDenied", "access denied", "what they are allowed"],
    ["an expired session", 400, "ExpiredToken", "have expired", "Sign in again"],
    ["a storage class", 400, "InvalidStorageClass", "storage class is not known", "leave out storage-class"],
    ["more than fits", 507, "XMinioStorageFull", "its disks are full", "Free some space"],
    ["what it does not know", 501, "NotImplemented", "lacks something", "If-None-Match"],
    ["for a reason of its own", 418, "Teapot", "Teapot", "service's own log"],
  ])("%s, is heard", async (_, status, code, message, hint) => {
    await using world = await startS3World()
    const { endpoint, storage } = world
    endpoint.inject(() => ({ status, code }))
    const failure = await rejectionOf(storage.put("object", body))
    expect(failure.message).toContain(`cannot write object in ${storage.url}: `)
    expect(failure.message).toContain(message)
    expect(failure.hint).toContain(hint)
  })

  test("since the bucket is not there, is heard", async () => {
    await using world = await startS3World()
    const other = world.open({ bucket: "other-bucket" })
    const attempts = [other.put("object", body), other.create("object"), keysOf(other), other.remove(["x"])]
    for (const failure of await Promise.all(attempts.map(rejectionOf))) {
      expect(failure.message).toContain(`${world.endpoint.url} has no bucket other-bucket`)
      expect(failure.hint).toContain("Create it")
    }
  })

  test("since the bucket is in another region, is heard, and the region named", async () => {
    await using world = await startS3World()
    const { endpoint, storage } = world
    const headers = { "x-amz-bucket-region": "eu-central-1" }
    endpoint.inject(() => ({ status: 301, code: "PermanentRedirect", headers }))
    const attempts = [storage.put("object", body), storage.stat("object")]
    for (const failure of await Promise.all(attempts.map(rejectionOf))) {
      expect(failure.message).toContain("the bucket is in another region, eu-central-1")
      expect(failure.hint).toBe("Add region=eu-central-1 to the storage's URL.")
    }
  })

  test("an object that Object Lock keeps is told from one that nobody may remove", async () => {
    await using world = await startS3World()
    const words = "Access Denied because object protected by object lock."
    world.endpoint.inject(({ operation }) =>
      operation === "DeleteObjects"
        ? {
            answer: `<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code><Message>${words}</Message></Error></DeleteResult>`,
          }
        : undefined,
    )
    const failure = await rejectionOf(world.storage.remove(["a"]))
    expect(failure.message).toContain(
      `cannot remove a in ${world.storage.url}: it is protected by Object Lock`,
    )
    expect(failure.hint).toContain("retention")
  })

  test("to remove objects, is heard", async () => {
    await using world = await startS3World()
    await world.storage.put("object", body)
    world.endpoint.inject(first(1, "DeleteObjects", { status: 403, code: "AccessDenied" }))
    const failure = await rejectionOf(world.storage.remove(["object", "other"]))
    expect(failure.message).toContain(`cannot remove 2 objects in ${world.storage.url}: access denied`)
    expect(await keysOf(world.storage)).toEqual(["object"])
  })

  test("parts that are too small, is heard, and nothing is left", async () => {
    await using world = await startS3World()
    const writer = await world.storage.create("object")
    await writer.write(Buffer.from("small"))
    await writer.write(Buffer.from("last"))
    const failure = await rejectionOf(writer.finish())
    expect(failure.message).toContain("a part is smaller than is allowed there")
    await writer.abort()
    expect(world.endpoint.openUploads()).toEqual([])
  })
})

describe("credentials", () => {
  beforeEach(() => {
    vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true")
    vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    vi.stubEnv("AWS_CONFIG_FILE", "/nonexistent")
    vi.stubEnv("AWS_REGION", undefined)
  })
  afterEach(() => vi.unstubAllEnvs())

  test("that are nowhere to be found, are asked for", async () => {
    const storage = openStorage("s3://backups?endpoint=http://127.0.0.1:1", { env: {} })
    const failure = await rejectionOf(storage.listFolders(""))
    expect(failure.message).toContain("there are no credentials for it")
    expect(failure.hint).toContain("AWS_ACCESS_KEY_ID")
  })

  test("of a named profile are found", async () => {
    await using world = await startS3World()
    const folder = await mkdtemp(join(tmpdir(), "pgstow-profile-"))
    const { url, accessKeyId, secretAccessKey } = world.endpoint
    const profile = `[work]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`
    await writeFile(join(folder, "credentials"), profile)
    vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", join(folder, "credentials"))
    const storage = openStorage(`s3://backups?endpoint=${url}&profile=work`, { env: {} })
    await storage.put("object", body)
    expect(await keysOf(storage)).toEqual(["object"])
    storage.close()
    await rm(folder, { recursive: true })
  })

  test("without a region, for AWS itself, are asked for one", async () => {
    const storage = openStorage("s3://backups?credentials=TEST", { env: keys })
    const failure = await rejectionOf(storage.listFolders(""))
    expect(failure.message).toContain("no region is given")
    expect(failure.hint).toContain("AWS_REGION")
  })
})
