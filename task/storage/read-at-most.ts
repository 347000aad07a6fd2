import type { Storage } from "./storage.ts"

/** The first `maxBytes` bytes of an object, or all of a smaller one. Reads no more than that, but for a chunk. */
export async function readAtMost(storage: Storage, key: string, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  // Without an encoding, a storage's stream gives buffers.
  for await (const chunk of (await storage.read(key)) as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes >= maxBytes) break
  }
  return Buffer.concat(chunks).subarray(0, maxBytes)
}
