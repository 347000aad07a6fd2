import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { placeFile } from "../../task/processes/place-file.ts"

test("behind a prefix, what a killed restore left there a week ago is removed, and nothing else", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-far-"))
  onTestFinished(() => rm(folder, { recursive: true }))
  const weekAgo = new Date(Date.now() - 9 * 24 * 60 * 60 * 1000)
  for (const [name, at] of [
    ["pgstow-aaaaaa", weekAgo],
    ["pgstow-bbbbbb", new Date()],
    ["notes-aaaaaa", weekAgo],
  ] as const) {
    await writeFile(join(folder, name), "")
    await utimes(join(folder, name), at, at)
  }
  const env = { PATH: process.env.PATH ?? "", PGSTOW_EXEC: `env TMPDIR=${folder}` }
  const placed = await placeFile("a list", env)
  expect(await readFile(placed.path, "utf8")).toBe("a list")
  expect((await readdir(folder)).filter((name) => join(folder, name) !== placed.path).sort()).toEqual([
    "notes-aaaaaa",
    "pgstow-bbbbbb",
  ])
  await placed.remove()
  expect(await readdir(folder)).toHaveLength(2)
})
