import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { prefixOf } from "../../task/processes/exec-prefix.ts"
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
  const { PATH } = process.env
  const prefix = prefixOf(`env TMPDIR=${folder}`, 60, { PATH })
  const placed = await placeFile("a list", { prefix, env: { PATH } })
  expect(await readFile(placed.path, "utf8")).toBe("a list")
  expect((await readdir(folder)).filter((name) => join(folder, name) !== placed.path).sort()).toEqual([
    "notes-aaaaaa",
    "pgstow-bbbbbb",
  ])
  await placed.remove()
  expect(await readdir(folder)).toHaveLength(2)
})
