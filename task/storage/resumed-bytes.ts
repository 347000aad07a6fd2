/** What a request for the rest of an object brought. */
export type Response = {
  readonly body: AsyncIterable<Uint8Array>
  /** How many bytes `body` must bring. */
  readonly sizeBytes: number
}

export type ResumingOptions = {
  readonly first: Response
  /** Asks again for what follows the first `bytesRead` bytes. Rejects where that can't be had. */
  readonly resume: (bytesRead: number) => Promise<Response>
  /** Turns what broke a body into what is thrown. */
  readonly explain: (cause: unknown) => unknown
}

const maxFailuresInARow = 4
const waitMs = 200

/**
 * The bytes of `first`, going on by `resume` where a body breaks off, also because the reader took its time.
 * Throws where that has happened five times in a row without bringing anything.
 */
export async function* resumedBytes(options: ResumingOptions): AsyncGenerator<Uint8Array, void> {
  const { first, resume, explain } = options
  let response = first
  let bytesRead = 0
  let failures = 0
  while (true) {
    try {
      for await (const chunk of response.body) {
        bytesRead += chunk.length
        failures = 0
        yield chunk
      }
      if (bytesRead === first.sizeBytes) return
      throw new Error(`the answer ended after ${bytesRead} of ${first.sizeBytes} bytes`)
    } catch (cause) {
      if (failures++ === maxFailuresInARow || bytesRead >= first.sizeBytes) throw explain(cause)
    }
    await new Promise((resolve) => setTimeout(resolve, waitMs * failures))
    response = await resume(bytesRead)
  }
}
