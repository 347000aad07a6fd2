import { pipeline } from "node:stream/promises"
import { createGunzip } from "node:zlib"
import { codeOf, PgstowError } from "../errors.ts"

/** Whether `head` begins a gzip file. */
export function isGzip(head: Uint8Array): boolean {
  return head[0] === 0x1f && head[1] === 0x8b
}

/**
 * Decompresses gzip, one member after another, each checked against its own CRC and length. Anything after the last
 * member is an error, zeros included: zlib alone would pass over it.
 */
export async function* gunzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const inflate = createGunzip({ chunkSize: 128 * 1024 })
  let givenBytes = 0
  const fed = pipeline(async function* () {
    for await (const chunk of source) {
      givenBytes += chunk.length
      yield chunk
    }
  }, inflate)
  // Awaited below, unless `inflate` has failed with the same error before.
  fed.catch(() => {})
  try {
    yield* inflate
    await fed
  } catch (cause) {
    throw failure(cause)
  }
  if (inflate.bytesWritten !== givenBytes) throw trailing()
}

function failure(cause: unknown): unknown {
  const code = codeOf(cause)
  if (code === "Z_BUF_ERROR") return damaged("the gzip data is cut short", cause)
  // zlib has ended while there was more to give it.
  if (code === "ERR_STREAM_PREMATURE_CLOSE") return trailing()
  if (code?.startsWith("Z_")) return damaged("the gzip data is damaged", cause)
  return cause
}

function trailing(): PgstowError {
  return damaged("the gzip data is followed by bytes that do not belong to it")
}

function damaged(message: string, cause?: unknown): PgstowError {
  return new PgstowError("damaged", message, { cause, hint: "Copy the file again from where it was made." })
}
