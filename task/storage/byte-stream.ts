import { Readable } from "node:stream"

/**
 * The bytes that `chunks` yields, as a stream that fails as it does. `close` is called once the stream is
 * closed, whether it was read to its end, broken off or never read, and may end what `chunks` is waiting for.
 */
export function byteStream(
  chunks: AsyncGenerator<Uint8Array, void>,
  close: () => void | Promise<void>,
): Readable {
  const stream = new Readable({
    read: () => void pull(),
    destroy: (error, callback) => void end(error, callback),
  })
  async function pull(): Promise<void> {
    try {
      const { done, value } = await chunks.next()
      stream.push(done ? null : value)
    } catch (thrown) {
      stream.destroy(asError(thrown))
    }
  }
  async function end(error: Error | null, callback: (error: Error | null) => void): Promise<void> {
    let failure = error
    try {
      await close()
    } catch (thrown) {
      failure ??= asError(thrown)
    }
    callback(failure)
  }
  return stream
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
