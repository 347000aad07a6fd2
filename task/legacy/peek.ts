/** A stream to be read once: to its end, or until `return` is called, also before the first `next`. */
export type Stream = AsyncIterableIterator<Buffer, undefined>

/** The first `count` bytes of `source` (fewer where it is shorter), and everything from the first byte on. */
export async function peek(
  source: AsyncIterable<Uint8Array>,
  count: number,
): Promise<{ head: Buffer; all: Stream }> {
  const chunks = source[Symbol.asyncIterator]()
  let start: Buffer | undefined = Buffer.alloc(0)
  while (start.length < count) {
    const next = await chunks.next()
    if (next.done) break
    start = Buffer.concat([start, next.value])
  }
  const head = start.subarray(0, count)

  const all: Stream = {
    [Symbol.asyncIterator]: () => all,
    next: async () => {
      if (start) {
        const value = start
        start = undefined
        return { done: false, value }
      }
      const next = await chunks.next()
      if (next.done) return { done: true, value: undefined }
      const { buffer, byteOffset, byteLength } = next.value
      return { done: false, value: Buffer.from(buffer, byteOffset, byteLength) }
    },
    return: async () => {
      await chunks.return?.()
      return { done: true, value: undefined }
    },
  }
  return { head, all }
}
