import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as tls from "node:tls"
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest"
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

  test.each([301, 302, 307, 308])(
    "being a server that redirects (%i), is named, and where to",
    async (status) => {
      const server = createServer((_, response) => {
        const headers = { location: "https://s3.example.com:9000/backups?list-type=2" }
        response.writeHead(status, headers).end("<html><body>Moved</body></html>")
      })
      server.listen(0, "127.0.0.1")
      await once(server, "listening")
      onTestFinished(() => void server.close())
      // A server that listens on a port has an address of this kind.
      const { port } = server.address() as AddressInfo
      const storage = openStorage(`s3://backups?endpoint=http://127.0.0.1:${port}&credentials=TEST`, {
        env: keys,
      })
      for (const failure of await Promise.all([
        rejectionOf(storage.listFolders("")),
        rejectionOf(storage.put("object", body)),
      ])) {
        expect(failure.message).toContain(`http://127.0.0.1:${port} redirects to https://s3.example.com:9000`)
        expect(failure.hint).toContain("endpoint=https://s3.example.com:9000")
      }
      server.closeAllConnections()
    },
  )

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

  test.each([
    [
      "AuthorizationHeaderMalformed",
      "Authorization header malformed, unexpected scope: expected: 20260101/garage/s3/aws4_request",
      "garage",
    ],
    [
      "AuthorizationHeaderMalformed",
      "the region 'us-east-1' is wrong; expecting 'eu-central-1'",
      "eu-central-1",
    ],
    [
      "InvalidRegionName",
      "The region name 'us-east-7' is not valid. Must be one of: wnam, enam, weur, eeur, apac, auto",
      "auto",
    ],
  ])(
    "since it has another name for its region (%s), is heard, and what to set",
    async (code, message, region) => {
      await using world = await startS3World()
      world.endpoint.inject(() => ({ status: 400, code, message }))
      const failure = await rejectionOf(world.storage.put("object", body))
      expect(failure.hint).toBe(`Add region=${region} to the storage's URL.`)
    },
  )

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
    expect(failure.message).toContain(`cannot remove a in ${world.storage.url}: protected by Object Lock`)
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

  /** AWS's two files, for what a test opens. */
  async function configured(config: string, credentials = ""): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), "pgstow-profile-"))
    onTestFinished(() => rm(folder, { recursive: true }))
    await writeFile(join(folder, "config"), config)
    await writeFile(join(folder, "credentials"), credentials)
    vi.stubEnv("AWS_CONFIG_FILE", join(folder, "config"))
    vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", join(folder, "credentials"))
    vi.stubEnv("HOME", folder)
    return folder
  }
  const openAt = (endpoint: string, parameters = "", env: Record<string, string> = {}) =>
    openStorage(`s3://backups?endpoint=${endpoint}${parameters}`, { env: { ...process.env, ...env } })

  test("of a profile that does not exist: it is named, with those that there are", async () => {
    await configured("[default]\nregion = eu-west-1\n[profile home]\n", "[work]\naws_access_key_id = x\n")
    for (const [parameters, env] of [
      ["&profile=wrok", {}],
      ["", { AWS_PROFILE: "wrok" }],
    ] as const) {
      const failure = await rejectionOf(openAt("http://127.0.0.1:1", parameters, env).listFolders(""))
      expect(failure.message).toContain("there is no AWS profile wrok")
      expect(failure.hint).toContain("default, home, work")
    }
    const empty = await rejectionOf(openAt("http://127.0.0.1:1", "&profile=home").listFolders(""))
    expect(empty.message).toContain("the AWS profile home has no credentials")
  })

  test.each([
    [
      "by a session",
      "sso_session = corp",
      "[sso-session corp]\nsso_start_url = https://corp.example.com\nsso_region = eu-west-1\n",
    ],
    ["by itself", "sso_start_url = https://corp.example.com\nsso_region = eu-west-1", ""],
  ])("of a profile whose SSO session has expired (%s): the one command is told", async (_, how, session) => {
    const account = "sso_account_id = 123456789012\nsso_role_name = backup"
    await configured(`[profile work]\n${how}\n${account}\nregion = eu-west-1\n${session}`)
    const failure = await rejectionOf(openAt("http://127.0.0.1:1", "&profile=work").listFolders(""))
    expect(failure.message).toContain("the SSO session of the AWS profile work has expired")
    expect(failure.hint).toBe("Run aws sso login --profile work, then run this again.")
  })

  test.each([
    ["a process of the profile", true],
    ["the credentials file", false],
  ])(
    "from %s that expire in the middle of an upload are fetched again, and the part is sent again",
    async (_, byProcess) => {
      await using world = await startS3World()
      const { url, accessKeyId, secretAccessKey } = world.endpoint
      const set = async (folder: string, token: string) => {
        const lines = { accessKeyId, secretAccessKey, sessionToken: token }
        await writeFile(
          join(folder, "answer"),
          JSON.stringify({
            Version: 1,
            AccessKeyId: accessKeyId,
            SecretAccessKey: secretAccessKey,
            SessionToken: token,
          }),
        )
        if (!byProcess)
          await writeFile(
            join(folder, "credentials"),
            `[work]\naws_access_key_id = ${lines.accessKeyId}\naws_secret_access_key = ${lines.secretAccessKey}\naws_session_token = ${token}\n`,
          )
        world.endpoint.setKeys(lines)
      }
      const folder = await configured("")
      if (byProcess)
        await writeFile(join(folder, "config"), `[profile work]\ncredential_process = cat ${folder}/answer\n`)
      await set(folder, "first")
      const storage = openAt(url, "&profile=work")
      const part = randomBytes(5 * 1024 * 1024)
      const writer = await storage.create("object")
      await writer.write(part)
      await set(folder, "second")
      await Promise.all([writer.write(part), writer.write(part)])
      await writer.finish()
      await set(folder, "third")
      expect(await keysOf(storage)).toEqual(["object"])
      expect((await contentOf(storage, "object")).length).toBe(3 * part.length)
      storage.close()
    },
  )

  test("that have expired for good end it, with what to do", async () => {
    await using world = await startS3World()
    const { accessKeyId, secretAccessKey } = world.endpoint
    world.endpoint.setKeys({ accessKeyId, secretAccessKey, sessionToken: "new" })
    const failure = await rejectionOf(world.open({ env: { TEST_SESSION_TOKEN: "old" } }).put("object", body))
    expect(failure.message).toContain("the session's credentials have expired")
    expect(failure.hint).toContain("Sign in again")
  })

  test("a profile with an endpoint of one's own has its region", async () => {
    await using world = await startS3World()
    const { url, accessKeyId, secretAccessKey } = world.endpoint
    const keys = `aws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`
    await configured(
      "[profile garage]\nregion = garage\n[profile none]\n",
      `[garage]\n${keys}[none]\n${keys}`,
    )
    for (const [profile, region] of [
      ["garage", "garage"],
      ["none", "us-east-1"],
    ]) {
      await openAt(url, `&profile=${profile}`).put("object", body)
      expect(world.endpoint.requests.at(-1)?.headers.authorization).toContain(`/${region}/s3/aws4_request`)
    }
  })

  test("without a region, for AWS itself, are asked for one", async () => {
    const storage = openStorage("s3://backups?credentials=TEST", { env: keys })
    const failure = await rejectionOf(storage.listFolders(""))
    expect(failure.message).toContain("no region is given")
    expect(failure.hint).toContain("AWS_REGION")
  })
})
