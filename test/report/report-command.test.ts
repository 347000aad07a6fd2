import { mkdirSync, mkdtempSync } from "node:fs"
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { needsUnwritable, unwritableFolder } from "../support/disk.ts"
import { runPgstow } from "../support/pgstow.ts"
import { runOnTerminal } from "../support/terminal.ts"
import { forgeHistory } from "./forge-history.ts"

let folder: string
let env: Record<string, string>
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "pgstow-report-"))
  const root = join(folder, "storage")
  forgeHistory({ root, database: "orders", newest: new Date("2026-01-20T03:00:00Z"), backups: 20 })
  env = { PGSTOW_STORAGE: `file://${root}` }
})
afterAll(() => rm(folder, { recursive: true }))

function failureIn(stderr: string): { message: string; hint: string } {
  // A failure's line has both.
  return JSON.parse(stderr.trim().split("\n").at(-1) ?? "") as { message: string; hint: string }
}

test("a page is written for its user alone; a newer one takes its place and its rights", async () => {
  const out = join(folder, "report.html")
  const { exitCode, stdout, stderr } = await runPgstow(["report", "--out", out], env)
  expect([exitCode, stdout]).toEqual([0, ""])
  expect(stderr).toContain(`"databases":1,"backups":20`)
  expect(stderr.length).toBeLessThan(1000)
  expect((await stat(out)).mode & 0o777).toBe(0o600)
  await chmod(out, 0o644)
  const again = await runPgstow(["report", "--out", out], { ...env, PGSTOW_KEEP_DAILY: "7" })
  expect(again.exitCode).toBe(0)
  expect(await readFile(out, "utf8")).toContain("Retention: 7 daily.")
  expect((await stat(out)).mode & 0o777).toBe(0o644)
  expect((await readdir(folder)).sort()).toEqual(["report.html", "storage"])
})

test("standard output has the page, or with --json the data", async () => {
  const page = await runPgstow(["report", "orders"], env)
  expect(page.exitCode).toBe(0)
  expect(page.stdout).toMatch(/^<!doctype html>\n<html [\s\S]*<\/html>\n$/)
  const json = await runPgstow(["report", "--json", "--keep-last", "3"], env)
  const data = JSON.parse(json.stdout) as {
    databases: { database: string; backups: unknown[] }[]
    policy: object
  }
  expect(data.databases.map(({ database, backups }) => [database, backups.length])).toEqual([["orders", 20]])
  expect(data.policy).toEqual({ keepLast: 3 })
})

test("a terminal is told to take a file", async () => {
  const { exitCode, screen } = await runOnTerminal({ env, folder }, ["report"])
  expect(exitCode).toBe(2)
  expect(screen).toContain("--out report.html")
})

test("a file that is no report stays as it is, and so does a folder", async () => {
  const out = join(folder, "precious")
  await writeFile(out, "precious")
  const file = await runPgstow(["report", "--out", out], env)
  expect(file.exitCode).toBe(2)
  expect(failureIn(file.stderr).message).toBe(`${out} exists already, and is no report`)
  expect(await readFile(out, "utf8")).toBe("precious")
  await rm(out)
  await mkdir(out)
  const into = await runPgstow(["report", "--out", out], env)
  expect(into.exitCode).toBe(2)
  expect(failureIn(into.stderr).message).toBe(`${out} is a folder`)
  await rm(out, { recursive: true })
  const empty = await runPgstow(["report", "--out", ""], env)
  expect([empty.exitCode, failureIn(empty.stderr).message]).toEqual([2, "--out is empty"])
})

test("a folder that is not there is named", async () => {
  const { exitCode, stderr } = await runPgstow(["report", "--out", join(folder, "nowhere/report.html")], env)
  expect(exitCode).toBe(2)
  expect(failureIn(stderr)).toMatchObject({
    message: /^the report can't be written to .*nowhere\/report\.html: no such file/,
    hint: /--out/,
  })
})

test.skipIf(needsUnwritable)(`a folder that may not be written to is named${needsUnwritable}`, async () => {
  const closed = await unwritableFolder()
  const { exitCode, stderr } = await runPgstow(["report", "--out", join(closed, "report.html")], env)
  expect(exitCode).toBe(2)
  expect(failureIn(stderr).message).toMatch(/^the report can't be written to .*report\.html/)
})

test("an empty storage has no report, and exits as list does", async () => {
  const root = join(folder, "empty")
  mkdirSync(root)
  const out = join(folder, "none.html")
  const { exitCode, stderr } = await runPgstow(["report", "--out", out, "--storage", `file://${root}`], env)
  expect(exitCode).toBe(8)
  expect(failureIn(stderr).message).toMatch(/empty/)
  await expect(stat(out)).rejects.toThrow("ENOENT")
  await rm(root, { recursive: true })
})

test("a storage that is not there is on the page of the others, and exits as list does", async () => {
  const out = join(folder, "half.html")
  const gone = "s3://backups/x?endpoint=http://127.0.0.1:1&credentials=TEST"
  const args = ["--storage", env.PGSTOW_STORAGE ?? "", "--storage", gone, "--storage-timeout", "1"]
  const keys = { TEST_ACCESS_KEY: "x", TEST_SECRET_KEY: "x" }
  const [report, list] = await Promise.all([
    runPgstow(["report", "--out", out, ...args], keys),
    runPgstow(["list", ...args], keys),
  ])
  expect(report.exitCode).toBe(4)
  expect(list.exitCode).toBe(4)
  expect(failureIn(report.stderr).message).toBe(failureIn(list.stderr).message)
  const page = await readFile(out, "utf8")
  expect(page).toContain("Not all could be read")
  expect(page).toContain('<h2 id="database-1">orders</h2>')
  await rm(out)
})
