/** A piece of a stream: its place, from 0, its bytes, and whether it is the stream's last. */
export type Cut = { readonly index: number; readonly bytes: Buffer; readonly last: boolean }

/**
 * Cuts a stream into pieces that fill the buffers asked for one by one; the last piece may be shorter, and is
 * empty only where the stream is. A piece is given out once it is known whether another follows, so the last
 * one only after the stream has ended well. How the stream was cut before makes no difference.
 *
 * @param bufferFor the memory for the piece of this place; the caller says when it may be used again
 */
export async function* cut(
  source: AsyncIterable<Uint8Array>,
  bufferFor: (index: number) => Buffer | Promise<Buffer>,
): AsyncGenerator<Cut, void, undefined> {
  let index = 0
  let buffer = await bufferFor(index)
  let used = 0
  for await (const chunk of source) {
    for (let taken = 0; taken < chunk.length; ) {
      if (used === buffer.length) {
        yield { index, bytes: buffer, last: false }
        buffer = await bufferFor(++index)
        used = 0
      }
      const some = chunk.subarray(taken, taken + buffer.length - used)
      buffer.set(some, used)
      used += some.length
      taken += some.length
    }
  }
  yield { index, bytes: buffer.subarray(0, used), last: true }
}
