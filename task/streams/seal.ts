import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from "node:crypto"
import { Decrypter, Encrypter, type Identity, identityToRecipient } from "age-encryption"
import { shownRecipient } from "../core/shown-recipient.ts"
import { PgstowError, useAnotherCopy } from "../errors.ts"
import { cut } from "./cut.ts"

// The age format, version 1: https://age-encryption.org/v1. The header is left to the age-encryption library.
// The payload is done here: node:crypto is about eight times as fast as the library's plain JavaScript.

const intro = "age-encryption.org/v1\n"
const armorIntro = "-----BEGIN AGE ENCRYPTED FILE-----"
const cipherName = "chacha20-poly1305"
const chunkBytes = 64 * 1024
const tagBytes = 16
const nonceBytes = 16
/** Room for hundreds of recipients of the longest kind. */
const maxHeaderBytes = 1024 * 1024

/**
 * Encrypts a stream for recipients, as `parseRecipients` gave them. The identity of any one of them opens it.
 * Fails when `source` does.
 */
export async function* seal(
  source: AsyncIterable<Uint8Array>,
  recipients: readonly string[],
): AsyncGenerator<Buffer, void, undefined> {
  const { header, fileKey } = await newHeader(recipients)
  const nonce = randomBytes(nonceBytes)
  const key = payloadKey(fileKey, nonce)
  yield Buffer.concat([header, nonce])

  const buffer = Buffer.allocUnsafe(chunkBytes)
  for await (const { index, bytes, last } of cut(source, () => buffer)) {
    const cipher = createCipheriv(cipherName, key, chunkNonce(index, last), { authTagLength: tagBytes })
    yield cipher.update(bytes)
    cipher.final()
    yield cipher.getAuthTag()
  }
}

export type Sealed = {
  /** What the stream is called in messages. */
  readonly name: string
  /** As `loadIdentities` gave them. */
  readonly identities: readonly string[]
  /** Whom it was sealed for, where that is known: named when none of the identities fits. */
  readonly recipients?: readonly string[] | undefined
}

/**
 * Decrypts what `seal`, or any other age program, encrypted for a recipient. Bytes come out only after their
 * chunk has proved whole, and the stream ends only after the last chunk has.
 *
 * Throws a PgstowError of kind "key" where no identity fits or a passphrase is asked for, and of kind "damaged"
 * where the bytes are not, or no longer, what an age program wrote.
 */
export async function* unseal(
  source: AsyncIterable<Uint8Array>,
  sealed: Sealed,
): AsyncGenerator<Buffer, void, undefined> {
  const { name } = sealed
  const chunks = source[Symbol.asyncIterator]()
  try {
    const { header, nonce, rest } = await readHeader(chunks, name)
    const key = payloadKey(await fileKeyOf(header, sealed), nonce)

    const buffer = Buffer.allocUnsafe(chunkBytes + tagBytes)
    for await (const { index, bytes, last } of cut(continued(rest, chunks), () => buffer)) {
      const plain = openChunk(key, index, bytes, last)
      if (plain === undefined) throw badChunk(key, index, bytes, last, name)
      if (plain.length === 0 && index > 0)
        throw damaged(name, "ends with an empty chunk, which age never writes")
      yield plain
    }
  } finally {
    await chunks.return?.()
  }
}

async function newHeader(recipients: readonly string[]): Promise<{ header: Buffer; fileKey: Uint8Array }> {
  let fileKey: Uint8Array | undefined
  const encrypter = new Encrypter()
  // Asked first, it sees the file key and adds nothing to the header.
  encrypter.addRecipient({
    wrapFileKey(key) {
      fileKey = key
      return []
    },
  })
  for (const recipient of recipients) encrypter.addRecipient(recipient)
  const empty = Buffer.from(await encrypter.encrypt(new Uint8Array()))
  if (fileKey === undefined) throw new TypeError("age-encryption has shown no file key")
  return { header: empty.subarray(0, -(nonceBytes + tagBytes)), fileKey }
}

type Opening = {
  readonly header: Buffer
  readonly nonce: Buffer
  /** What was read beyond the nonce. */
  readonly rest: Buffer
}

async function readHeader(chunks: AsyncIterator<Uint8Array>, name: string): Promise<Opening> {
  let bytes = Buffer.alloc(0)
  for (;;) {
    const headerBytes = lengthOfHeader(bytes)
    const payloadStart = headerBytes + nonceBytes
    if (headerBytes > 0 && bytes.length >= payloadStart)
      return {
        header: bytes.subarray(0, headerBytes),
        nonce: bytes.subarray(headerBytes, payloadStart),
        rest: bytes.subarray(payloadStart),
      }
    const next = await chunks.next()
    if (next.done || bytes.length > maxHeaderBytes) throw noHeader(bytes, name)
    bytes = Buffer.concat([bytes, next.value])
  }
}

/** The header's length, its last line with the MAC included; 0 where `bytes` do not begin with a whole one. */
function lengthOfHeader(bytes: Buffer): number {
  if (bytes.indexOf(intro) !== 0) return 0
  const macLine = bytes.indexOf("\n---")
  return macLine === -1 ? 0 : bytes.indexOf("\n", macLine + 1) + 1
}

function noHeader(bytes: Buffer, name: string): PgstowError {
  const text = bytes.toString("latin1", 0, 1024)
  if (text.trimStart().startsWith(armorIntro))
    return damaged(name, "is an armored age file", {
      hint: "Take the armor off first; pgstow reads the binary form only.",
    })
  if (text === "") return damaged(name, "is empty")
  if (!text.startsWith(intro)) return damaged(name, "is not an age file (version 1)")
  if (bytes.length > maxHeaderBytes) return damaged(name, "is damaged in its header")
  return damaged(name, "is cut short in its header")
}

async function fileKeyOf(header: Buffer, { name, identities, recipients }: Sealed): Promise<Uint8Array> {
  const refusePassphrase: Identity = {
    unwrapFileKey(stanzas) {
      if (!stanzas.some(({ args }) => args[0] === "scrypt")) return null
      throw new PgstowError("key", `${name} was encrypted with a passphrase, not for a recipient`, {
        hint: "Decrypt it with `age -d`; pgstow opens only what was encrypted for a recipient.",
      })
    },
  }
  const noneFits: Identity = {
    async unwrapFileKey() {
      const given = (await Promise.all(identities.map(identityToRecipient))).map(shownRecipient)
      const whose = given.length === 0 ? "" : `, only what is for ${given.join(", ")}`
      throw new PgstowError("key", `none of the identities given opens ${name}${whose}`, {
        hint: recipients
          ? `Give --identity the key of one of the recipients of this backup: ${recipients.map(shownRecipient).join(", ")}.`
          : "Give --identity the key of one of the recipients it was encrypted for.",
      })
    },
  }
  const decrypter = new Decrypter()
  // They are asked in this order until one has the file key.
  for (const identity of [refusePassphrase, ...identities, noneFits]) decrypter.addIdentity(identity)
  try {
    return await decrypter.decryptHeader(header)
  } catch (error) {
    if (error instanceof PgstowError) throw error
    throw damaged(name, "is damaged in its header", { cause: error })
  }
}

function payloadKey(fileKey: Uint8Array, nonce: Uint8Array): KeyObject {
  return createSecretKey(new Uint8Array(hkdfSync("sha256", fileKey, nonce, "payload", 32)))
}

/** The chunk's place in 11 bytes, then 1 for the last chunk and 0 for any other. */
function chunkNonce(index: number, last: boolean): Buffer {
  const nonce = Buffer.alloc(12)
  nonce.writeUIntBE(index, 5, 6)
  nonce[11] = last ? 1 : 0
  return nonce
}

/** The chunk's plain bytes; undefined where it does not prove to be whole and in its place. */
function openChunk(key: KeyObject, index: number, bytes: Buffer, last: boolean): Buffer | undefined {
  if (bytes.length < tagBytes) return undefined
  const decipher = createDecipheriv(cipherName, key, chunkNonce(index, last), { authTagLength: tagBytes })
  decipher.setAuthTag(bytes.subarray(-tagBytes))
  const plain = decipher.update(bytes.subarray(0, -tagBytes))
  try {
    decipher.final()
  } catch {
    return undefined
  }
  return plain
}

/** Says what is wrong with a chunk that does not open, as exactly as the bytes allow. */
function badChunk(key: KeyObject, index: number, bytes: Buffer, last: boolean, name: string): PgstowError {
  const opensAs = (last: boolean) => openChunk(key, index, bytes, last) !== undefined
  if (!last && opensAs(true)) return damaged(name, "goes on after its last chunk")
  if (!last) return damaged(name, `is damaged in chunk ${index + 1} (of 64 KiB each)`)
  if (bytes.length === 0 || opensAs(false)) return damaged(name, "is cut short: its last chunk is missing")
  return damaged(
    name,
    `is damaged, cut short or followed by other bytes in its last chunk, number ${index + 1}`,
  )
}

function damaged(name: string, what: string, options: { cause?: unknown; hint?: string } = {}): PgstowError {
  return new PgstowError("damaged", `${name} ${what}`, {
    hint: useAnotherCopy,
    ...options,
  })
}

async function* continued(
  first: Uint8Array,
  chunks: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield first
  for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value
}
