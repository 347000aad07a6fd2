import { expect, onTestFinished, test } from "vitest"
import { setScene } from "../support/scene.ts"
import { startWebhook } from "../support/webhook.ts"

test("a table that lost its rows, and a backup that shrank, are warned of", async () => {
  const scene = await setScene()
  const { server, database } = scene
  const fill = "SELECT md5(i::text) AS a FROM generate_series(1, 20000) i"
  await server.psql(`CREATE TABLE big AS ${fill}; CREATE TABLE "odd Name" AS ${fill}`, database)
  expect(await scene.json(["backup"])).toMatchObject({
    warnings: [],
    lastStoredBytes: null,
    comparison: null,
  })
  expect(await scene.json(["backup"])).toMatchObject({ warnings: [], comparison: { backups: 1 } })

  await server.psql(`TRUNCATE big; DELETE FROM "odd Name" WHERE a > '3'`, database)
  const { exitCode, stdout, stderr } = await scene.run(["backup", "--json"])
  expect(exitCode).toBe(0)
  const { warnings, comparison } = JSON.parse(stdout) as { warnings: string[]; comparison: unknown }
  const bigWent = { table: "public.big", before: 20_000, after: 0 }
  expect(comparison).toMatchObject({ backups: 2, rows: { before: 40_000, tables: [bigWent, {}] } })
  const shown = (await scene.run(["show", "latest"])).stdout
  expect(shown).toMatch(/^compared +against the last 2: stored -\d+ %, raw -\d+ %, .*public\.big -20,000/m)
  expect(warnings).toHaveLength(3)
  expect(warnings[0]).toMatch(/^The backup is \d\d % smaller than the last ones/)
  expect(warnings).toContain("The table public.big has about 0 rows; it had 20000.")
  expect(warnings[1]).toMatch(/^The table public\."odd Name" has about \d+ rows; it had 20000\.$/)
  expect(stderr).toContain("The table public.big has about 0 rows")

  const webhook = await startWebhook()
  onTestFinished(() => webhook.stop())
  const lenient = await scene.json(["backup", "--shrink-warning", "100"], {
    PGSTOW_NOTIFY: `${webhook.origin}/`,
  })
  expect(lenient).toMatchObject({ warnings: [] })
  const [told] = webhook.seen.map(({ body }) => JSON.parse(body) as unknown)
  expect(told).toMatchObject({
    type: "Backup Succeeded",
    usual: { backups: 3 },
    rows: {},
  })
})

test("--cleanup removes after a good backup what the policy does not keep; without one it is refused first", async () => {
  const scene = await setScene()
  const first = (await scene.json(["backup"])) as { id: string }
  const refused = await scene.run(["backup", "--cleanup"])
  expect(refused.exitCode).toBe(2)
  const cleaned = await scene.json(["backup", "--cleanup"], { PGSTOW_KEEP_LAST: "1" })
  expect(cleaned).toMatchObject({ cleanup: { storages: [{ removedBackups: 1 }] } })
  const { backups } = (await scene.json(["list"])) as { backups: { id: string }[] }
  expect(backups).toHaveLength(1)
  expect(backups[0]?.id).not.toBe(first.id)
})
