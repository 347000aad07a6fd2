import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { startForwardProxy } from "../support/forward-proxy.ts"
import { startS3Endpoint } from "../support/s3-endpoint.ts"
import { setScene } from "../support/scene.ts"
import { startWebhook } from "../support/webhook.ts"

test("storages and notifications go by the proxy, and trust what AWS_CA_BUNDLE says", async () => {
  const scene = await setScene()
  await scene.server.psql("CREATE TABLE t AS SELECT generate_series(1, 1000)", scene.database)
  await using proxy = await startForwardProxy()
  const endpoint = await startS3Endpoint({ tls: true, buckets: ["backups"] })
  onTestFinished(() => endpoint.close())
  const webhook = await startWebhook()
  onTestFinished(() => webhook.stop())
  const bundle = join(scene.folder, "ca.pem")
  await writeFile(bundle, endpoint.certificate ?? "")
  const env = {
    PGSTOW_STORAGE: `s3://backups/root?endpoint=${endpoint.url}&credentials=TEST`,
    TEST_ACCESS_KEY: endpoint.accessKeyId,
    TEST_SECRET_KEY: endpoint.secretAccessKey,
    // The second one is a service that takes no webhooks, by TLS.
    PGSTOW_NOTIFY: `${webhook.origin}/hook ${endpoint.url}/tls`,
    HTTPS_PROXY: proxy.url,
    HTTP_PROXY: proxy.url,
    AWS_CA_BUNDLE: bundle,
  }
  const { exitCode, stderr } = await scene.run(["backup", "--name", "orders"], env)
  expect(exitCode).toBe(0)
  expect(webhook.seen.map(({ path }) => path)).toEqual(["/hook"])
  const { host } = new URL(endpoint.url)
  expect(proxy.requests.filter((request) => request === `CONNECT ${host}`).length).toBeGreaterThan(1)
  expect(stderr).toContain('did not take \\"Backup Succeeded\\": it answered 403')
  expect(await scene.json(["list"], env)).toMatchObject({ backups: [{ database: "orders" }] })

  const { exitCode: refused, stderr: words } = await scene.run(["list"], { ...env, HTTPS_PROXY: "nonsense" })
  expect(refused).toBe(2)
  expect(words).toContain("HTTPS_PROXY is no http URL")
})

test.each([
  ["there are no credentials", "", "there are no credentials for it"],
  ["there is no such profile", "&profile=nobody", "there is no AWS profile nobody"],
])("where %s, that is known before the server is asked for anything", async (_, parameters, message) => {
  const scene = await setScene()
  const { exitCode, stderr } = await scene.run(["backup"], {
    PGSTOW_STORAGE: `s3://backups?endpoint=http://127.0.0.1:1${parameters}`,
    // A server that is not there would be told by exit code 3.
    DATABASE_URL: "postgres://127.0.0.1:1/orders",
  })
  expect(exitCode).toBe(4)
  expect(stderr).toContain(message)
})
