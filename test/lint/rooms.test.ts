import { spawnSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterAll, expect, test } from "vitest"

const root = join(import.meta.dirname, "../..")

/** The rooms of task/ by the way imports go: from those further down to those further up, never back. */
const layers = [
  ["core"],
  ["console", "processes", "keys", "storage", "archive", "legacy", "build"],
  ["streams", "notify"],
  ["postgres", "catalog"],
  ["verify", "settings"],
  ["backup", "restore", "schedule"],
  ["commands"],
  ["cli"],
]

const folder = mkdtempSync(join(tmpdir(), "pgstow-lint-"))
afterAll(() => rmSync(folder, { recursive: true }))

/** Lints files of one line each, and gives the paths of those that the linter refuses. */
function refused(files: Readonly<Record<string, string>>): string[] {
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
  return diagnostics
    .filter(({ code }) => code === "eslint(no-restricted-imports)")
    .map(({ filename }) => filename)
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
  expect(refused({ ...wrong, ...right }).sort()).toEqual(Object.keys(wrong).sort())
})
