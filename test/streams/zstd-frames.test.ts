import { constants, zstdCompressSync } from "node:zlib"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { cutAtFrames } from "../../task/streams/zstd-frames.ts"
import { inPieces } from "../support/bytes.ts"
import { run } from "../support/programs.ts"

const skippable = fc.uint8Array({ maxLength: 300 }).map((bytes) => {
  const head = Buffer.alloc(8)
  head.writeUInt32LE(0x184d2a50 + (bytes.length % 16))
  head.writeUInt32LE(bytes.length, 4)
  return Buffer.concat([head, bytes])
})

/** Runs of one byte, text and noise, so that there are blocks of every kind. */
const content = fc.oneof(
  fc
    .record({ byte: fc.nat(255), length: fc.nat(400_000) })
    .map(({ byte, length }) => Buffer.alloc(length, byte)),
  fc.uint8Array({ maxLength: 5000 }).map((bytes) => Buffer.from(bytes)),
  fc.array(fc.lorem(), { maxLength: 200 }).map((words) => Buffer.from(words.join(" "))),
)

const frame = fc
  .record({
    content,
    level: fc.integer({ min: 1, max: 19 }),
    checksum: fc.nat(1),
    contentSize: fc.nat(1),
    windowLog: fc.constantFrom(10, 17, 21),
  })
  .map(({ content, level, checksum, contentSize, windowLog }) =>
    zstdCompressSync(content, {
      params: {
        [constants.ZSTD_c_compressionLevel]: level,
        [constants.ZSTD_c_checksumFlag]: checksum,
        [constants.ZSTD_c_contentSizeFlag]: contentSize,
        [constants.ZSTD_c_windowLog]: windowLog,
      },
    }),
  )

async function cutsOf(bytes: Buffer, sizes: number[]): Promise<{ chunks: Buffer[]; ends: number[] }> {
  const chunks: Buffer[] = []
  for await (const chunk of cutAtFrames(inPieces(bytes, sizes))) chunks.push(chunk)
  const ends = chunks.map((_, index) => Buffer.concat(chunks.slice(0, index + 1)).length)
  return { chunks, ends }
}

describe("a stream of frames", () => {
  it("is cut where each ends, whatever they are and however they come", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(frame, skippable), { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 4 }),
        async (frames, sizes) => {
          const bytes = Buffer.concat(frames)
          const { chunks, ends } = await cutsOf(bytes, sizes)
          expect(Buffer.concat(chunks).equals(bytes)).toBe(true)
          let end = 0
          for (const { length } of frames) {
            end += length
            expect(ends).toContain(end)
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  it("is cut byte by byte, too", async () => {
    const frames = [zstdCompressSync("one"), zstdCompressSync(""), zstdCompressSync("two")]
    expect((await cutsOf(Buffer.concat(frames), [1])).chunks.every(({ length }) => length === 1)).toBe(true)
  })

  it("of the zstd program is followed to its end", async () => {
    const one = run("zstd", ["-c"], Buffer.alloc(3_000_000, "some text to compress; "))
    const other = run("zstd", ["-c", "--no-check", "-19"], Buffer.from("short"))
    expect((await cutsOf(Buffer.concat([one, other]), [1_000_000])).ends).toContain(one.length)
  })

  it("is refused where something else follows a frame", async () => {
    const bytes = Buffer.concat([zstdCompressSync("one"), Buffer.from("two!")])
    await expect(cutsOf(bytes, [1_000_000])).rejects.toThrow("not a Zstandard frame")
  })
})
