import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync } from "node:fs"
import { rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, inject, onTestFinished, test } from "vitest"

test.each([12, 16, 18, 22])(
  "Node %i can read the bundle far enough to say that it is too old",
  async (major) => {
    const folder = mkdtempSync(join(tmpdir(), "pgstow-node-"))
    onTestFinished(() => rm(folder, { recursive: true }))
    await writeFile(
      join(folder, "package.json"),
      JSON.stringify({ dependencies: { node: `^${major}.0.0` }, allowScripts: { node: true } }),
    )
    execFileSync("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error"], {
      cwd: folder,
      stdio: ["ignore", "ignore", "inherit"],
    })
    const ran = spawnSync(join(folder, "node_modules/.bin/node"), [inject("program"), "list"], {
      encoding: "utf8",
    })
    expect(ran.status).toBe(2)
    expect(ran.stderr).toMatch(
      new RegExp(`^error: pgstow needs Node 24 or newer, and this is ${major}\\.\\S+ [^\\n]+\\n$`),
    )
  },
)
