import type { Readable } from "node:stream"

/** The first `maxBytes` bytes of a stream without an encoding, or all of a shorter one; what is left is not read. */
export async function firstBytes(stream: Readable, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  // Without an encoding, it gives buffers.
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes >= maxBytes) break
  }
  return Buffer.concat(chunks).subarray(0, maxBytes)
}
