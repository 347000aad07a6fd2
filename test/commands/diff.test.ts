import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { openStorage } from "../../task/storage/open-storage.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { runPgstow } from "../support/pgstow.ts"
import { storeSample } from "../support/sample-backup.ts"

test("two backups are compared on the command line, without a key", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-diff-"))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const storage = openStorage(`file://${folder}/backups`, { env: {} })
  const [older, newer] = ["20260101T030000Z-aaaaaaaa", "20260102T030000Z-bbbbbbbb"]
  for (const id of [older, newer]) await storeSample(storage, { id })
  const run = (...args: string[]) =>
    runPgstow(["diff", ...args], { PGSTOW_STORAGE: storage.url, TMPDIR: folder })
  const { exitCode, stdout } = await run("20260101", "latest")
  expect(exitCode).toBe(0)
  expect(stdout).toContain(`before  ${older} of orders, 2026-01-01 03:00:00 UTC`)
  expect(stdout).toContain(`after   ${newer} of orders`)
  const json: unknown = JSON.parse((await run(older, newer, "--json")).stdout)
  expect(json).toMatchObject({ before: { id: older }, after: { id: newer }, extensions: [] })
  expect(failureOfRun(await run(older))).toMatchObject({ kind: "usage", hint: /two ids/ })
  expect(failureOfRun(await run(older, "2025")).kind).toBe("notFound")
})
