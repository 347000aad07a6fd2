import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { placeFile } from "../../task/processes/place-file.ts"
import { makeTemporaryFolder, removeAbandonedFolders } from "../../task/processes/temporary-folder.ts"
import { failureOf, rejectionOf } from "../support/failure.ts"
import { needsLinux } from "../support/not-run.ts"

test.skipIf(needsLinux)(
  `of folders by processes, only those of this machine's dead ones are removed${needsLinux}`,
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "pgstow-tidy-"))
    onTestFinished(() => rm(folder, { recursive: true }))
    useTemporaryFolder(folder)
    const own = makeTemporaryFolder()
    const [, place = "", pid = "", start = "", random = ""] = basename(own).split("-")
    // Linux gives no process a number above 4194304.
    const dead = ["pgstow", place, "4999999", start, random].join("-")
    const reused = ["pgstow", place, pid, Number(start) - 1, random].join("-")
    const stay = [
      basename(own),
      ["pgstow", "00000000", "4999999", start, random].join("-"),
      "pgstow-notes",
      `${dead}-more`,
    ]
    for (const name of [dead, reused, ...stay.slice(1)]) await mkdir(join(folder, name))
    await writeFile(join(folder, dead, "file"), "secret")
    await writeFile(join(folder, `pgstow-${place}-4999998-${start}-${random}`), "no folder")
    expect(await removeAbandonedFolders()).toBe(2)
    expect((await readdir(folder)).sort()).toEqual(
      [...stay, `pgstow-${place}-4999998-${start}-${random}`].sort(),
    )
  },
)

test.each([
  ["a folder that is not there", "missing", "there is no such folder"],
  ["a file", "file", "it is a file, and no folder"],
])("TMPDIR that is %s is said so", async (_, name, why) => {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-no-tmp-"))
  await writeFile(join(folder, "file"), "")
  useTemporaryFolder(join(folder, name))
  onTestFinished(() => rm(folder, { recursive: true }))
  const failure = failureOf(() => makeTemporaryFolder())
  expect(failure.kind).toBe("usage")
  expect(failure.message).toBe(`temporary files can't be written in ${join(folder, name)}: ${why}`)
  expect(failure.hint).toMatch(/TMPDIR/)
  const placed = await rejectionOf(placeFile("a list", { prefix: undefined, env: {} }))
  expect(placed.message).toBe(failure.message)
})

/** Until the test ends. */
function useTemporaryFolder(folder: string): void {
  const before = process.env.TMPDIR
  process.env.TMPDIR = folder
  onTestFinished(() => {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  })
}
