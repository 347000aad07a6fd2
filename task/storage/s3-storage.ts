import { Readable } from "node:stream"
import { buffer } from "node:stream/consumers"
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandInput,
  type ListMultipartUploadsCommandOutput,
  ListObjectsV2Command,
  type ListObjectsV2CommandInput,
  type ListObjectsV2CommandOutput,
  PutObjectCommand,
  type PutObjectCommandInput,
  type S3Client,
} from "@aws-sdk/client-s3"
import { mapConcurrently } from "../core/map-concurrently.ts"
import type { PartRules } from "../core/part-size.ts"
import { PgstowError } from "../errors.ts"
import { type BucketRules, readBucketRules } from "./bucket-rules.ts"
import { byteStream } from "./byte-stream.ts"
import { firstBytes } from "./first-bytes.ts"
import { type Found, putIfAbsent } from "./put-if-absent.ts"
import { reportedClock } from "./reported-clock.ts"
import { type Response, resumedBytes } from "./resumed-bytes.ts"
import { s3Client } from "./s3-client.ts"
import { isS3Error, removalReason, s3Failure } from "./s3-failure.ts"
import { nextMarkers, nextToken, type UploadMarkers } from "./s3-pages.ts"
import { PartNumberError, S3Upload } from "./s3-upload.ts"
import { type S3Settings, withShorterPrefix } from "./s3-url.ts"
import {
  checkKey,
  checkPrefix,
  isKey,
  NotRemovedError,
  ObjectExistsError,
  ObjectNotFoundError,
  probeBytes,
  type Storage,
  type StoredObject,
} from "./storage.ts"

const removeAtOnce = 1000
const removeSinglyAtOnce = 8
/** How often a probe may store what the service should refuse. */
const conditionTries = 6
const removeProbeMs = 5_000
/** How many parts services are known to take that don't take 10,000. */
const fewerParts = [1000, 100, 10, 1]
/** How long the beginning of an upload may still take after an interruption. */
const beginMs = 3_000

export type S3StorageOptions = {
  readonly signal?: AbortSignal | undefined
  /** How long the service may be silent before a request counts as failed. 60 by default. */
  readonly timeoutSeconds?: number | undefined
}

type SendOptions = { readonly abortSignal?: AbortSignal }

/** An object that the service did not remove, and its words for why. */
type Refused = { readonly key: string; readonly code: string; readonly message: string }

/** Keeps objects in a bucket, each under the settings' prefix and its key. */
export class S3Storage implements Storage {
  readonly url: string
  readonly listsAcrossFolders = true
  readonly #settings: S3Settings
  readonly #client: S3Client
  readonly #signal: AbortSignal | undefined
  readonly #clock = reportedClock()
  readonly #options: S3StorageOptions
  #maxParts: number
  /** What the service makes of If-None-Match. */
  #conditions: "unknown" | "kept" | "refused" | "ignored"
  #removesSingly = false
  #keepsVersions = false

  constructor(settings: S3Settings, options: S3StorageOptions = {}) {
    this.url = settings.url
    this.#maxParts = settings.maxParts
    this.#conditions = settings.isAws ? "kept" : "unknown"
    this.#settings = settings
    this.#signal = options.signal
    this.#options = options
    this.#client = s3Client(settings, options.timeoutSeconds ?? 60, this.#clock)
  }

  get partRules(): PartRules {
    const { isAws, partBytes } = this.#settings
    return { most: this.#maxParts, equal: !isAws, leastBytes: partBytes }
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    for await (const page of this.#pages(prefix, {})) {
      for (const { Key = "", Size = 0, LastModified = new Date(0) } of page.Contents ?? []) {
        const key = Key.slice(this.#settings.prefix.length)
        if (isKey(key)) yield { key, sizeBytes: Size, modifiedAt: LastModified }
      }
    }
  }

  listKeys(prefix: string): Promise<string[]> {
    return Array.fromAsync(this.list(prefix), ({ key }) => key)
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

  async readAtMost(key: string, maxBytes: number): Promise<Buffer> {
    return firstBytes(await this.read(key), maxBytes)
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
    const input = { ...this.#object(key), ...this.#newObject(), Body: body }
    await this.#attempt(`write ${key}`, async (sendOptions) => {
      if (ifAbsent && (await this.#putIfAbsent(key, input, sendOptions))) return
      await this.#client.send(new PutObjectCommand(input), sendOptions)
    })
  }

  async create(key: string): Promise<S3Upload> {
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
          maxParts: this.#maxParts,
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

  async probe(key: string): Promise<string[]> {
    const upload = await this.create(key)
    let notes: string[]
    try {
      notes = await this.#probeParts(upload)
    } finally {
      // Who may not end it can still back up: it goes with the stale uploads.
      await upload.abort().catch(() => {})
    }
    return [...notes, ...(await this.#probeConditions(`${key}-if-none-match`))]
  }

  async remove(keys: readonly string[]): Promise<void> {
    for (const key of keys) checkKey(this.url, key)
    const failures = new Map<string, { reason: string; hint: string }>()
    for (let start = 0; start < keys.length; start += removeAtOnce) {
      const batch = keys.slice(start, start + removeAtOnce)
      const what = batch.length === 1 ? batch[0] : `${batch.length} objects`
      const refused = await this.#attempt(`remove ${what}`, async (options) =>
        this.#removesSingly ? this.#removeSingly(batch, options) : this.#removeTogether(batch, options),
      )
      for (const { key, code, message } of refused)
        failures.set(key, removalReason(this.#settings, code, message))
    }
    if (failures.size > 0) throw new NotRemovedError(this.url, failures, keys.length)
  }

  keepsVersions(): boolean {
    return this.#keepsVersions
  }

  async removeStaleUploads(prefix: string, before: Date): Promise<number | undefined> {
    checkPrefix(this.url, prefix)
    const { bucket: Bucket, prefix: root } = this.#settings
    return this.#attempt(`remove stale uploads below ${prefix || "/"}`, async (options) => {
      let removed = 0
      let next: UploadMarkers | undefined = {}
      while (next) {
        const page: ListMultipartUploadsCommandOutput | undefined = await this.#listUploads(
          { Bucket, Prefix: root + prefix, ...next },
          options,
        )
        if (!page) return undefined
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

  /** What the bucket does with objects by itself, and what their keys begin with there. */
  async bucketRules(): Promise<BucketRules & { readonly prefix: string }> {
    const { bucket, prefix } = this.#settings
    const rules = await this.#attempt("ask for the bucket's rules", (options) =>
      readBucketRules(this.#client, bucket, options),
    )
    return { ...rules, prefix }
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

  async #attempt<T>(action: string, run: (options: SendOptions) => Promise<T>): Promise<T> {
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

  /** Stores an object where there is none. False where it is still to be stored, and there was none just now. */
  async #putIfAbsent(
    key: string,
    input: PutObjectCommandInput & { readonly Body: Uint8Array },
    options: SendOptions,
  ): Promise<boolean> {
    const exists = () => new ObjectExistsError(this.url, key)
    // Who may not look at it at all still gets its object stored.
    if (this.#conditions !== "kept" && ["ours", "another"].includes(await this.#look(key, input.Body)))
      throw exists()
    if (this.#conditions === "refused" || this.#conditions === "ignored") return false
    const send = () => this.#client.send(new PutObjectCommand({ ...input, IfNoneMatch: "*" }), options)
    try {
      const look = () => this.#look(key, input.Body)
      if ((await putIfAbsent({ send, look, signal: this.#signal })) === "another") throw exists()
      return true
    } catch (error) {
      if (!isS3Error(error, 501, "NotImplemented") || this.#settings.isAws) throw error
      if (this.#settings.writeOnce) throw error
      this.#conditions = "refused"
      return false
    }
  }

  /** Stores a part of the highest number that the service takes, in no more than a few tries. */
  async #probeParts(upload: S3Upload): Promise<string[]> {
    const part = Buffer.alloc(probeBytes)
    const most = this.#maxParts
    // AWS's limit is known.
    if (this.#settings.isAws) {
      await upload.write(part)
      return []
    }
    for (const number of [most, ...fewerParts.filter((fewer) => fewer < most)]) {
      try {
        await upload.write(part, number)
      } catch (error) {
        if (number === 1 || !(error instanceof PartNumberError)) throw error
        continue
      }
      if (number === most) return []
      this.#maxParts = number
      return [
        `${this.url} takes no ${most} parts of an object, but ${number}: add max-parts=${number} to its URL, or as many as its service allows`,
      ]
    }
    return []
  }

  /**
   * Finds out whether the service keeps to If-None-Match: with the help of an object of a name of its own, since there
   * must be one for the service to refuse another.
   */
  async #probeConditions(key: string): Promise<string[]> {
    if (this.#conditions !== "unknown") return []
    const conditions = await this.#attempt(`write ${key}`, (options) => this.#conditionsOf(key, options))
    this.#conditions = conditions
    if (conditions === "kept") return []
    const what = conditions === "refused" ? "does not know" : "does not keep to"
    if (this.#settings.writeOnce)
      throw new PgstowError("storage", `${this.url} ${what} If-None-Match, which write-once needs`, {
        hint: "Leave write-once out of the storage's URL.",
      })
    return [
      `${this.url} ${what} If-None-Match: whether an object is there already is looked up before it is written`,
    ]
  }

  async #conditionsOf(key: string, options: SendOptions): Promise<"kept" | "refused" | "ignored"> {
    const input = { ...this.#object(key), ...this.#newObject(), Body: Buffer.from("probe\n") }
    const put = (ifAbsent: boolean) =>
      this.#client.send(new PutObjectCommand(ifAbsent ? { ...input, IfNoneMatch: "*" } : input), options)
    try {
      // Of several runs at once, one may take away what another has just stored.
      for (let tries = 0; tries < conditionTries; tries++) await put(true)
      return "ignored"
    } catch (error) {
      if (isS3Error(error, 412, "ConditionalRequestConflict")) return "kept"
      if (!this.#lacks(error)) throw error
      await put(false)
      return "refused"
    } finally {
      // Also after an interruption, and what a run that was killed has left. Who may not remove it leaves the same small
      // object at each time.
      const abortSignal = AbortSignal.timeout(removeProbeMs)
      await this.#client.send(new DeleteObjectCommand(this.#object(key)), { abortSignal }).catch(() => {})
    }
  }

  /** Undefined where the service has no such list. */
  async #listUploads(
    input: ListMultipartUploadsCommandInput,
    options: SendOptions,
  ): Promise<ListMultipartUploadsCommandOutput | undefined> {
    try {
      return await this.#client.send(new ListMultipartUploadsCommand(input), options)
    } catch (error) {
      if (this.#lacks(error)) return undefined
      throw error
    }
  }

  /** Gives those that the service refused to remove. */
  async #removeTogether(keys: readonly string[], options: SendOptions): Promise<Refused[]> {
    const { bucket: Bucket, prefix } = this.#settings
    const Delete = { Objects: keys.map((key) => ({ Key: prefix + key })) }
    try {
      const answer = await this.#client.send(new DeleteObjectsCommand({ Bucket, Delete }), options)
      this.#keepsVersions ||= answer.Deleted?.some(({ DeleteMarker }) => DeleteMarker) ?? false
      return (answer.Errors ?? []).map(({ Key = "", Code = "", Message = "" }) => ({
        key: keys.find((key) => prefix + key === Key) ?? Key,
        code: Code,
        message: Message,
      }))
    } catch (error) {
      if (!this.#lacks(error)) throw error
      this.#removesSingly = true
      return this.#removeSingly(keys, options)
    }
  }

  async #removeSingly(keys: readonly string[], options: SendOptions): Promise<Refused[]> {
    const refused = await mapConcurrently(keys, removeSinglyAtOnce, async (key): Promise<Refused[]> => {
      try {
        const { DeleteMarker } = await this.#client.send(new DeleteObjectCommand(this.#object(key)), options)
        this.#keepsVersions ||= DeleteMarker ?? false
        return []
      } catch (error) {
        if (isS3Error(error, "NoSuchKey")) return []
        if (!isS3Error(error, 403, 409)) throw error
        return [{ key, code: error.name, message: error.message }]
      }
    })
    return refused.flat()
  }

  /** Whether a service refused a request since it has no such operation. They say so in several ways. */
  #lacks(error: unknown): boolean {
    return (
      !this.#settings.isAws &&
      isS3Error(error, 405, 501, "NotImplemented", "MethodNotAllowed", "InvalidArgument", "InvalidRequest")
    )
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
