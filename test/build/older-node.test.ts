import { spawnSync } from "node:child_process"
import { expect, inject, test } from "vitest"
import { notRun } from "../support/not-run.ts"

const { stdout: version } = spawnSync("node", ["--version"], {
  encoding: "utf8",
  env: { PATH: pathWithoutPackages() },
})

/** The PATH without the folders of npm's programs, which vitest is run with: the project's own Node is there. */
function pathWithoutPackages(): string {
  const folders = process.env.PATH?.split(":") ?? []
  return folders.filter((folder) => !folder.endsWith("node_modules/.bin")).join(":")
}

const hasOlder = Number.parseInt(version.slice(1), 10) < 24
const needsOlder = notRun(hasOlder, "the machine has no Node older than 24")

test.skipIf(needsOlder)(`an older Node says in one line that it is too old, and exits 2${needsOlder}`, () => {
  for (const args of [[], ["list"], ["--version"]]) {
    const ran = spawnSync("node", [inject("program"), ...args], {
      encoding: "utf8",
      env: { PATH: pathWithoutPackages() },
    })
    expect(ran.status).toBe(2)
    expect(ran.stdout).toBe("")
    expect(ran.stderr).toBe(
      `error: pgstow needs Node 24 or newer, and this is ${version.trim().slice(1)}. Install it, or run \`npx node@24 ${inject("program")}\`.\n`,
    )
  }
})
