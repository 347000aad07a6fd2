import { createHash } from "node:crypto"
import { crc32 } from "node:zlib"
import { S3Error } from "./s3-error.ts"

/** A checksum under way. */
export type Checksum = { update(chunk: Uint8Array): void; base64(): string }

/** Begins the checksum that a header or trailer like x-amz-checksum-crc32 carries. */
export function checksumOf(header: string): Checksum {
  const algorithm = header.replace("x-amz-checksum-", "")
  switch (algorithm) {
    case "crc32":
      return crc(crc32)
    case "crc32c":
      return crc(crc32c)
    case "sha1":
    case "sha256":
    case "content-md5": {
      const hash = createHash(algorithm.replace("content-", ""))
      return { update: (chunk) => void hash.update(chunk), base64: () => hash.digest("base64") }
    }
    default:
      throw new S3Error(501, "NotImplemented", { message: `this endpoint can't check ${header}` })
  }
}

function crc(next: (chunk: Uint8Array, before: number) => number): Checksum {
  let value = 0
  return {
    update: (chunk) => {
      value = next(chunk, value)
    },
    base64: () => {
      const bytes = Buffer.alloc(4)
      bytes.writeUInt32BE(value)
      return bytes.toString("base64")
    },
  }
}

const crc32cTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
  return value
})

/** CRC-32C (Castagnoli), RFC 3720 appendix B.4. */
export function crc32c(chunk: Uint8Array, before = 0): number {
  let value = ~before
  for (const byte of chunk) value = (value >>> 8) ^ (crc32cTable[(value ^ byte) & 0xff] ?? 0)
  return ~value >>> 0
}
