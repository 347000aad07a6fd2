import { crc32 } from "node:zlib"
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  type S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3"
import { mostPartBytes } from "../core/part-size.ts"
import { PgstowError } from "../errors.ts"
import { isS3Error, type S3Place, s3Failure } from "./s3-failure.ts"
import { ObjectExistsError, type ObjectWriter } from "./storage.ts"

const abortMs = 5_000

export type S3UploadOptions = {
  readonly client: S3Client
  readonly place: S3Place
  readonly signal: AbortSignal | undefined
  readonly key: string
  readonly maxParts: number
  /** Runs a request: not after the signal has aborted, and with its failures explained. */
  readonly attempt: <T>(run: () => Promise<T>) => Promise<T>
  /** Whether there must be no object of the key yet. */
  readonly ifAbsent: boolean
  /** Whether the upload was begun as one whose parts have a CRC-32 each. */
  readonly byCrc32: boolean
  /** The size of the object now readable at the upload's key. */
  readonly storedBytes: () => Promise<number | undefined>
}

/** A multipart upload that has begun. */
export class S3Upload implements ObjectWriter {
  readonly #upload: { readonly Bucket: string; readonly Key: string; readonly UploadId: string }
  readonly #options: S3UploadOptions
  readonly #parts: Promise<CompletedPart>[] = []
  readonly #stopped = new AbortController()
  readonly #signal: AbortSignal
  #bytes = 0
  #finished = false
  #aborting: Promise<void> | undefined

  constructor(upload: { Bucket: string; Key: string; UploadId: string }, options: S3UploadOptions) {
    this.#upload = upload
    this.#options = options
    this.#signal = AbortSignal.any([this.#stopped.signal, ...(options.signal ? [options.signal] : [])])
  }

  /** @param number the part's number, by default the place that the call has, however late it is sent */
  async write(part: Uint8Array, number: number = this.#parts.length + 1): Promise<void> {
    const sent = this.#options.attempt(() => this.#send(part, number))
    this.#parts.push(sent)
    this.#bytes += part.length
    await sent
  }

  async finish(): Promise<void> {
    // S3 makes no object of no parts.
    if (this.#parts.length === 0) await this.write(new Uint8Array())
    const Parts = await Promise.all(this.#parts)
    await this.#options.attempt(() => this.#complete(Parts))
    this.#finished = true
  }

  async abort(): Promise<void> {
    if (this.#finished) return
    this.#aborting ??= this.#giveUp()
    await this.#aborting
  }

  async #send(part: Uint8Array, number: number): Promise<CompletedPart> {
    const { byCrc32, client, place, key, maxParts } = this.#options
    if (number > maxParts)
      throw new PgstowError("storage", `cannot write ${key} in ${place.url}: more than ${maxParts} parts`, {
        hint: `It is larger than was expected. Add part-size=${this.#largerMebibytes()} to the storage's URL.`,
      })
    // Told again for each part at the end: there may be no other proof that the service has not mixed them up.
    const proof = byCrc32 ? { ChecksumCRC32: crc32Of(part) } : {}
    const command = new UploadPartCommand({ ...this.#upload, ...proof, PartNumber: number, Body: part })
    try {
      const { ETag } = await client.send(command, { abortSignal: this.#signal })
      return { ETag, PartNumber: number, ...proof }
    } catch (error) {
      if (number === 1 || !isS3Error(error, "InvalidArgument", "InvalidPartNumber")) throw error
      throw new PartNumberError(place.url, key, number, { cause: error })
    }
  }

  /** Parts four times as large as those that came so far, in MiB. */
  #largerMebibytes(): number {
    const mebibytes = Math.ceil(this.#bytes / this.#parts.length / 1024 ** 2)
    return Math.min(4 * mebibytes, mostPartBytes / 1024 ** 2)
  }

  async #complete(Parts: CompletedPart[]): Promise<void> {
    const { client, ifAbsent, key, place, storedBytes } = this.#options
    const command = new CompleteMultipartUploadCommand({
      ...this.#upload,
      MultipartUpload: { Parts },
      ...(ifAbsent ? { IfNoneMatch: "*" } : {}),
    })
    try {
      await client.send(command, { abortSignal: this.#signal })
    } catch (error) {
      // An earlier attempt of this very request may have ended the upload, and only its answer been lost.
      const mayBeDone = isS3Error(error, "NoSuchUpload", 412) && (error.$metadata.attempts ?? 1) > 1
      if (mayBeDone && (await storedBytes()) === this.#bytes) return
      throw isS3Error(error, 412) ? new ObjectExistsError(place.url, key, { cause: error }) : error
    }
  }

  async #giveUp(): Promise<void> {
    this.#stopped.abort()
    // A part stored after the upload was ended would stay there.
    await Promise.allSettled(this.#parts)
    const { client, place, key } = this.#options
    const deadline = AbortSignal.timeout(abortMs)
    try {
      await client.send(new AbortMultipartUploadCommand(this.#upload), { abortSignal: deadline })
    } catch (error) {
      if (isS3Error(error, "NoSuchUpload")) return
      throw s3Failure(place, `end the upload of ${key}`, deadline.aborted ? deadline.reason : error)
    }
  }
}

/** In S3's way: the four bytes, highest first, in Base64. */
function crc32Of(bytes: Uint8Array): string {
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32(bytes))
  return sum.toString("base64")
}

/** The service takes no part of such a number. */
export class PartNumberError extends PgstowError {
  constructor(url: string, key: string, number: number, options: { cause: unknown }) {
    super("storage", `cannot write ${key} in ${url}: the service takes no part number ${number}`, {
      ...options,
      hint: `Add max-parts=${number - 1} to the storage's URL.`,
    })
    this.name = "PartNumberError"
  }
}
