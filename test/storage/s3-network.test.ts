import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { openStorage } from "../../task/storage/open-storage.ts"
import { rejectionOf } from "../support/failure.ts"
import { startForwardProxy } from "../support/forward-proxy.ts"
import { type S3Endpoint, startS3Endpoint } from "../support/s3-endpoint.ts"
import { contentOf } from "../support/storage-contents.ts"

let folder: string
let endpoint: S3Endpoint
let bundle: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pgstow-network-"))
  endpoint = await startS3Endpoint({ tls: true, buckets: ["backups"] })
  bundle = join(folder, "ca.pem")
  await writeFile(bundle, endpoint.certificate ?? "")
})
afterAll(async () => {
  await endpoint.close()
  await rm(folder, { recursive: true })
})

const open = (to: S3Endpoint, env: Record<string, string>) =>
  openStorage(`s3://backups/root?endpoint=${to.url}&credentials=TEST`, {
    env: { TEST_ACCESS_KEY: to.accessKeyId, TEST_SECRET_KEY: to.secretAccessKey, ...env },
  })

describe("a storage", () => {
  test("trusts the authorities in AWS_CA_BUNDLE, also by a proxy", async () => {
    await using proxy = await startForwardProxy()
    const direct = open(endpoint, { AWS_CA_BUNDLE: bundle })
    await direct.put("object", Buffer.from("content"))
    expect(proxy.requests).toEqual([])
    const proxied = open(endpoint, { AWS_CA_BUNDLE: bundle, HTTPS_PROXY: proxy.url })
    expect(await contentOf(proxied, "object")).toEqual(Buffer.from("content"))
    expect(proxy.requests).toEqual([`CONNECT ${new URL(endpoint.url).host}`])
    const untrusted = await rejectionOf(open(endpoint, { HTTPS_PROXY: proxy.url }).stat("object"))
    expect(untrusted.message).toContain(`the certificate of ${endpoint.url} can't be verified`)
    expect(untrusted.hint).toContain("AWS_CA_BUNDLE")
    direct.close()
    proxied.close()
  })

  test("names the file in AWS_CA_BUNDLE where it can't be read", () => {
    expect(() => open(endpoint, { AWS_CA_BUNDLE: "/nonexistent/ca.pem" })).toThrow(
      "the authorities in AWS_CA_BUNDLE, /nonexistent/ca.pem, can't be read",
    )
  })

  test("without TLS goes by HTTP_PROXY, with its password", async () => {
    await using proxy = await startForwardProxy({ credentials: "me:pass" })
    const plain = await startS3Endpoint({ buckets: ["backups"] })
    const storage = open(plain, { http_proxy: proxy.url.replace("//", "//me:pass@") })
    await storage.put("object", Buffer.from("content"))
    expect(await contentOf(storage, "object")).toEqual(Buffer.from("content"))
    expect(proxy.requests).toHaveLength(2)
    storage.close()
    await plain.close()
  })

  test.each(["127.0.0.1", "*", "localhost,127.0.0.1"])(
    "that is in NO_PROXY (%s) goes by none",
    async (none) => {
      await using proxy = await startForwardProxy()
      const env = { AWS_CA_BUNDLE: bundle, HTTPS_PROXY: proxy.url, NO_PROXY: none }
      const storage = open(endpoint, env)
      await storage.put("object", Buffer.from("content"))
      expect(proxy.requests).toEqual([])
      storage.close()
    },
  )

  test("names the proxy that is not there, or refuses, and not its password", async () => {
    await using proxy = await startForwardProxy({ credentials: "me:right" })
    const away = await rejectionOf(
      open(endpoint, { HTTPS_PROXY: "http://me:secret@127.0.0.1:1" }).stat("object"),
    )
    expect(away.message).toContain("the proxy http://127.0.0.1:1 refuses connections")
    expect(away.hint).toContain("HTTPS_PROXY")
    const refused = await rejectionOf(
      open(endpoint, { HTTPS_PROXY: proxy.url.replace("//", "//me:secret@") }).stat("object"),
    )
    expect(refused.message).toContain(`the proxy ${proxy.url} refuses to connect to ${endpoint.url}`)
    for (const failure of [away, refused]) expect(`${failure.message}${failure.hint}`).not.toContain("secret")
    expect(() => open(endpoint, { HTTPS_PROXY: "proxy.example.com:8080x y" })).toThrow("HTTPS_PROXY")
  })
})
