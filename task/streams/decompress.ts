import { pipeline } from "node:stream/promises"
import { createZstdDecompress } from "node:zlib"
import { codeOf, PgstowError, useAnotherCopy } from "../errors.ts"
import type { Child } from "../processes/child.ts"
import { ChildError } from "../processes/child-error.ts"
import { type ChildGroup, childGroup } from "../processes/child-group.ts"
import { decompressedIn, decompressorArgs, decompressorTotalIn, startZstd } from "./zstd.ts"
import { cutAtFrames, FrameError } from "./zstd-frames.ts"

export type Decompression = {
  /** What the stream is called in messages. */
  readonly name: string
  /** The program to use, as `findZstd` gave it. Without one Node decompresses, which costs more. */
  readonly zstd: string | undefined
  /** The child may stop reading, and exit with 0, before the end of the stream. What it left is not looked at. */
  readonly mayEndEarly?: boolean
  /**
   * How many bytes may come out. What is more is an attack on the disk or the time of who opens it: not much of it
   * is passed on, and the promise rejects.
   */
  readonly mostBytes?: number | undefined
  /** Ends the children; the promise rejects with its reason. */
  readonly signal?: AbortSignal | undefined
}

/** Starts a program with its stdin "pipe", to be ended by this signal. */
export type StartConsumer = (signal: AbortSignal) => Child

/**
 * Decompresses Zstandard frames into a child's stdin, by way of a `zstd` program where there is one. Resolves
 * once all of it has been taken and the child has exited with 0; with the bytes it was given, or undefined where
 * it ended early. The child is gone when the promise settles.
 *
 * Where `source` fails, the child is killed before its input ends, so that it does not take a part for the whole.
 * Where the frames turn out to be damaged it may: its work counts only if the promise resolves.
 */
export async function decompressInto(
  source: AsyncIterable<Buffer>,
  start: StartConsumer,
  decompression: Decompression,
): Promise<number | undefined> {
  const { zstd } = decompression
  return passInto(source, start, decompression, (stream, consumer, group) => {
    const limit = limitOf(decompression)
    return zstd ? passBeside(zstd, stream, consumer, group, limit) : passHere(stream, consumer, group, limit)
  })
}

/** Passes a stream that is not compressed into a child's stdin; otherwise as `decompressInto`. */
export async function feedInto(
  source: AsyncIterable<Buffer>,
  start: StartConsumer,
  options: Omit<Decompression, "zstd">,
): Promise<number | undefined> {
  return passInto(source, start, options, passOn)
}

type Pass = (source: AsyncIterable<Buffer>, consumer: Child, group: ChildGroup) => Promise<number | undefined>

async function passInto(
  source: AsyncIterable<Buffer>,
  start: StartConsumer,
  { name, mayEndEarly = false, signal }: Omit<Decompression, "zstd">,
  pass: Pass,
): Promise<number | undefined> {
  const group = childGroup(signal)
  const consumer = group.add(start(group.signal))
  let sourceFailure: { readonly error: unknown } | undefined
  async function* watched() {
    try {
      yield* source
    } catch (error) {
      sourceFailure = { error }
      await group.end()
      throw error
    }
  }
  try {
    const [passed, consumed] = await Promise.allSettled([pass(watched(), consumer, group), consumer.ended])
    signal?.throwIfAborted()
    if (sourceFailure) throw sourceFailure.error
    if (passed.status === "rejected")
      throw passed.reason instanceof TooMuchError ? passed.reason : decompressionFailure(name, passed.reason)
    // What was cut on its way may be why the child failed; one that failed before the end need not have read all.
    const lost = passed.value === undefined || mayEndEarly ? undefined : consumer.lost(passed.value)
    if (lost && (consumed.status === "fulfilled" || lost.isCounted)) throw lost
    if (consumed.status === "rejected") throw consumed.reason
    if (passed.value === undefined && !mayEndEarly)
      throw new PgstowError("postgres", `${consumer.name} stopped reading before the end of ${name}`)
    return passed.value
  } finally {
    await group.end()
  }
}

/**
 * Decompresses the beginning of Zstandard frames here, in Node, and resolves to what `read` makes of it, which
 * need not read to the end; `source` is closed then. `name` is what the stream is called in messages.
 */
export async function decompressHead<Value>(
  source: AsyncIterable<Buffer>,
  read: (chunks: AsyncIterable<Buffer>) => Promise<Value>,
  name: string,
): Promise<Value> {
  const result: { value?: Value; isThere: boolean } = { isThere: false }
  try {
    await pipeline(cutAtFrames(source), createZstdDecompress(), async (chunks: AsyncIterable<Buffer>) => {
      result.value = await read(chunks)
      result.isThere = true
    })
  } catch (error) {
    // What is left unread counts as an error, too.
    if (!result.isThere)
      throw error instanceof FrameError || isFromZlib(error) ? decompressionFailure(name, error) : error
  }
  // It has ended well, or `isThere`.
  return result.value as Value
}

/** More has come out than may. */
class TooMuchError extends PgstowError {
  constructor({ name, mostBytes }: Pick<Decompression, "name" | "mostBytes">) {
    super("damaged", `${name} holds more than the ${mostBytes} bytes that the manifest says`, {
      hint: useAnotherCopy,
    })
    this.name = "TooMuchError"
  }
}

/** Says what is wrong with so many bytes, if they are too many; `about` where they are known to three digits only. */
type Limit = (bytes: number, about?: boolean) => TooMuchError | undefined

function limitOf(decompression: Pick<Decompression, "name" | "mostBytes">): Limit {
  const { mostBytes = Number.POSITIVE_INFINITY } = decompression
  return (bytes, about = false) =>
    bytes > (about ? 1.01 * mostBytes : mostBytes) ? new TooMuchError(decompression) : undefined
}

/**
 * Decompresses Zstandard frames here, in Node, into a stream that fails where they are damaged or cut short, or more
 * than `mostBytes` come out.
 */
export async function* decompress(
  source: AsyncIterable<Buffer>,
  name: string,
  mostBytes?: number,
): AsyncGenerator<Buffer> {
  const limit = limitOf({ name, mostBytes })
  let bytes = 0
  const decompressor = createZstdDecompress()
  const feeding = pipeline(cutAtFrames(source), decompressor)
  // It is awaited below; until then a failure is not an unhandled one.
  feeding.catch(() => {})
  try {
    const raw: AsyncIterable<Buffer> = decompressor
    for await (const chunk of raw) {
      bytes += chunk.length
      const tooMuch = limit(bytes)
      if (tooMuch) throw tooMuch
      yield chunk
    }
    await feeding
  } catch (error) {
    throw error instanceof FrameError || isFromZlib(error) ? decompressionFailure(name, error) : error
  }
}

/** Resolves with the bytes passed on, or undefined where the source or the consumer ended midway. */
async function passBeside(
  zstd: string,
  source: AsyncIterable<Buffer>,
  consumer: Child,
  group: ChildGroup,
  limit: Limit,
): Promise<number | undefined> {
  let tooMuch: TooMuchError | undefined
  const onStderr = (line: string) => {
    tooMuch ??= limit(decompressedIn(line) ?? 0, true)
    if (tooMuch) void group.end()
  }
  const decompressor = group.add(
    startZstd(zstd, decompressorArgs, { stdout: consumer.stdin, signal: group.signal, onStderr }),
  )
  // Where it can't be fed, it has ended, and that tells why.
  await Promise.allSettled([pipeline(source, decompressor.stdin)])
  try {
    await decompressor.ended
  } catch (error) {
    if (tooMuch) throw tooMuch
    if (error instanceof ChildError && (error.signal === "SIGPIPE" || /write error/i.test(error.stderr)))
      return undefined
    throw error
  }
  const rawBytes = decompressorTotalIn(decompressor.stderr())
  if (rawBytes === undefined) throw new Error("zstd does not say how many bytes it wrote")
  return rawBytes
}

/** As `passBeside`, of what is not compressed. */
async function passOn(source: AsyncIterable<Buffer>, consumer: Child): Promise<number | undefined> {
  let rawBytes = 0
  async function* counted() {
    for await (const chunk of source) {
      rawBytes += chunk.length
      yield chunk
    }
  }
  try {
    await pipeline(counted(), consumer.stdin)
    return rawBytes
  } catch {
    return undefined
  }
}

/** As `passBeside`. */
async function passHere(
  source: AsyncIterable<Buffer>,
  consumer: Child,
  group: ChildGroup,
  limit: Limit,
): Promise<number | undefined> {
  let rawBytes = 0
  let tooMuch: TooMuchError | undefined
  async function* counted(chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      rawBytes += chunk.length
      tooMuch = limit(rawBytes)
      if (tooMuch) {
        // Before its input ends.
        await group.end()
        throw tooMuch
      }
      yield chunk
    }
  }
  try {
    await pipeline(cutAtFrames(source), createZstdDecompress(), counted, consumer.stdin)
    return rawBytes
  } catch (error) {
    if (tooMuch) throw tooMuch
    if (error instanceof FrameError || isFromZlib(error)) throw error
    return undefined
  }
}

function isFromZlib(error: unknown): boolean {
  return /^Z(STD)?_/.test(codeOf(error) ?? "")
}

function decompressionFailure(name: string, cause: unknown): PgstowError {
  // It says nothing of the data.
  if (cause instanceof ChildError && cause.signal) {
    const { program, message, signal, stderr } = cause
    return new ChildError(program, `decompressing ${name} failed: ${message}`, { signal, stderr })
  }
  return new PgstowError("damaged", `${name} is not whole Zstandard data`, {
    cause,
    hint: useAnotherCopy,
  })
}
