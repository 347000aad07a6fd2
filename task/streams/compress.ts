import type { Writable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { constants, createZstdCompress } from "node:zlib"
import { PgstowError } from "../errors.ts"
import type { Child } from "../processes/child.ts"
import { childGroup } from "../processes/child-group.ts"
import { compressorArgs, compressorTotalsIn, progressIn, startZstd } from "./zstd.ts"

export type Compression = {
  /** From 1 to 19. */
  readonly level: number
  /** The program to use, as `findZstd` gave it. Without one Node compresses, which costs more. */
  readonly zstd: string | undefined
  /** Ends the stream, with its reason. */
  readonly signal?: AbortSignal | undefined
  /** Gets the bytes before compression, which then goes on in Node. */
  readonly onBytes?: ((chunk: Buffer) => void) | undefined
}

/** Starts a program with this as its stdout, to be ended by this signal. */
export type StartProducer = (stdout: Writable | "pipe", signal: AbortSignal) => Child

export type Compressed = {
  /**
   * One Zstandard frame with a checksum. It fails, instead of ending, where the child or the compression did.
   * The child starts when the stream is first read, and is gone when the stream is done, however that came.
   */
  readonly stream: AsyncGenerator<Buffer, void, undefined>
  /** The bytes compressed so far; all of them once the stream has ended. */
  readonly rawBytes: () => number
}

/**
 * Compresses what a child writes. With a `zstd` program the operating system joins the two, and the raw bytes
 * never pass through Node.
 */
export function compressOutput(start: StartProducer, compression: Compression): Compressed {
  const count = { rawBytes: 0 }
  const zstd = compression.onBytes ? undefined : compression.zstd
  return {
    stream: zstd ? compressBeside(zstd, start, compression, count) : compressHere(start, compression, count),
    rawBytes: () => count.rawBytes,
  }
}

/** Compresses a stream here, in Node: the same as of a child's output. */
export function compressStream(source: AsyncIterable<Buffer>, level: number): Compressed {
  const count = { rawBytes: 0 }
  return { stream: compressInto(source, level, count), rawBytes: () => count.rawBytes }
}

async function* compressBeside(
  zstd: string,
  start: StartProducer,
  { level, signal }: Compression,
  count: { rawBytes: number },
): AsyncGenerator<Buffer, void, undefined> {
  const group = childGroup(signal)
  const compressor = group.add(
    startZstd(zstd, compressorArgs(level), {
      stdout: "pipe",
      signal: group.signal,
      onStderr(line) {
        count.rawBytes = progressIn(line) ?? count.rawBytes
      },
    }),
  )
  try {
    const producer = group.add(start(compressor.stdin, group.signal))
    const compressed: AsyncIterable<Buffer> = compressor.stdout
    let compressedBytes = 0
    for await (const chunk of compressed) {
      compressedBytes += chunk.length
      yield chunk
    }
    signal?.throwIfAborted()
    // A compressor that fails breaks the producer's pipe; a producer that fails looks to it like a good end.
    await compressor.ended.catch((cause: unknown) => {
      throw new PgstowError("postgres", `compressing the output of ${producer.name} failed`, { cause })
    })
    await producer.ended
    const totals = compressorTotalsIn(compressor.stderr())
    if (totals?.compressedBytes !== compressedBytes)
      throw new PgstowError(
        "postgres",
        `compressing the output of ${producer.name} failed: ${compressedBytes} bytes came, and zstd says it wrote ${totals?.compressedBytes ?? "nothing"}`,
        { hint: "Install another zstd, or remove this one: pgstow then compresses by itself." },
      )
    count.rawBytes = totals.rawBytes
    const lost = producer.lost(totals.rawBytes)
    if (lost) throw lost
  } finally {
    await group.end()
  }
}

async function* compressHere(
  start: StartProducer,
  { level, signal, onBytes }: Compression,
  count: { rawBytes: number },
): AsyncGenerator<Buffer, void, undefined> {
  const group = childGroup(signal)
  const producer = group.add(start("pipe", group.signal))
  async function* output() {
    const raw: AsyncIterable<Buffer> = producer.stdout
    for await (const chunk of raw) {
      onBytes?.(chunk)
      yield chunk
    }
    signal?.throwIfAborted()
    await producer.ended
    const lost = producer.lost(count.rawBytes)
    if (lost) throw lost
  }
  try {
    yield* compressInto(output(), level, count)
  } finally {
    await group.end()
  }
}

async function* compressInto(
  source: AsyncIterable<Buffer>,
  level: number,
  count: { rawBytes: number },
): AsyncGenerator<Buffer, void, undefined> {
  async function* counted() {
    for await (const chunk of source) {
      count.rawBytes += chunk.length
      yield chunk
    }
  }
  const compressor = createZstdCompress({
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
  })
  const compressing = pipeline(counted(), compressor)
  // It is awaited below; until then a failure is not an unhandled one.
  compressing.catch(() => {})
  try {
    const compressed: AsyncIterable<Buffer> = compressor
    yield* compressed
    await compressing
  } finally {
    await Promise.allSettled([compressing])
  }
}
