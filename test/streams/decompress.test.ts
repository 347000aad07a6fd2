import { randomBytes } from "node:crypto"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buffer } from "node:stream/consumers"
import { constants, zstdCompressSync } from "node:zlib"
import * as fc from "fast-check"
import { afterAll, describe, expect, it } from "vitest"
import { type Child, startChild } from "../../task/processes/child.ts"
import type { Program } from "../../task/processes/program.ts"
import {
  type Decompression,
  decompress,
  decompressHead,
  decompressInto,
} from "../../task/streams/decompress.ts"
import { findZstd } from "../../task/streams/zstd.ts"
import { failing, inPieces } from "../support/bytes.ts"
import { rejectionOf } from "../support/failure.ts"
import { fixture, isRunning } from "../support/processes.ts"

const zstd = await findZstd(process.env)
const folder = mkdtempSync(join(tmpdir(), "pgstow-decompress-"))
afterAll(() => rmSync(folder, { recursive: true }))

const withChecksum = { params: { [constants.ZSTD_c_checksumFlag]: 1 } }
const frame = (bytes: Buffer) => zstdCompressSync(bytes, withChecksum)
const emptyFrame = frame(Buffer.alloc(0))
/** A frame for other programs, to be passed over. */
const skippable = Buffer.concat([Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 5, 0, 0, 0]), Buffer.from("12345")])

async function* endless() {
  for (;;) yield frame(randomBytes(100_000))
}

/** A little that becomes ever more. */
async function* bomb() {
  const much = frame(Buffer.alloc(64_000_000, "1\tone row\n"))
  for (;;) yield much
}

/** Decompresses into a program, and remembers the child. */
function into(program: Program, source: AsyncIterable<Buffer>, options: Omit<Decompression, "name">) {
  const started: Child[] = []
  const rawBytes = decompressInto(
    source,
    (signal) => {
      const child = startChild(program, { stdin: "pipe", signal })
      started.push(child)
      return child
    },
    { name: "main", ...options },
  )
  return { rawBytes, started }
}

/** What arrives at a program that reads it all, and how many bytes are said to have been given. */
async function arrived(source: AsyncIterable<Buffer>, zstd: string | undefined) {
  let output: Promise<Buffer> | undefined
  const rawBytes = await decompressInto(
    source,
    (signal) => {
      const child = startChild(
        { file: "/bin/cat", args: [], env: {} },
        { stdin: "pipe", stdout: "pipe", signal },
      )
      output = buffer(child.stdout)
      return child
    },
    { name: "main", zstd },
  )
  return { bytes: await output, rawBytes }
}

describe.each([
  ["beside Node", zstd],
  ["in Node", undefined],
])("decompressing %s", (_, zstd) => {
  it.each([0, 1, 100_000, 20_000_000])("%i bytes arrive whole, and are counted", async (size) => {
    const raw = randomBytes(size)
    const { bytes, rawBytes } = await arrived(inPieces(frame(raw), [65_536]), zstd)
    expect(bytes?.equals(raw)).toBe(true)
    expect(rawBytes).toBe(size)
  })

  it("several frames, empty ones and such to pass over arrive as one, however they are cut", async () => {
    const [first, second] = [randomBytes(300_000), Buffer.alloc(1_000_000, "again and ")]
    const frames = Buffer.concat([frame(first), emptyFrame, skippable, frame(second), emptyFrame])
    const raw = Buffer.concat([first, second])
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: frames.length }), { minLength: 1, maxLength: 4 }),
        async (sizes) => {
          const { bytes, rawBytes } = await arrived(inPieces(frames, sizes), zstd)
          expect(bytes?.equals(raw)).toBe(true)
          expect(rawBytes).toBe(raw.length)
        },
      ),
      { numRuns: 15 },
    )
  })

  const whole = frame(randomBytes(1_000_000))
  const flipped = Buffer.from(whole)
  flipped[500_000] = (flipped[500_000] ?? 0) ^ 1

  it.each([
    ["nothing", Buffer.alloc(0)],
    ["something else", randomBytes(10_000)],
    ["a frame cut short", whole.subarray(0, 500_000)],
    ["a frame without its last byte", whole.subarray(0, -1)],
    ["a frame with a flipped bit", flipped],
    ["a frame with something else after it", Buffer.concat([whole, Buffer.from("garbage")])],
    ["a frame with a few bytes after it", Buffer.concat([whole, Buffer.from([1, 2])])],
    ["a frame and the beginning of another", Buffer.concat([whole, whole.subarray(0, 3)])],
  ])("%s is refused as damaged, whatever the child says", async (_, bytes) => {
    for (const status of [0, 1]) {
      const { rawBytes } = into(
        fixture("read-then-exit", 1e12, status, "unexpected end of file"),
        inPieces(bytes),
        {
          zstd,
          mayEndEarly: true,
        },
      )
      expect(await rejectionOf(rawBytes)).toMatchObject({
        kind: "damaged",
        message: "main is not whole Zstandard data",
      })
    }
  })

  it("a child that fails early fails in its own words, and ends the source", async () => {
    for (const size of [10, 10_000_000]) {
      let ended = false
      async function* source() {
        try {
          yield* inPieces(frame(randomBytes(size)), [65_536])
        } finally {
          ended = true
        }
      }
      const { rawBytes } = into(fixture("read-then-exit", 5, 3, "role does not exist"), source(), { zstd })
      expect(await rejectionOf(rawBytes)).toMatchObject({
        program: "read-then-exit",
        exitStatus: 3,
        message: "read-then-exit exited with 3: role does not exist",
      })
      expect(ended).toBe(true)
    }
  })

  it("a child that fails after the last byte fails in its own words", async () => {
    const { rawBytes } = into(fixture("read-then-exit", 1e12, 1, "disk full"), inPieces(whole), { zstd })
    await expect(rawBytes).rejects.toThrow("read-then-exit exited with 1: disk full")
  })

  it("a child that stops reading early has not done its work", async () => {
    const { rawBytes } = into(fixture("read-then-exit", 5, 0, ""), inPieces(whole), { zstd })
    await expect(rawBytes).rejects.toThrow("read-then-exit stopped reading before the end of main")
  })

  it("a child that may stop reading early has, and ends the source", async () => {
    let ended = false
    async function* source() {
      try {
        yield* endless()
      } finally {
        ended = true
      }
    }
    const { rawBytes } = into(fixture("read-then-exit", 5, 0, ""), source(), { zstd, mayEndEarly: true })
    expect(await rawBytes).toBeUndefined()
    expect(ended).toBe(true)
  })

  it("a child that is not there fails", async () => {
    const { rawBytes } = into({ file: "/nowhere/pg_restore", args: [], env: {} }, inPieces(whole), { zstd })
    await expect(rawBytes).rejects.toThrow("pg_restore is not installed (/nowhere/pg_restore)")
  })

  it("a source that fails wins, and its part is not taken for the whole", async () => {
    const committed = join(folder, zstd ? "part beside" : "part here")
    const rows = frame(Buffer.alloc(2_000_000, "1\tone row\n"))
    const source = failing([rows, frame(Buffer.from("2\tanother\n"))], new Error("the network is gone"))
    const { rawBytes, started } = into(fixture("commit-at-end", committed), source, { zstd })
    await expect(rawBytes).rejects.toThrow("the network is gone")
    expect(started.map(({ pid }) => isRunning(pid))).toEqual([false])
    expect(existsSync(committed)).toBe(false)
  })

  it("the same child takes what comes whole", async () => {
    const committed = join(folder, zstd ? "whole beside" : "whole here")
    await into(fixture("commit-at-end", committed), inPieces(frame(Buffer.from("1\tone\n"))), { zstd })
      .rawBytes
    expect(existsSync(committed)).toBe(true)
  })

  it("more than may come out ends the child, which does not take it for the whole", async () => {
    const committed = join(folder, zstd ? "much beside" : "much here")
    const { rawBytes, started } = into(fixture("commit-at-end", committed), bomb(), {
      zstd,
      mostBytes: 2_000_000,
    })
    expect(await rejectionOf(rawBytes)).toMatchObject({
      kind: "damaged",
      message: "main holds more than the 2000000 bytes that the manifest says",
    })
    expect(started.map(({ pid }) => isRunning(pid))).toEqual([false])
    expect(existsSync(committed)).toBe(false)
  })

  it("as much as may come out is passed on", async () => {
    const source = inPieces(frame(Buffer.alloc(3_000_000, "1\tone row\n")))
    const { rawBytes } = into(fixture("read-then-exit", 1e12, 0), source, { zstd, mostBytes: 3_000_000 })
    expect(await rawBytes).toBe(3_000_000)
  })

  it("an abort ends the children, and is the failure", async () => {
    for (const program of [fixture("hang"), fixture("commit-at-end", join(folder, "aborted"))]) {
      const abort = new AbortController()
      const { rawBytes, started } = into(program, endless(), { zstd, signal: abort.signal })
      setTimeout(() => abort.abort(new Error("interrupted")), 100)
      await expect(rawBytes).rejects.toThrow("interrupted")
      expect(started.map(({ pid }) => isRunning(pid))).toEqual([false])
    }
    expect(existsSync(join(folder, "aborted"))).toBe(false)
  })
})

it("a zstd program that dies fails in its own name, not the child's", async () => {
  const killed = fixture("killed-zstd/zstd").file
  const { rawBytes } = into(fixture("read-then-exit", 1e12, 1, "unexpected end of file"), endless(), {
    zstd: killed,
  })
  const error = await rejectionOf(rawBytes)
  expect(error).toMatchObject({
    kind: "postgres",
    message: "decompressing main failed: zstd was ended by SIGKILL",
    program: "zstd",
    signal: "SIGKILL",
  })
  expect(error.hint).toContain("run out of memory")
})

it("decompressing here fails where more comes out than may", async () => {
  let bytes = 0
  const reading = async () => {
    for await (const chunk of decompress(bomb(), "main", 5_000_000)) bytes += chunk.length
  }
  expect(await rejectionOf(reading())).toMatchObject({ kind: "damaged" })
  expect(bytes).toBeLessThanOrEqual(5_000_000)
  expect(await buffer(decompress(inPieces(frame(Buffer.from("whole"))), "main", 5))).toEqual(
    Buffer.from("whole"),
  )
})

describe("decompressing the head of a stream", () => {
  const first = (bytes: number) => async (chunks: AsyncIterable<Buffer>) => {
    const head: Buffer[] = []
    for await (const chunk of chunks) {
      head.push(chunk)
      if (Buffer.concat(head).length >= bytes) break
    }
    return Buffer.concat(head).subarray(0, bytes)
  }

  it("gives what was read, and closes a source that goes on", async () => {
    let isClosed = false
    async function* source() {
      try {
        yield* inPieces(Buffer.concat([frame(Buffer.from("one ")), frame(Buffer.from("two"))]), [7])
        yield* endless()
      } finally {
        isClosed = true
      }
    }
    expect((await decompressHead(source(), first(7), "main")).toString()).toBe("one two")
    expect(isClosed).toBe(true)
  })

  it("gives what is there of a short source", async () => {
    expect((await decompressHead(inPieces(frame(Buffer.from("all"))), first(100), "main")).toString()).toBe(
      "all",
    )
  })

  it("fails as the source does, as the reader does, and for what is no whole frame", async () => {
    const whole = frame(randomBytes(100_000))
    const [broken, refused] = [new Error("the source broke"), new Error("the reader refused")]
    await expect(decompressHead(failing([whole.subarray(0, 100)], broken), first(10), "main")).rejects.toBe(
      broken,
    )
    await expect(decompressHead(inPieces(whole), () => Promise.reject(refused), "main")).rejects.toBe(refused)
    for (const bytes of [whole.subarray(0, 50_000), Buffer.from("no Zstandard frame")])
      expect((await rejectionOf(decompressHead(inPieces(bytes), first(100_000), "main"))).kind).toBe(
        "damaged",
      )
  })
})
