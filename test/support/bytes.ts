/** All of a stream. */
export async function bytesOf(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of source) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** A stream of these bytes, cut into pieces of `sizes`, over and over. */
export async function* inPieces(
  bytes: Buffer,
  sizes: readonly number[] = [Math.max(1, bytes.length)],
): AsyncGenerator<Buffer, void, undefined> {
  for (let taken = 0, turn = 0; taken < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1
    yield bytes.subarray(taken, taken + size)
    taken += size
  }
}

/** A stream of these chunks that fails with `error` where it would have ended. */
export async function* failing(
  chunks: readonly Buffer[],
  error: Error,
): AsyncGenerator<Buffer, void, undefined> {
  yield* chunks
  throw error
}
