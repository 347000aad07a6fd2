/**
 * The first `count` bytes of `source` (fewer where it is shorter), and everything from the first byte on.
 * `all` is to be read once, to its end or until it is returned; what `source` fails with, it fails with.
 */
export async function peek(
  source: AsyncIterable<Uint8Array>,
  count: number,
): Promise<{ head: Buffer; all: AsyncGenerator<Buffer> }> {
  const chunks = source[Symbol.asyncIterator]()
  let head = Buffer.alloc(0)
  let ended = false
  while (!ended && head.length < count) {
    const next = await chunks.next()
    if (next.done) ended = true
    else head = Buffer.concat([head, next.value])
  }

  async function* all(): AsyncGenerator<Buffer> {
    try {
      if (head.length > 0) yield head
      while (!ended) {
        const next = await chunks.next()
        if (next.done) ended = true
        else yield Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength)
      }
    } finally {
      if (!ended) await chunks.return?.()
    }
  }
  return { head: head.subarray(0, count), all: all() }
}
