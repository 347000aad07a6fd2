import { spawnSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { expect, onTestFinished, test } from "vitest"

const root = join(import.meta.dirname, "../..")

/** The rooms of task/ by the way imports go: from those further down to those further up, never back. */
const layers = [
  ["core"],
  ["console", "processes", "keys"],
  ["config"],
  ["storage", "archive", "legacy", "build", "help"],
  ["streams", "notify"],
  ["postgres", "catalog"],
  ["verify", "settings"],
  ["backup", "restore", "schedule"],
  ["doctor", "drill", "library", "report"],
  ["commands"],
  ["cli"],
]

/** Lints files of one line each, and gives the paths of those that the linter refuses by this rule. */
function refused(files: Readonly<Record<string, string>>, rule: string): string[] {
  const folder = mkdtempSync(join(tmpdir(), "pgstow-lint-"))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  for (const [path, line] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), `${line}\n`)
  }
  cpSync(join(root, "oxlint.config.ts"), join(folder, "oxlint.config.ts"))
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"))
  const oxlint = join(folder, "node_modules/oxlint/bin/oxlint")
  const { stdout, stderr } = spawnSync(process.execPath, [oxlint, "--format", "json"], {
    cwd: folder,
    encoding: "utf8",
  })
  expect(stderr).toBe("")
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: { code: string; filename: string }[] }
  return diagnostics.filter(({ code }) => code === rule).map(({ filename }) => filename)
}

test("every folder of task/ is a room with its place", () => {
  const folders = readdirSync(join(root, "task"), { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  )
  expect(folders.map(({ name }) => name).sort()).toEqual(layers.flat().sort())
})

test("the linter refuses every import, of types too, that goes against the layers", () => {
  const wrong: Record<string, string> = {}
  const right: Record<string, string> = {}
  layers.forEach((rooms, level) => {
    for (const room of rooms) {
      right[`task/${room}/errors.ts`] = room === "core" ? "" : 'export * from "../errors.ts"'
      for (const other of layers.slice(level).flat())
        if (other !== room)
          wrong[`task/${room}/from-${other}.ts`] = `export type { One } from "../${other}/one.ts"`
    }
  })
  right["task/backup/right.ts"] = 'export { one } from "../storage/one.ts"'
  right["functions/right.ts"] = 'export { one } from "../task/catalog/one.ts"'
  wrong["task/core/node.ts"] = 'export { readFile } from "node:fs"'
  wrong["task/core/errors.ts"] = 'export * from "../errors.ts"'
  wrong["task/postgres/cloud.ts"] = 'export { one } from "../../functions/one.ts"'
  wrong["functions/commands.ts"] = 'export { one } from "../task/commands/one.ts"'
  wrong["infra/backup.ts"] = 'export { one } from "../task/backup/one.ts"'
  delete right["task/core/errors.ts"]
  const files = refused({ ...wrong, ...right }, "eslint(no-restricted-imports)")
  expect(files.sort()).toEqual(Object.keys(wrong).sort())
})

test("the linter refuses every circle of imports, of types too", () => {
  const circle = {
    "task/core/one.ts": 'export type { Three } from "./two.ts"',
    "task/core/two.ts": 'export type { Three } from "./three.ts"',
    "task/core/three.ts": 'export type { Three } from "./one.ts"',
  }
  const outside = { "task/core/four.ts": 'export type { Three } from "./one.ts"' }
  expect(refused({ ...circle, ...outside }, "import(no-cycle)").sort()).toEqual(Object.keys(circle).sort())
})
