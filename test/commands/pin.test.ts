import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { openStorage } from "../../task/storage/open-storage.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { runPgstow } from "../support/pgstow.ts"
import { storeSample } from "../support/sample-backup.ts"

test("a backup is pinned, seen to be, kept by cleanup, and unpinned, on the command line", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-pin-"))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const storage = openStorage(`file://${folder}/backups`, { env: {} })
  const [older, newer] = ["20260101T030000Z-aaaaaaaa", "20260102T030000Z-bbbbbbbb"]
  for (const id of [older, newer]) await storeSample(storage, { id, checks: ["verified"] })
  const run = (...args: string[]) => runPgstow(args, { PGSTOW_STORAGE: storage.url, TMPDIR: folder })
  const list = async () => (await run("list")).stdout

  const unexplained = failureOfRun(await run("pin", older))
  expect(unexplained).toMatchObject({ kind: "usage", hint: /--reason/ })
  expect((await run("pin", older, "--reason", "the audit")).exitCode).toBe(0)
  expect(await list()).toMatch(/aaaaaaaa .*verified, pinned$/m)
  expect((await run("cleanup", "--keep-hourly", "1")).exitCode).toBe(0)
  expect(await list()).toContain(older)
  expect(failureOfRun(await run("remove", older, "--yes")).message).toContain("is pinned")
  expect((await run("unpin", "20260101")).exitCode).toBe(0)
  expect((await run("cleanup", "--keep-hourly", "1")).exitCode).toBe(0)
  expect(await list()).not.toContain(older)
})
