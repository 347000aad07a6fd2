import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { forgeHistory } from "../report/forge-history.ts"
import { needsLinux } from "../support/not-run.ts"
import { runPgstow } from "../support/pgstow.ts"
import { runOnTerminal } from "../support/terminal.ts"

const esc = "\x1b"
const green = (word: string) => `${esc}[32m${word}${esc}[0m`

let folder: string
let env: Readonly<Record<string, string>>
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pgstow-list-"))
  const newest = new Date(Date.now() - 5.5 * 3_600_000)
  forgeHistory({
    root: folder,
    database: "orders",
    newest,
    backups: 5,
    found: (age) => (age === 1 ? "failed" : "drilled"),
  })
  env = { PGSTOW_STORAGE: `file://${folder}` }
})
afterAll(() => rm(folder, { recursive: true }))

test.skipIf(needsLinux)(`a terminal has colours, and bars where it has UTF-8${needsLinux}`, async () => {
  const on = (args: readonly string[], more: Readonly<Record<string, string>>) =>
    runOnTerminal({ env, folder }, args, more, { columns: 80 })
  const { screen } = await on(["list"], { LANG: "C.UTF-8" })
  expect(screen).toContain(`${green("verified")}, ${green("drilled")}\n`)
  expect(screen).toContain(`${esc}[31mfailed${esc}[0m\n`)
  expect(screen).toMatch(/\norders {2}[▁▂▃▄▅▆▇█]{4}█ {2}newest 5 h ago, took .*, 5 backups, .* in all\n$/)
  const shown = (await on(["show", "latest"], { LANG: "C.UTF-8" })).screen
  expect(shown).toContain(`state        ${green("verified")}, ${green("drilled")}\n`)
  expect(shown).toMatch(/\nstarted .* UTC, 5 h ago\n/)

  const plain = (await on(["list"], { LANG: "C", NO_COLOR: "1" })).screen
  expect(plain).toContain("verified, drilled\n")
  expect(plain).not.toMatch(/[^\n -~]/)
  expect((await on(["list"], { LANG: "C.UTF-8", TERM: "dumb" })).screen).not.toMatch(/[^\n -~]/)
})

test("what goes into a pipe is plain", async () => {
  for (const args of [["list"], ["show", "latest"]]) {
    const { stdout } = await runPgstow(args, { ...env, LANG: "C.UTF-8", TERM: "xterm" })
    expect(stdout).toContain("verified, drilled")
    expect(stdout).not.toMatch(/[^\n -~]/)
  }
})
