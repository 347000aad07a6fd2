import type { Decipheriv } from "node:crypto"
import type { PgstowError } from "../errors.ts"

/**
 * What a cipher with padding hid, behind a header of so many bytes. Fails with what `explain` makes of padding that
 * is wrong, which shows at the end.
 */
export async function* decipherAfter(
  headerBytes: number,
  source: AsyncIterable<Uint8Array>,
  decipher: Decipheriv,
  explain: (cause: unknown) => PgstowError,
): AsyncGenerator<Buffer> {
  let toSkip = headerBytes
  for await (const chunk of source) {
    yield decipher.update(chunk.subarray(toSkip))
    toSkip = Math.max(0, toSkip - chunk.length)
  }
  try {
    yield decipher.final()
  } catch (cause) {
    throw explain(cause)
  }
}
