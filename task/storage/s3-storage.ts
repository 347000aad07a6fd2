import { Readable } from "node:stream"
import { buffer } from "node:stream/consumers"
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListObjectsV2Command,
  type ListObjectsV2CommandInput,
  type ListObjectsV2CommandOutput,
  PutObjectCommand,
  type PutObjectCommandInput,
  type S3Client,
} from "@aws-sdk/client-s3"
import { PgstowError } from "../errors.ts"
import { byteStream } from "./byte-stream.ts"
import { type Found, putIfAbsent } from "./put-if-absent.ts"
import { reportedClock } from "./reported-clock.ts"
import { type Response, resumedBytes } from "./resumed-bytes.ts"
import { s3Client } from "./s3-client.ts"
import { isS3Error, s3Failure } from "./s3-failure.ts"
import { nextMarkers, nextToken, type UploadMarkers } from "./s3-pages.ts"
import { S3Upload } from "./s3-upload.ts"
import { type S3Settings, withShorterPrefix } from "./s3-url.ts"
import {
  checkKey,
  checkPrefix,
  isKey,
  ObjectExistsError,
  ObjectNotFoundError,
  type ObjectWriter,
  probeBytes,
  type Storage,
  type StoredObject,
} from "./storage.ts"

const removeAtOnce = 1000
/** How long the beginning of an upload may still take after an interruption. */
const beginMs = 3_000

export type S3StorageOptions = {
  readonly signal?: AbortSignal | undefined
  /** How long the service may be silent before a request counts as failed. 60 by default. */
  readonly timeoutSeconds?: number | undefined
}

/** Keeps objects in a bucket, each under the settings' prefix and its key. */
export class S3Storage implements Storage {
  readonly url: string
  readonly maxParts: number
  readonly #settings: S3Settings
  readonly #client: S3Client
  readonly #signal: AbortSignal | undefined
  readonly #clock = reportedClock()
  readonly #options: S3StorageOptions

  constructor(settings: S3Settings, options: S3StorageOptions = {}) {
    this.url = settings.url
    this.maxParts = settings.maxParts
    this.#settings = settings
    this.#signal = options.signal
    this.#options = options
    this.#client = s3Client(settings, options.timeoutSeconds ?? 60, this.#clock)
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    for await (const page of this.#pages(prefix, {})) {
      for (const { Key = "", Size = 0, LastModified = new Date(0) } of page.Contents ?? []) {
        const key = Key.slice(this.#settings.prefix.length)
        if (isKey(key)) yield { key, sizeBytes: Size, modifiedAt: LastModified }
      }
    }
  }

  async listFolders(prefix: string): Promise<string[]> {
    const folders: string[] = []
    for await (const page of this.#pages(prefix, { Delimiter: "/" })) {
      for (const { Prefix = "" } of page.CommonPrefixes ?? []) {
        const folder = Prefix.slice(this.#settings.prefix.length, -1)
        if (isKey(folder)) folders.push(folder.slice(prefix.length))
      }
    }
    return folders.toSorted()
  }

  async read(key: string, options: { readonly offsetBytes?: number } = {}): Promise<Readable> {
    checkKey(this.url, key)
    const offset = options.offsetBytes ?? 0
    const stopped = new AbortController()
    const signal = this.#signal ? AbortSignal.any([this.#signal, stopped.signal]) : stopped.signal
    const open = (position: number, etag: string | undefined) =>
      this.#attempt(`read ${key}`, () => this.#get(key, position, etag, signal))
    const first = await open(offset, undefined)
    const bytes = resumedBytes({
      first,
      resume: (bytesRead) => open(offset + bytesRead, first.etag),
      explain: (cause) => this.#failure(`read ${key}`, cause),
    })
    return byteStream(bytes, () => stopped.abort())
  }

  async stat(key: string): Promise<StoredObject | undefined> {
    checkKey(this.url, key)
    return this.#attempt(`look at ${key}`, async (options) => {
      try {
        const head = await this.#client.send(new HeadObjectCommand(this.#object(key)), options)
        return { key, sizeBytes: head.ContentLength ?? 0, modifiedAt: head.LastModified ?? new Date(0) }
      } catch (error) {
        if (isS3Error(error, 404)) return undefined
        throw error
      }
    })
  }

  async put(key: string, body: Uint8Array, options: { readonly ifAbsent?: boolean } = {}): Promise<void> {
    checkKey(this.url, key)
    const ifAbsent = options.ifAbsent || this.#settings.writeOnce
    const command = new PutObjectCommand({
      ...this.#object(key),
      ...this.#newObject(),
      Body: body,
      ...(ifAbsent ? { IfNoneMatch: "*" } : {}),
    })
    await this.#attempt(`write ${key}`, async (sendOptions) => {
      const send = () => this.#client.send(command, sendOptions)
      if (!ifAbsent) await send()
      else {
        const look = () => this.#look(key, body)
        const stored = await putIfAbsent({ send, look, signal: this.#signal })
        if (stored === "another") throw new ObjectExistsError(this.url, key)
      }
    })
  }

  async create(key: string): Promise<ObjectWriter> {
    checkKey(this.url, key)
    return this.#attempt(`write ${key}`, async () => {
      const target = this.#object(key)
      const byCrc32 = this.#settings.checksum === "crc32"
      const command = new CreateMultipartUploadCommand({
        ...target,
        ...this.#newObject(),
        ...(byCrc32 ? { ChecksumAlgorithm: "CRC32" } : {}),
      })
      // Broken off, it might begin an upload that nobody could end, since its id would be lost.
      using patience = later(this.#signal, beginMs)
      const created = await this.#client.send(command, { abortSignal: patience.signal })
      if (!created.UploadId) throw new Error("the service began no upload")
      const upload = new S3Upload(
        { ...target, UploadId: created.UploadId },
        {
          client: this.#client,
          place: this.#settings,
          signal: this.#signal,
          key,
          maxParts: this.maxParts,
          attempt: (run) => this.#attempt(`write ${key}`, run),
          ifAbsent: this.#settings.writeOnce,
          byCrc32,
          storedBytes: () => this.#sizeOf(key),
        },
      )
      if (this.#signal?.aborted) await upload.abort()
      this.#signal?.throwIfAborted()
      return upload
    })
  }

  async probe(key: string): Promise<void> {
    const upload = await this.create(key)
    try {
      await upload.write(Buffer.alloc(probeBytes))
    } finally {
      // Who may not end it can still back up: it goes with the stale uploads.
      await upload.abort().catch(() => {})
    }
  }

  async remove(keys: readonly string[]): Promise<void> {
    for (const key of keys) checkKey(this.url, key)
    for (let start = 0; start < keys.length; start += removeAtOnce) {
      const batch = keys.slice(start, start + removeAtOnce)
      const what = batch.length === 1 ? batch[0] : `${batch.length} objects`
      await this.#attempt(`remove ${what}`, async (options) => {
        const Objects = batch.map((key) => ({ Key: this.#settings.prefix + key }))
        const answer = await this.#client.send(
          new DeleteObjectsCommand({ Bucket: this.#settings.bucket, Delete: { Objects, Quiet: true } }),
          options,
        )
        const [error] = answer.Errors ?? []
        if (error) throw Object.assign(new Error(`${error.Key}: ${error.Message}`), { name: error.Code })
      })
    }
  }

  async removeStaleUploads(prefix: string, before: Date): Promise<number> {
    checkPrefix(this.url, prefix)
    const { bucket: Bucket, prefix: root } = this.#settings
    return this.#attempt(`remove stale uploads below ${prefix || "/"}`, async (options) => {
      let removed = 0
      let next: UploadMarkers | undefined = {}
      while (next) {
        const page: ListMultipartUploadsCommandOutput = await this.#client.send(
          new ListMultipartUploadsCommand({ Bucket, Prefix: root + prefix, ...next }),
          options,
        )
        const after = nextMarkers(page, root + prefix, next)
        for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
          if (!Key || !UploadId || !Initiated || Initiated >= before) continue
          await this.#client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }), options)
          removed++
        }
        next = after
      }
      return removed
    })
  }

  clock(): Date | undefined {
    return this.#clock.now()
  }

  async exists(): Promise<boolean> {
    for await (const { Contents } of this.#pages("", { MaxKeys: 1 }))
      if (Contents && Contents.length > 0) return true
    return false
  }

  parent(): Storage | undefined {
    const settings = withShorterPrefix(this.#settings)
    return settings && new S3Storage(settings, this.#options)
  }

  close(): void {
    this.#client.destroy()
  }

  async #attempt<T>(action: string, run: (options: { abortSignal?: AbortSignal }) => Promise<T>): Promise<T> {
    try {
      this.#signal?.throwIfAborted()
      return await run(this.#signal ? { abortSignal: this.#signal } : {})
    } catch (error) {
      throw this.#failure(action, error)
    }
  }

  #failure(action: string, cause: unknown): unknown {
    return this.#signal?.aborted ? this.#signal.reason : s3Failure(this.#settings, action, cause)
  }

  async *#pages(
    prefix: string,
    input: Pick<ListObjectsV2CommandInput, "Delimiter" | "MaxKeys">,
  ): AsyncGenerator<ListObjectsV2CommandOutput> {
    checkPrefix(this.url, prefix)
    const { bucket: Bucket, prefix: root } = this.#settings
    const action = `list ${prefix || "objects"}`
    let token: string | undefined
    do {
      const page: ListObjectsV2CommandOutput = await this.#attempt(action, (options) =>
        this.#client.send(
          new ListObjectsV2Command({ Bucket, Prefix: root + prefix, ContinuationToken: token, ...input }),
          options,
        ),
      )
      const next = await this.#attempt(action, async () => nextToken(page, { prefix: root + prefix, token }))
      yield page
      token = next
    } while (token !== undefined)
  }

  /** Asks for an object from `position` on; with `etag`, only for that same object. */
  async #get(
    key: string,
    position: number,
    etag: string | undefined,
    abortSignal: AbortSignal,
  ): Promise<Response & { etag: string | undefined }> {
    const command = new GetObjectCommand({
      ...this.#object(key),
      ...(position > 0 ? { Range: `bytes=${position}-` } : {}),
      ...(etag === undefined ? {} : { IfMatch: etag }),
    })
    try {
      const { Body, ContentLength, ContentRange, ETag } = await this.#client.send(command, { abortSignal })
      if (!(Body instanceof Readable) || ContentLength === undefined)
        throw new Error("the answer has no body, or no length")
      if (position === 0) return { body: Body, sizeBytes: ContentLength, etag: ETag }
      if (ContentRange?.startsWith(`bytes ${position}-`))
        return { body: Body, sizeBytes: ContentLength, etag: ETag }
      if (ContentRange !== undefined || ContentLength < position) {
        Body.destroy()
        throw new Error(`the answer does not begin at byte ${position}`)
      }
      // A cache or proxy that heeds no ranges sends all of it.
      return { body: after(position, Body), sizeBytes: ContentLength - position, etag: ETag }
    } catch (error) {
      if (isS3Error(error, "NoSuchKey")) throw new ObjectNotFoundError(this.url, key, { cause: error })
      if (isS3Error(error, 412)) throw new Error("it was changed while it was read", { cause: error })
      if (isS3Error(error, 416) && (await this.stat(key))?.sizeBytes === position)
        return { body: Readable.from([]), sizeBytes: 0, etag }
      throw error
    }
  }

  /** Holds what is stored under `key` against `body`, as far as these credentials may read or list. */
  async #look(key: string, body: Uint8Array): Promise<Found> {
    try {
      const found = await this.stat(key)
      if (!found) return "nothing"
      if (found.sizeBytes !== body.length) return "another"
      return (await buffer(await this.read(key))).equals(body) ? "ours" : "another"
    } catch {
      this.#signal?.throwIfAborted()
    }
    try {
      for await (const found of this.list(key.slice(0, key.lastIndexOf("/") + 1)))
        if (found.key === key) return found.sizeBytes === body.length ? "unknown" : "another"
      return "nothing"
    } catch {
      this.#signal?.throwIfAborted()
      return "unknown"
    }
  }

  /** The size of an object, undefined where there is none. Who may not read an object may see it in a list. */
  async #sizeOf(key: string): Promise<number | undefined> {
    try {
      return (await this.stat(key))?.sizeBytes
    } catch (error) {
      if (!isDenied(error)) throw error
      for await (const object of this.list(key.slice(0, key.lastIndexOf("/") + 1)))
        if (object.key === key) return object.sizeBytes
      return undefined
    }
  }

  #object(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#settings.bucket, Key: this.#settings.prefix + key }
  }

  /** What every object is stored with. */
  #newObject(): Pick<PutObjectCommandInput, "StorageClass" | "ServerSideEncryption" | "SSEKMSKeyId"> {
    const { storageClass, kmsKey } = this.#settings
    return {
      ...(storageClass === undefined ? {} : { StorageClass: storageClass }),
      ...(kmsKey === undefined ? {} : { ServerSideEncryption: "aws:kms", SSEKMSKeyId: kmsKey }),
    }
  }
}

/** What follows the first `count` bytes. */
async function* after(count: number, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let left = count
  for await (const chunk of body) {
    const skipped = Math.min(left, chunk.length)
    left -= skipped
    if (skipped < chunk.length) yield chunk.subarray(skipped)
  }
}

/** Whether a request failed, as `#failure` tells it, because it was not allowed. */
function isDenied(error: unknown): boolean {
  return error instanceof PgstowError && isS3Error(error.cause, 403)
}

/** A signal that aborts `ms` after `signal` does. */
function later(signal: AbortSignal | undefined, ms: number): Disposable & { readonly signal: AbortSignal } {
  const late = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const wait = () => {
    timer = setTimeout(() => late.abort(), ms)
  }
  signal?.addEventListener("abort", wait)
  return {
    signal: late.signal,
    [Symbol.dispose]: () => {
      signal?.removeEventListener("abort", wait)
      clearTimeout(timer)
    },
  }
}
