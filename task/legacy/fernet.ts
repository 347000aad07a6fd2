import { createDecipheriv, createHash, createHmac, timingSafeEqual } from "node:crypto"
import { PgstowError } from "../errors.ts"
import { decipherAfter } from "./decipher.ts"
import { peek } from "./peek.ts"

/** Bytes that can be read from their beginning as often as needed. */
export type Rereadable = () => AsyncIterable<Uint8Array>

/** The two halves of a Fernet key, 16 bytes each. */
export type FernetKey = { readonly signing: Buffer; readonly encryption: Buffer }

// A token (https://github.com/fernet/spec): version, time in seconds (64 bits, big endian), IV, AES-128-CBC
// ciphertext, HMAC-SHA256 of all that; the whole in URL-safe base64.
const version = 0x80
const timeOffset = 1
const ivOffset = 9
const headerBytes = 25
const headerDigits = 34
const blockBytes = 16
const macBytes = 32

const copyAgain = "Copy the file again from where it was made."

/**
 * The key that Emiti makes of its ENCRYPTION_KEY: a Fernet key as it is, of any other text the SHA-256.
 * White space around it, as a file has it at its end, does not belong to it.
 */
export function fernetKey(text: string): FernetKey {
  const trimmed = text.trim()
  const isFernetKey = /^[A-Za-z0-9+/_-]{43}=$/.test(trimmed)
  const bytes = isFernetKey
    ? Buffer.from(trimmed, "base64url")
    : createHash("sha256").update(trimmed, "utf8").digest()
  return { signing: bytes.subarray(0, 16), encryption: bytes.subarray(16) }
}

/**
 * When a token was made; undefined where `head` is not the beginning of one.
 *
 * @param head the first bytes of a file, 12 or more
 */
export function fernetTime(head: Uint8Array): Date | undefined {
  const text = Buffer.from(head.subarray(0, 12)).toString("latin1")
  if (!/^[A-Za-z0-9_-]{12}$/.test(text)) return undefined
  const bytes = Buffer.from(text, "base64url")
  return bytes[0] === version ? timeIn(bytes) : undefined
}

/**
 * Opens a Fernet token of any size in constant memory. The token is read twice: nothing is given out before its
 * HMAC was found right over the whole of it. The second reading checks it again, so that a file which changes in
 * between fails too: what was given out counts only when the generator has ended well.
 */
export async function* openFernet(token: Rereadable, key: FernetKey): AsyncGenerator<Buffer> {
  for await (const _ of signedPart(token(), key));
  const { head, all } = await peek(signedPart(token(), key), headerBytes)
  const decipher = createDecipheriv("aes-128-cbc", key.encryption, head.subarray(ivOffset))
  yield* decipherAfter(
    headerBytes,
    all,
    decipher,
    (cause) =>
      new PgstowError("damaged", "the Fernet token is signed but not padded as Fernet does", { cause }),
  )
}

/** A token without its HMAC. Ends well only where the HMAC is right. */
async function* signedPart(token: AsyncIterable<Uint8Array>, key: FernetKey): AsyncGenerator<Buffer> {
  const { head, all } = await peek(decodeBase64Url(token), headerBytes)
  if (head[0] !== version || (head.length >= ivOffset && timeIn(head) === undefined)) throw notAToken()

  const mac = createHmac("sha256", key.signing)
  let signedBytes = 0
  let held = Buffer.alloc(0)
  for await (const chunk of all) {
    const bytes = Buffer.concat([held, chunk])
    const signed = bytes.subarray(0, Math.max(0, bytes.length - macBytes))
    held = bytes.subarray(signed.length)
    mac.update(signed)
    signedBytes += signed.length
    if (signed.length > 0) yield signed
  }
  const ciphertextBytes = signedBytes - headerBytes
  if (ciphertextBytes < blockBytes || ciphertextBytes % blockBytes !== 0)
    throw new PgstowError("damaged", "the Fernet token is cut short", { hint: copyAgain })
  if (!timingSafeEqual(mac.digest(), held))
    throw new PgstowError(
      "key",
      "the key is wrong, or the file was altered: the Fernet token's HMAC differs",
      {
        hint: "Give the ENCRYPTION_KEY that Emiti had when it made this file, or copy the file again.",
      },
    )
}

/** The bytes behind URL-safe base64, with or without padding, with white space at its end. */
async function* decodeBase64Url(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let digits = ""
  let digitsSeen = 0
  let ended = false
  for await (const chunk of source) {
    const text = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString("latin1")
    const found: number = ended ? 0 : text.search(/[^A-Za-z0-9_-]/)
    const end = found === -1 ? text.length : found
    ended ||= end < text.length
    digitsSeen += end
    if (/[^=\s]/.test(text.slice(end)))
      throw digitsSeen < headerDigits ? notAToken() : strayCharacter(digitsSeen)
    digits += text.slice(0, end)
    const whole = digits.length - (digits.length % 4)
    if (whole > 0) yield Buffer.from(digits.slice(0, whole), "base64url")
    digits = digits.slice(whole)
  }
  if (digits !== "") yield Buffer.from(digits, "base64url")
}

/** Undefined where the time is later than JavaScript, and the world that Fernet is from, has words for. */
function timeIn(header: Buffer): Date | undefined {
  const seconds = header.readBigUInt64BE(timeOffset)
  return seconds < 2n ** 40n ? new Date(Number(seconds) * 1000) : undefined
}

function notAToken(): PgstowError {
  return new PgstowError("usage", "not a Fernet token", {
    hint: "Emiti's backups are URL-safe base64 that begins with gAAAAA; copy the file again if it was one.",
  })
}

function strayCharacter(offset: number): PgstowError {
  return new PgstowError("damaged", `the Fernet token was altered: no base64 at byte ${offset}`, {
    hint: copyAgain,
  })
}
