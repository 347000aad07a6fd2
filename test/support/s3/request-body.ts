import { createHash } from "node:crypto"
import type { IncomingHttpHeaders } from "node:http"
import { checksumOf } from "./checksums.ts"
import { S3Error } from "./s3-error.ts"

type Bytes = AsyncIterable<Buffer>

/**
 * The bytes that a request brings, out of their aws-chunked coding where they are in one. Ends with an S3Error
 * where they are not as many as was said, or not those of a checksum or hash given with them.
 */
export async function* bodyOf(headers: IncomingHttpHeaders, bytes: Bytes): AsyncGenerator<Buffer> {
  const said = String(headers["x-amz-content-sha256"])
  const chunked = said === "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
  if (said.startsWith("STREAMING-") && !chunked)
    throw new S3Error(501, "NotImplemented", { message: `this endpoint does not know ${said}` })

  const trailers = new Map<string, string>()
  const given = Object.entries(headers).filter(([name]) => isChecksum(name))
  const announced = chunked ? String(headers["x-amz-trailer"] ?? "").split(",") : []
  const checksums = [...given.map(([name]) => name), ...announced.map((name) => name.trim())]
    .filter((name) => name !== "")
    .map((name) => ({ name, checksum: checksumOf(name) }))
  const sha256 = /^[0-9a-f]{64}$/.test(said) ? createHash("sha256") : undefined
  let sizeBytes = 0
  for await (const chunk of chunked ? unchunked(bytes, trailers) : bytes) {
    for (const { checksum } of checksums) checksum.update(chunk)
    sha256?.update(chunk)
    sizeBytes += chunk.length
    yield chunk
  }

  const length = headers["x-amz-decoded-content-length"] ?? headers["content-length"]
  if (length !== undefined && sizeBytes !== Number(length)) throw new S3Error(400, "IncompleteBody")
  for (const { name, checksum } of checksums)
    if (checksum.base64() !== (headers[name] ?? trailers.get(name)))
      throw new S3Error(400, "BadDigest", { message: name })
  if (sha256 && sha256.digest("hex") !== said) throw new S3Error(400, "XAmzContentSHA256Mismatch")
}

function isChecksum(header: string): boolean {
  return header === "content-md5" || /^x-amz-checksum-(?!type|algorithm|mode)/.test(header)
}

/**
 * Takes a body out of aws-chunked: chunks of a size in hexadecimal, a line end, the bytes and a line end; after
 * the empty chunk the trailers, which are put into `trailers`.
 */
async function* unchunked(bytes: Bytes, trailers: Map<string, string>): AsyncGenerator<Buffer> {
  const source = bytes[Symbol.asyncIterator]()
  let rest: Buffer = Buffer.alloc(0)
  const more = async () => {
    const next = await source.next()
    if (next.done === true) throw new S3Error(400, "IncompleteBody")
    rest = Buffer.concat([rest, next.value])
  }
  const line = async () => {
    while (!rest.includes("\r\n")) await more()
    const end = rest.indexOf("\r\n")
    const text = rest.toString("latin1", 0, end)
    rest = rest.subarray(end + 2)
    return text
  }

  for (let left = Number.parseInt(await line(), 16); left > 0; left = Number.parseInt(await line(), 16)) {
    while (left > 0) {
      if (rest.length === 0) await more()
      const chunk = rest.subarray(0, left)
      rest = rest.subarray(chunk.length)
      left -= chunk.length
      yield chunk
    }
    if ((await line()) !== "") throw new S3Error(400, "InvalidChunk")
  }
  for (let text = await line(); text !== ""; text = await line()) {
    const [name = "", value = ""] = text.split(/:\s*/)
    trailers.set(name.toLowerCase(), value)
  }
}
