import { expect, onTestFinished, test } from "vitest"
import { setScene } from "../support/scene.ts"
import { startWebhook } from "../support/webhook.ts"

test("every channel hears of a good backup, and a healthcheck of its start", async () => {
  const scene = await setScene()
  const webhook = await startWebhook()
  onTestFinished(() => webhook.stop())
  await scene.server.psql("CREATE TABLE t AS SELECT generate_series(1, 1000)", scene.database)
  const channels = ["slack", "discord", "teams", "webhook"].map(
    (format) => `format=${format},${webhook.origin}/${format}`,
  )
  const notify = [
    ...channels,
    `level=error,${webhook.origin}/errors`,
    `${webhook.origin}/ping/${"0".repeat(36)}`,
  ]
  await scene.json(["backup", "--name", "orders"], { PGSTOW_NOTIFY: notify.join(" ") })

  const paths = webhook.seen.map(({ path }) => path)
  expect(paths[0]).toBe(`/ping/${"0".repeat(36)}/start`)
  expect(new Set(paths.slice(1))).toEqual(
    new Set(["/slack", "/discord", "/teams", "/webhook", `/ping/${"0".repeat(36)}`]),
  )
  for (const { body } of webhook.seen.slice(1)) expect(body).toContain("Backup of orders succeeded")
  const json: unknown = JSON.parse(webhook.seen.find(({ path }) => path === "/webhook")?.body ?? "")
  expect(json).toMatchObject({ type: "Backup Succeeded", outcome: "success", database: "orders" })
})

test("a failed one is told with pg_dump's own words, and a channel that refuses changes nothing", async () => {
  const scene = await setScene()
  const webhook = await startWebhook()
  onTestFinished(() => webhook.stop())
  webhook.answers.push({ status: 200 }, { status: 403 }, { status: 403 })
  const role = `reader_${scene.database}`
  await scene.server.psql(
    `CREATE TABLE secret_table (a int); CREATE ROLE ${role} LOGIN PASSWORD 'pw'`,
    scene.database,
  )
  onTestFinished(() => scene.server.psql(`DROP ROLE ${role}`).then(() => {}))
  const url = `postgres://${role}:pw@127.0.0.1:${scene.server.port}/${scene.database}`
  const { exitCode, stderr } = await scene.run(["backup"], {
    DATABASE_URL: url,
    PGSTOW_NOTIFY: `level=error,${webhook.origin}/SECRET ${webhook.origin}/ping/${"0".repeat(36)}`,
  })
  expect(exitCode).toBe(3)
  const [, ...told] = webhook.seen
  expect(told.map(({ path }) => path.replace(/0+/, "uuid")).sort((a, b) => a.localeCompare(b))).toEqual([
    "/ping/uuid/fail",
    "/SECRET",
  ])
  for (const { body } of told) expect(body).toContain("permission denied for table secret_table")
  expect(stderr).toContain("did not take")
  expect(stderr).not.toContain("SECRET")
})

test("channels that are silent delay the end by ten seconds in all, and are named", async () => {
  const scene = await setScene()
  const webhook = await startWebhook()
  onTestFinished(() => webhook.stop())
  for (let request = 0; request < 20; request++) webhook.answers.push("silence")
  const startedAt = Date.now()
  const { exitCode, stderr } = await scene.run(["backup", "--storage", "file:///proc/nowhere"], {
    PGSTOW_NOTIFY: `${webhook.origin}/a ${webhook.origin}/ping/${"0".repeat(36)}`,
  })
  expect(exitCode).toBe(4)
  expect(Date.now() - startedAt).toBeLessThan(15_000)
  expect(stderr.match(/did not take \\"Backup (Started|Failed)\\": it did not answer in time/g)).toHaveLength(
    3,
  )
})
