import { dirname, join } from "node:path"
import { describe, expect, it } from "vitest"
import { type Child, startChild } from "../../task/processes/child.ts"
import type { Program } from "../../task/processes/program.ts"
import { compressOutput } from "../../task/streams/compress.ts"
import { findZstd } from "../../task/streams/zstd.ts"
import { bytesOf } from "../support/bytes.ts"
import { rejectionOf } from "../support/failure.ts"
import { fixture, isRunning } from "../support/processes.ts"
import { run } from "../support/programs.ts"

const zstd = await findZstd(process.env)
const fakeZstd = (folder: string) => fixture(join(folder, "zstd")).file
const row = "a row of a table, and then another one\n"
/** In the fifth byte of a frame: RFC 8878, section 3.1.1.1.1. */
const checksumFlag = 4
const rows = (bytes: number) => Buffer.alloc(bytes, row)

/** Compresses what a program writes, and remembers the child. */
function compressing(
  program: Program,
  options: { zstd: string | undefined; level?: number; signal?: AbortSignal },
) {
  const started: Child[] = []
  const compressed = compressOutput(
    (stdout, signal) => {
      const child = startChild(program, { stdout, signal })
      started.push(child)
      return child
    },
    { level: 1, ...options },
  )
  return { ...compressed, started }
}

describe("the zstd program", () => {
  it("is found on the PATH", () => {
    expect(zstd, "these tests need zstd: apt-get install zstd, or brew install zstd").toMatch(/^\/.*\/zstd$/)
  })

  it("is done without where there is none", async () => {
    expect(await findZstd({})).toBeUndefined()
    expect(await findZstd({ PATH: `/nowhere:${import.meta.dirname}:relative` })).toBeUndefined()
  })

  it.each(["quiet-zstd", "miscounting-zstd", "killed-zstd"])(
    "is done without where it is a %s",
    async (folder) => {
      expect(await findZstd({ PATH: dirname(fakeZstd(folder)) })).toBeUndefined()
    },
  )
})

describe.each([
  ["beside Node", zstd],
  ["in Node", undefined],
])("compressing %s", (_, zstd) => {
  it.each([0, 1, 100_000, 20_000_000])(
    "%i bytes gives one frame of them all, and their number",
    async (size) => {
      const { stream, rawBytes } = compressing(fixture("write-then-exit", size, 0, ""), { zstd })
      const compressed = await bytesOf(stream)
      expect(run("zstd", ["-d", "-c"], compressed).equals(rows(size))).toBe(true)
      expect(rawBytes()).toBe(size)
      expect((compressed[4] ?? 0) & checksumFlag).toBe(checksumFlag)
    },
  )

  it("counts while it goes", async () => {
    const random = { file: "/usr/bin/head", args: ["-c", "20000000", "/dev/urandom"], env: {} }
    const { stream, rawBytes } = compressing(random, { zstd })
    const counts: number[] = []
    for await (const _ of stream) counts.push(rawBytes())
    expect(counts.some((count) => count > 0 && count < 20_000_000)).toBe(true)
    expect(counts).toEqual(counts.toSorted((a, b) => a - b))
    expect(rawBytes()).toBe(20_000_000)
  })

  it("a child that fails after its last byte fails the stream, with its own words", async () => {
    for (const size of [0, 1, 5_000_000]) {
      const { stream } = compressing(fixture("write-then-exit", size, 1, "server closed the connection"), {
        zstd,
      })
      expect(await rejectionOf(bytesOf(stream))).toMatchObject({
        name: "ChildError",
        program: "write-then-exit",
        exitStatus: 1,
        message: "write-then-exit exited with 1: server closed the connection",
      })
    }
  })

  it("a child that is killed fails the stream", async () => {
    const { stream } = compressing(fixture("write-then-die", 1_000_000), { zstd })
    expect(await rejectionOf(bytesOf(stream))).toMatchObject({ program: "write-then-die", signal: "SIGKILL" })
  })

  it("a child that is not there fails the stream", async () => {
    const { stream } = compressing({ file: "/nowhere/pg_dump", args: [], env: {} }, { zstd })
    await expect(bytesOf(stream)).rejects.toThrow("pg_dump is not installed (/nowhere/pg_dump)")
  })

  it("a child that can't be asked for fails the stream, and leaves nothing running", async () => {
    const { stream } = compressOutput(
      () => {
        throw new Error("no such client")
      },
      { level: 1, zstd },
    )
    await expect(bytesOf(stream)).rejects.toThrow("no such client")
  })

  it("a reader that stops ends the child", async () => {
    const { stream, started } = compressing(fixture("write-then-exit", 1e12, 0, ""), { zstd })
    for await (const _ of stream) break
    expect(started.map(({ pid }) => isRunning(pid))).toEqual([false])
  })

  it("starts nothing until it is read", async () => {
    const { stream, started } = compressing(fixture("write-then-exit", 1, 0, ""), { zstd })
    await stream.return()
    expect(started).toEqual([])
  })

  it.each([
    ["writes", fixture("write-then-exit", 1e12, 0, "")],
    ["hangs", fixture("hang")],
  ])("an abort ends a child that %s, and is the stream's failure", async (_, program) => {
    const abort = new AbortController()
    const { stream, started } = compressing(program, { zstd, signal: abort.signal })
    setTimeout(() => abort.abort(new Error("interrupted")), 200)
    await expect(bytesOf(stream)).rejects.toThrow("interrupted")
    expect(started.map(({ pid }) => isRunning(pid))).toEqual([false])
  })

  it("is smaller at a higher level", async () => {
    const sizeAt = async (level: number) => {
      const program = { file: "/bin/sh", args: ["-c", "seq 1 300000"], env: { PATH: process.env.PATH } }
      return (await bytesOf(compressing(program, { zstd, level }).stream)).length
    }
    expect(await sizeAt(12)).toBeLessThan((await sizeAt(1)) * 0.9)
  })
})

describe("a zstd program", () => {
  it("that dies fails the stream in its own name, not the child's", async () => {
    const { stream, started } = compressing(fixture("write-then-exit", 1e12, 0, ""), {
      zstd: fakeZstd("killed-zstd"),
    })
    const error = await rejectionOf(bytesOf(stream))
    expect(error).toMatchObject({
      kind: "postgres",
      message: "compressing the output of write-then-exit failed",
    })
    expect(error.hint).toContain("run out of memory")
    expect(error.cause).toMatchObject({ program: "zstd", signal: "SIGKILL" })
    expect(started.map(({ pid }) => isRunning(pid))).toEqual([false])
  })

  it("whose count is not what came fails the stream", async () => {
    const { stream } = compressing(fixture("write-then-exit", 100, 0, ""), {
      zstd: fakeZstd("miscounting-zstd"),
    })
    await expect(bytesOf(stream)).rejects.toThrow(
      "compressing the output of write-then-exit failed: 100 bytes came, and zstd says it wrote 20",
    )
  })
})
