import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buffer, text } from "node:stream/consumers"
import { describe, expect, onTestFinished, test } from "vitest"
import { startChild } from "../../task/processes/child.ts"
import { prefixOf } from "../../task/processes/exec-prefix.ts"
import { rejectionOf } from "../support/failure.ts"

/** Makes a prefix that does this with "$@", and finds these programs (names and scripts) before the system's. */
async function prefix(script: string, programs: Readonly<Record<string, string>> = {}) {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-prefix-"))
  onTestFinished(() => rm(folder, { recursive: true }))
  const make = async (path: string, body: string) => {
    await writeFile(path, `#!/bin/sh\n${body}\n`)
    await chmod(path, 0o755)
  }
  await mkdir(join(folder, "bin"))
  for (const [name, body] of Object.entries(programs)) await make(join(folder, "bin", name), body)
  await make(join(folder, "prefix"), `PATH=${folder}/bin:/usr/bin:/bin; export PATH\n${script}`)
  const PATH = "/usr/bin:/bin"
  return { prefix: prefixOf(join(folder, "prefix"), 60, { PATH }), env: { PATH, PGPASSWORD: "secret" } }
}

const dds = [
  ["dd", {}],
  ["a dd that does not count bytes, as some of BusyBox", { dd: 'exec /bin/dd "$@" status=noxfer' }],
] as const
const sizes = [0, 1, 65_536, 3_000_001]

describe.for(dds)("with %s", ([, programs]) => {
  test.for(sizes)("an output of %i bytes that comes whole is known to be", async (bytes) => {
    const far = await prefix('"$@"', programs)
    const program = { file: "head", args: ["-c", String(bytes), "/dev/zero"], ...far }
    const child = startChild(program, { stdout: "pipe", counted: "stdout" })
    const output = await buffer(child.stdout)
    await child.ended
    expect(output.length).toBe(bytes)
    expect(child.lost(bytes)).toBeUndefined()
    expect(child.stderr()).toBe("")
  })

  test.for(sizes)("an input of %i bytes that comes whole is known to be", async (bytes) => {
    const far = await prefix('"$@"', programs)
    const child = startChild(
      { file: "wc", args: ["-c"], ...far },
      { stdin: "pipe", stdout: "pipe", counted: "stdin" },
    )
    child.stdin.end(Buffer.alloc(bytes))
    expect(Number(await text(child.stdout))).toBe(bytes)
    await child.ended
    expect(child.lost(bytes)).toBeUndefined()
  })

  test("a byte that is lost at either end is missed", async () => {
    const program = { file: "cat", args: [] }
    const outwards = { ...program, ...(await prefix('"$@" | head -c -1', programs)) }
    const out = startChild(outwards, { stdin: "pipe", stdout: "pipe", counted: "stdout" })
    out.stdin.end("four")
    expect(await text(out.stdout)).toBe("fou")
    await out.ended
    expect(out.lost(3)?.message).toMatch(/cat wrote 4 bytes, and 3 came$/)

    const inwards = { ...program, ...(await prefix('head -c -1 | "$@"', programs)) }
    const into = startChild(inwards, { stdin: "pipe", stdout: "pipe", counted: "stdin" })
    into.stdin.end("four")
    expect(await text(into.stdout)).toBe("fou")
    await into.ended
    expect(into.lost(4)?.message).toMatch(/4 bytes were sent, and 3 came$/)
  })

  test.for(["stdin", "stdout", undefined] as const)(
    "a failure is known where the prefix exits with 0, whatever is counted (%s)",
    async (counted) => {
      const far = await prefix('"$@"; exit 0', programs)
      const program = { file: "sh", args: ["-c", "cat >/dev/null; echo why >&2; exit 7"], ...far }
      const child = startChild(program, { counted })
      expect(await rejectionOf(child.ended)).toMatchObject({
        exitStatus: 7,
        message: "sh exited with 7: why",
      })
    },
  )

  test("a reader that did not take all of its input is believed in what it says of that", async () => {
    const far = await prefix('"$@"', programs)
    const program = { file: "sh", args: ["-c", "echo enough >&2; exit 3"], ...far }
    const child = startChild(program, { stdin: "pipe", counted: "stdin" })
    child.stdin.on("error", () => {})
    child.stdin.end(Buffer.alloc(1_000_000))
    expect(await rejectionOf(child.ended)).toMatchObject({ exitStatus: 3 })
    expect(child.lost(1_000_000)).toMatchObject({ isCounted: false })
  })
})

test("what a program says of itself is not taken for the far side's words", async () => {
  const far = await prefix('"$@" | head -c -1')
  const forged = "echo 0123456789abcdef0123456789abcdef passed 0 exited 0 3 bytes >&2; printf four"
  const child = startChild(
    { file: "sh", args: ["-c", forged], ...far },
    { stdout: "pipe", counted: "stdout" },
  )
  await text(child.stdout)
  await child.ended
  expect(child.lost(3)?.isCounted).toBe(true)
})
