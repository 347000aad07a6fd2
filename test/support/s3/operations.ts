import { randomBytes } from "node:crypto"
import type { IncomingHttpHeaders } from "node:http"
import { text } from "node:stream/consumers"
import type { Rule } from "./rules.ts"
import { S3Error } from "./s3-error.ts"
import {
  abortUpload,
  addVersion,
  type Bucket,
  completeUpload,
  currentObjects,
  deleteObject,
  findUpload,
  findVersion,
  newBucket,
  newETag,
  type Piece,
  readPieces,
  removePieces,
  type StoredVersion,
  storePiece,
  type Upload,
} from "./store.ts"
import { elementsOf, formatXml, textOf, type Xml } from "./xml.ts"

export type Service = {
  /** Where the bytes of all objects are kept. */
  readonly folder: string
  readonly buckets: Map<string, Bucket>
  /** What it asks for beside what S3 does. */
  readonly rules: Set<Rule>
}

export type S3Request = {
  readonly operation: Operation
  readonly bucket: string
  readonly key: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  /** The body, checked against what its headers say of it. */
  readonly body: AsyncIterable<Buffer>
}

export type Answer = {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string | number>>
  readonly body?: string | AsyncIterable<Buffer>
}

const kept = [
  "content-type",
  "x-amz-storage-class",
  "x-amz-server-side-encryption",
  "x-amz-server-side-encryption-aws-kms-key-id",
]

const operations = {
  async CreateBucket({ buckets }: Service, { bucket: name }: S3Request): Promise<Answer> {
    if (buckets.has(name)) throw new S3Error(409, "BucketAlreadyOwnedByYou")
    buckets.set(name, newBucket(name))
    return {}
  },

  async HeadBucket(service: Service, request: S3Request): Promise<Answer> {
    bucketOf(service, request)
    return {}
  },

  async PutBucketVersioning(service: Service, request: S3Request): Promise<Answer> {
    bucketOf(service, request).isVersioned = textOf(await text(request.body), "Status") === "Enabled"
    return {}
  },

  async GetBucketVersioning(service: Service, request: S3Request): Promise<Answer> {
    const { isVersioned } = bucketOf(service, request)
    return xmlAnswer("VersioningConfiguration", { Status: isVersioned ? "Enabled" : undefined })
  },

  async GetObjectLockConfiguration(service: Service, request: S3Request): Promise<Answer> {
    const { lockXml } = bucketOf(service, request)
    if (lockXml === undefined) throw new S3Error(404, "ObjectLockConfigurationNotFoundError")
    return { headers: { "content-type": "application/xml" }, body: lockXml }
  },

  async PutObjectLockConfiguration(service: Service, request: S3Request): Promise<Answer> {
    bucketOf(service, request).lockXml = await text(request.body)
    return {}
  },

  async GetBucketLifecycleConfiguration(service: Service, request: S3Request): Promise<Answer> {
    const { lifecycleXml } = bucketOf(service, request)
    if (lifecycleXml === undefined) throw new S3Error(404, "NoSuchLifecycleConfiguration")
    return { headers: { "content-type": "application/xml" }, body: lifecycleXml }
  },

  /** Kept and given back, and carried out by nobody. */
  async PutBucketLifecycleConfiguration(service: Service, request: S3Request): Promise<Answer> {
    bucketOf(service, request).lifecycleXml = await text(request.body)
    return {}
  },

  async PutObject(service: Service, request: S3Request): Promise<Answer> {
    const bucket = bucketOf(service, request)
    const piece = await storePiece(service.folder, request.body)
    const object = { etag: newETag(), pieces: [piece], headers: keptHeaders(request) }
    return {
      headers: versionHeaders(await addVersion(bucket, request.key, object, ifAbsent(service, request))),
    }
  },

  async GetObject(service: Service, request: S3Request): Promise<Answer> {
    const version = findVersion(bucketOf(service, request), request.key, request.query.get("versionId"))
    const { "if-match": wanted, range } = request.headers
    if (wanted !== undefined && wanted !== version.etag) throw new S3Error(412, "PreconditionFailed")
    const { start, end } = rangeOf(range, version.sizeBytes)
    const headers = { ...objectHeaders(version), "content-length": end - start }
    const body = readPieces(version.pieces, start, end)
    if (range === undefined) return { headers, body }
    const contentRange = `bytes ${start}-${end - 1}/${version.sizeBytes}`
    return { status: 206, headers: { ...headers, "content-range": contentRange }, body }
  },

  async HeadObject(service: Service, request: S3Request): Promise<Answer> {
    const version = findVersion(bucketOf(service, request), request.key, request.query.get("versionId"))
    return { headers: { ...objectHeaders(version), "content-length": version.sizeBytes } }
  },

  async DeleteObject(service: Service, request: S3Request): Promise<Answer> {
    const marker = await deleteObject(bucketOf(service, request), request.key, request.query.get("versionId"))
    return { status: 204, headers: marker ? { "x-amz-delete-marker": "true" } : {} }
  },

  async DeleteObjects(service: Service, request: S3Request): Promise<Answer> {
    const bucket = bucketOf(service, request)
    if (!Object.keys(request.headers).some((name) => /^(content-md5|x-amz-checksum-.+)$/.test(name)))
      throw new S3Error(400, "InvalidRequest", { message: "DeleteObjects needs a checksum" })
    const xml = await text(request.body)
    const objects = elementsOf(xml, "Object")
    if (objects.length > 1000) throw new S3Error(400, "MalformedXML", { message: "more than 1000 objects" })
    const Deleted: Xml[] = []
    const Errors: Xml[] = []
    for (const object of objects) {
      const Key = textOf(object, "Key") ?? ""
      try {
        const isMarked = await deleteObject(bucket, Key, textOf(object, "VersionId"))
        Deleted.push(isMarked ? { Key, DeleteMarker: true } : { Key })
      } catch (error) {
        if (!(error instanceof S3Error)) throw error
        Errors.push({ Key, Code: error.code, Message: error.message })
      }
    }
    const isQuiet = textOf(xml, "Quiet") === "true"
    return xmlAnswer("DeleteResult", { ...(isQuiet ? {} : { Deleted }), Error: Errors })
  },

  async ListObjectsV2(service: Service, request: S3Request): Promise<Answer> {
    const bucket = bucketOf(service, request)
    const prefix = request.query.get("prefix") ?? ""
    const delimiter = request.query.get("delimiter") ?? ""
    const maxKeys = Math.min(Number(request.query.get("max-keys") ?? 1000), 1000)
    const after = Buffer.from(request.query.get("continuation-token") ?? "", "base64").toString()

    const Contents: Xml[] = []
    const folders = new Set<string>()
    let last = after
    let isTruncated = false
    for (const [key, version] of currentObjects(bucket)) {
      if (
        !key.startsWith(prefix) ||
        key <= after ||
        (after.endsWith(delimiter || "\0") && key.startsWith(after))
      )
        continue
      const cut = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length)
      const folder = cut < 0 ? undefined : key.slice(0, cut + delimiter.length)
      if (folder !== undefined && folders.has(folder)) continue
      isTruncated = Contents.length + folders.size >= maxKeys
      if (isTruncated) break
      last = folder ?? key
      if (folder !== undefined) folders.add(folder)
      else
        Contents.push({
          Key: key,
          LastModified: version.modifiedAt.toISOString(),
          ETag: version.etag,
          Size: version.sizeBytes,
          StorageClass: version.headers["x-amz-storage-class"] ?? "STANDARD",
        })
    }
    return xmlAnswer("ListBucketResult", {
      Name: bucket.name,
      Prefix: prefix,
      Delimiter: delimiter || undefined,
      MaxKeys: maxKeys,
      KeyCount: Contents.length + folders.size,
      IsTruncated: isTruncated,
      NextContinuationToken: isTruncated ? Buffer.from(last).toString("base64") : undefined,
      Contents,
      CommonPrefixes: [...folders].map((folder) => ({ Prefix: folder })),
    })
  },

  async CreateMultipartUpload(service: Service, request: S3Request): Promise<Answer> {
    const bucket = bucketOf(service, request)
    const { key } = request
    const id = randomBytes(16).toString("hex")
    const headers = keptHeaders(request)
    const declared = request.headers["x-amz-checksum-algorithm"]
    const checksumHeader = declared && `x-amz-checksum-${String(declared).toLowerCase()}`
    bucket.uploads.set(id, { id, key, startedAt: new Date(), headers, checksumHeader, parts: new Map() })
    return xmlAnswer("InitiateMultipartUploadResult", { Bucket: bucket.name, Key: key, UploadId: id })
  },

  async UploadPart(service: Service, request: S3Request): Promise<Answer> {
    const bucket = bucketOf(service, request)
    const uploadId = request.query.get("uploadId")
    const number = Number(request.query.get("partNumber"))
    if (!Number.isInteger(number) || number < 1 || number > 10_000) throw new S3Error(400, "InvalidArgument")
    const { checksumHeader } = findUpload(bucket, request.key, uploadId)
    const checksums = Object.entries(request.headers).filter(([name]) => name.startsWith("x-amz-checksum-"))
    if (service.rules.has("parts-declare-checksums"))
      for (const [name] of checksums)
        if (name !== checksumHeader)
          throw new S3Error(400, "InvalidRequest", { message: `${name} was not declared for this upload` })
    const piece = await storePiece(service.folder, request.body)
    const { parts } = await uploadStillOpen(bucket, request.key, uploadId, piece)
    const before = parts.get(number)
    const etag = newETag()
    const checksum = checksums.map(([, value]) => String(value))[0]
    parts.set(number, { ...piece, etag, checksum, modifiedAt: new Date() })
    await removePieces(before ? [before] : [])
    return { headers: { etag } }
  },

  async CompleteMultipartUpload(service: Service, request: S3Request): Promise<Answer> {
    const bucket = bucketOf(service, request)
    const xml = await text(request.body)
    const upload = findUpload(bucket, request.key, request.query.get("uploadId"))
    const named = elementsOf(xml, "Part").map((part) => ({
      number: Number(textOf(part, "PartNumber")),
      etag: textOf(part, "ETag") ?? "",
      checksum: ["CRC32", "CRC32C", "SHA1", "SHA256"].flatMap(
        (name) => textOf(part, `Checksum${name}`) ?? [],
      )[0],
    }))
    checkNamedParts(service, upload, named)
    const { etag } = await completeUpload(bucket, upload, named, ifAbsent(service, request))
    return xmlAnswer("CompleteMultipartUploadResult", { Bucket: bucket.name, Key: upload.key, ETag: etag })
  },

  async AbortMultipartUpload(service: Service, request: S3Request): Promise<Answer> {
    const bucket = bucketOf(service, request)
    await abortUpload(bucket, findUpload(bucket, request.key, request.query.get("uploadId")))
    return { status: 204 }
  },

  async ListParts(service: Service, request: S3Request): Promise<Answer> {
    const { parts } = findUpload(bucketOf(service, request), request.key, request.query.get("uploadId"))
    const sorted = [...parts].toSorted(([a], [b]) => a - b)
    return xmlAnswer("ListPartsResult", {
      IsTruncated: false,
      Part: sorted.map(([number, { etag, sizeBytes, modifiedAt }]) => ({
        PartNumber: number,
        LastModified: modifiedAt.toISOString(),
        ETag: etag,
        Size: sizeBytes,
      })),
    })
  },

  async ListMultipartUploads(service: Service, request: S3Request): Promise<Answer> {
    const bucket = bucketOf(service, request)
    const { query } = request
    const after = [query.get("key-marker") ?? "", query.get("upload-id-marker") ?? ""]
    const maxUploads = Math.min(Number(query.get("max-uploads") ?? 1000), 1000)
    const sortsAs = (upload: { key: string; id: string }) => `${upload.key}\0${upload.id}`
    const uploads = [...bucket.uploads.values()]
      .filter(
        (upload) => upload.key.startsWith(query.get("prefix") ?? "") && sortsAs(upload) > after.join("\0"),
      )
      .toSorted((a, b) => (sortsAs(a) < sortsAs(b) ? -1 : 1))
    const page = uploads.slice(0, maxUploads)
    const isTruncated = uploads.length > maxUploads
    return xmlAnswer("ListMultipartUploadsResult", {
      Bucket: bucket.name,
      IsTruncated: isTruncated,
      NextKeyMarker: isTruncated ? page.at(-1)?.key : undefined,
      NextUploadIdMarker: isTruncated ? page.at(-1)?.id : undefined,
      Upload: page.map(({ key, id, startedAt }) => ({
        Key: key,
        UploadId: id,
        Initiated: startedAt.toISOString(),
      })),
    })
  },
}

export type Operation = keyof typeof operations

export function carryOut(service: Service, request: S3Request): Promise<Answer> {
  return operations[request.operation](service, request)
}

/** The operation that a request asks for; undefined where this endpoint has none such. */
export function operationOf(method: string, key: string, query: URLSearchParams): Operation | undefined {
  const has = (name: string) => query.has(name)
  if (key === "") {
    if (method === "PUT" && has("lifecycle")) return "PutBucketLifecycleConfiguration"
    if (method === "PUT" && has("object-lock")) return "PutObjectLockConfiguration"
    if (method === "PUT") return has("versioning") ? "PutBucketVersioning" : "CreateBucket"
    if (method === "HEAD") return "HeadBucket"
    if (method === "GET" && has("versioning")) return "GetBucketVersioning"
    if (method === "GET" && has("object-lock")) return "GetObjectLockConfiguration"
    if (method === "GET" && has("lifecycle")) return "GetBucketLifecycleConfiguration"
    if (method === "GET" && has("uploads")) return "ListMultipartUploads"
    if (method === "GET" && query.get("list-type") === "2") return "ListObjectsV2"
    if (method === "POST" && has("delete")) return "DeleteObjects"
    return undefined
  }
  if (method === "PUT") return has("uploadId") ? "UploadPart" : "PutObject"
  if (method === "GET") return has("uploadId") ? "ListParts" : "GetObject"
  if (method === "HEAD") return "HeadObject"
  if (method === "DELETE") return has("uploadId") ? "AbortMultipartUpload" : "DeleteObject"
  if (method === "POST" && has("uploads")) return "CreateMultipartUpload"
  if (method === "POST" && has("uploadId")) return "CompleteMultipartUpload"
  return undefined
}

function bucketOf({ buckets }: Service, { bucket: name }: S3Request): Bucket {
  const bucket = buckets.get(name)
  if (!bucket) throw new S3Error(404, "NoSuchBucket", { message: "The specified bucket does not exist" })
  return bucket
}

/** An upload may be ended while one of its parts comes in: what came is then thrown away. */
async function uploadStillOpen(bucket: Bucket, key: string, id: string | null, piece: Piece) {
  try {
    return findUpload(bucket, key, id)
  } catch (error) {
    await removePieces([piece])
    throw error
  }
}

/** Throws where the parts that are to make an object are against one of the service's rules, or not what came. */
function checkNamedParts(
  { rules }: Service,
  { checksumHeader, parts }: Upload,
  named: readonly { readonly number: number; readonly checksum: string | undefined }[],
): void {
  const sizes = named.slice(0, -1).map(({ number }) => parts.get(number)?.sizeBytes)
  if (rules.has("equal-parts") && new Set(sizes).size > 1)
    throw new S3Error(400, "InvalidPart", { message: "All non-trailing parts must have the same length." })
  for (const { number, checksum } of named) {
    if (rules.has("complete-needs-checksums") && checksumHeader !== undefined && checksum === undefined)
      throw new S3Error(400, "InvalidRequest", {
        message: `The upload was created using a checksum, part ${number} lacks one`,
      })
    if (checksum !== undefined && checksum !== parts.get(number)?.checksum)
      throw new S3Error(400, "InvalidPart", { message: `the checksum of part ${number}` })
  }
}

function ifAbsent({ rules }: Service, { headers }: S3Request): boolean {
  const condition = headers["if-none-match"]
  if (rules.has("ignores-if-none-match")) return false
  if (condition !== undefined && condition !== "*") throw new S3Error(501, "NotImplemented")
  return condition === "*"
}

function keptHeaders({ headers }: S3Request): Record<string, string> {
  const pairs = Object.entries(headers).filter(
    ([name]) => kept.includes(name) || name.startsWith("x-amz-meta-"),
  )
  return Object.fromEntries(pairs.map(([name, value]) => [name, String(value)]))
}

function objectHeaders(version: StoredVersion): Record<string, string> {
  return {
    ...version.headers,
    ...versionHeaders(version),
    "accept-ranges": "bytes",
    "last-modified": version.modifiedAt.toUTCString(),
  }
}

function versionHeaders({ etag, versionId }: StoredVersion): Record<string, string> {
  return { etag, ...(versionId === "null" ? {} : { "x-amz-version-id": versionId }) }
}

/** The bytes that a Range header asks for; all of them without one. */
function rangeOf(range: string | undefined, sizeBytes: number): { start: number; end: number } {
  if (range === undefined) return { start: 0, end: sizeBytes }
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(range) ?? []
  if (from === undefined) throw new S3Error(501, "NotImplemented", { message: `range ${range}` })
  const end = to ? Math.min(Number(to) + 1, sizeBytes) : sizeBytes
  if (Number(from) >= end) throw new S3Error(416, "InvalidRange")
  return { start: Number(from), end }
}

function xmlAnswer(root: string, content: Xml): Answer {
  return { headers: { "content-type": "application/xml" }, body: formatXml(root, content) }
}
