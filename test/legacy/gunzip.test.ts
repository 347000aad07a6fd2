import { randomBytes } from "node:crypto"
import { gzipSync } from "node:zlib"
import { describe, expect, test } from "vitest"
import { gunzip } from "../../task/legacy/gunzip.ts"
import { bytesOf, inPieces } from "../support/bytes.ts"

const plain = randomBytes(300_000)
const zipped = gzipSync(plain)
const another = gzipSync("and more")

describe.each([1_000_000, 4096])("in chunks of %i bytes", (chunkBytes) => {
  test("several members make one stream", async () => {
    expect(await open(zipped, another)).toEqual(Buffer.concat([plain, Buffer.from("and more")]))
  })

  test.each([
    ["text", [Buffer.from("more")]],
    ["one byte", [Buffer.from("m")]],
    ["zeros", [Buffer.alloc(10_000)]],
    ["zeros and another member", [Buffer.alloc(10_000), another]],
    ["half a member", [another.subarray(0, 12)]],
  ])("%s behind the last member: refused", async (_, trailing) => {
    await expect(open(zipped, ...trailing)).rejects.toThrow(/^the gzip data is/)
  })

  test("a stream that is cut short: refused", async () => {
    for (const end of [-1, -8, -100, 100_000, 5])
      await expect(open(zipped.subarray(0, end))).rejects.toThrow("the gzip data is cut short")
  })

  test("a wrong byte anywhere: refused", async () => {
    for (const at of [3, 150_000, zipped.length - 6, zipped.length - 2]) {
      const changed = Buffer.from(zipped)
      changed[at] = (changed[at] ?? 0) ^ 0x40
      await expect(open(changed), `byte ${at}`).rejects.toThrow("the gzip data is")
    }
  })

  async function open(...parts: Buffer[]): Promise<Buffer> {
    const bytes = Buffer.concat(parts)
    return bytesOf(gunzip(inPieces(bytes, [chunkBytes])))
  }
})

test("parts that end where a chunk does are no exception", async () => {
  const chunks = async function* (...given: Buffer[]) {
    yield* given
  }
  await expect(Array.fromAsync(gunzip(chunks(zipped, Buffer.from("garbage"))))).rejects.toThrow(
    "the gzip data is",
  )
  await expect(Array.fromAsync(gunzip(chunks(zipped, Buffer.alloc(9), another)))).rejects.toThrow(
    "followed by",
  )
  const whole = await bytesOf(gunzip(chunks(zipped, another.subarray(0, 1), another.subarray(1))))
  expect(whole).toHaveLength(plain.length + "and more".length)
})

test("what the source fails with comes through, and a reader who leaves ends the source", async () => {
  let left = false
  const source = async function* (failing: boolean) {
    try {
      yield zipped.subarray(0, 100_000)
      if (failing) throw new Error("the disk broke")
      yield zipped.subarray(100_000)
    } finally {
      left = true
    }
  }
  await expect(Array.fromAsync(gunzip(source(true)))).rejects.toThrow("the disk broke")
  left = false
  for await (const _ of gunzip(source(false))) break
  await expect.poll(() => left).toBe(true)
})
