import { createDecipheriv, pbkdf2 } from "node:crypto"
import { promisify } from "node:util"
import { PgstowError } from "../errors.ts"
import { decipherAfter } from "./decipher.ts"
import { peek } from "./peek.ts"

// What `openssl enc -aes-256-cbc -salt -pbkdf2` writes: "Salted__", 8 bytes of salt, the ciphertext. Key and IV
// come from PBKDF2-HMAC-SHA256; 10,000 is the program's own number of iterations (apps/enc.c).
const magic = Buffer.from("Salted__", "latin1")
const headerBytes = 16
const iterations = 10_000
const keyBytes = 32
const ivBytes = 16

/** Whether `head` begins a file of `openssl enc`. */
export function isSalted(head: Uint8Array): boolean {
  return magic.equals(head.subarray(0, magic.length))
}

/**
 * The pass phrase that `openssl -pass file:…` reads from a key file: its first line without the newline, at most
 * 1,023 bytes, up to a NUL (app_get_pass in apps/lib/apps.c).
 */
export function passPhrase(keyFile: Uint8Array): Buffer {
  const line = Buffer.from(keyFile).subarray(0, 1023)
  const end = line.findIndex((byte) => byte === 0x0a || byte === 0)
  return end === -1 ? line : line.subarray(0, end)
}

/**
 * Opens a file of `openssl enc -aes-256-cbc -salt -pbkdf2` as a stream. Nothing in it proves the key right or the
 * file whole: what is given out must be checked by what it is. Bad padding at its end is an error.
 */
export async function* openSalted(
  source: AsyncIterable<Uint8Array>,
  phrase: Uint8Array,
): AsyncGenerator<Buffer> {
  const { head, all } = await peek(source, headerBytes)
  if (head.length < headerBytes) throw new PgstowError("damaged", "the OpenSSL file is cut short")
  const derived = await promisify(pbkdf2)(
    phrase,
    head.subarray(magic.length),
    iterations,
    keyBytes + ivBytes,
    "sha256",
  )
  const decipher = createDecipheriv("aes-256-cbc", derived.subarray(0, keyBytes), derived.subarray(keyBytes))
  yield* decipherAfter(
    headerBytes,
    all,
    decipher,
    (cause) =>
      new PgstowError("key", "the key is wrong, or the file was altered or cut short: bad padding", {
        cause,
        hint: "Give the file that ENCRYPTION_KEY_PATH named when Sentinel made this backup, or copy it again.",
      }),
  )
}
