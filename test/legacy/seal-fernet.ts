import { createCipheriv, createHmac, randomBytes } from "node:crypto"
import type { FernetKey } from "../../task/legacy/fernet.ts"

/** A Fernet token over `plain`, in pieces, as Python's cryptography would make it. */
export async function* sealFernet(
  plain: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  key: FernetKey,
): AsyncGenerator<string> {
  const header = Buffer.alloc(25)
  header[0] = 0x80
  header.writeBigUInt64BE(1_700_000_000n, 1)
  randomBytes(16).copy(header, 9)
  const cipher = createCipheriv("aes-128-cbc", key.encryption, header.subarray(9))
  const mac = createHmac("sha256", key.signing)
  const signed = async function* () {
    yield header
    for await (const chunk of plain) yield cipher.update(chunk)
    yield cipher.final()
  }
  let held = Buffer.alloc(0)
  for await (const chunk of signed()) {
    mac.update(chunk)
    const bytes = Buffer.concat([held, chunk])
    const whole = bytes.length - (bytes.length % 3)
    yield bytes.subarray(0, whole).toString("base64url")
    held = bytes.subarray(whole)
  }
  const digits = Buffer.concat([held, mac.digest()]).toString("base64url")
  yield digits.padEnd(Math.ceil(digits.length / 4) * 4, "=")
}
