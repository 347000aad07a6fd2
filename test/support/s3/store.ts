import { randomBytes } from "node:crypto"
import { createReadStream } from "node:fs"
import { open, unlink } from "node:fs/promises"
import { join } from "node:path"
import { S3Error } from "./s3-error.ts"

/** Bytes in a file of their own. */
export type Piece = { readonly path: string; readonly sizeBytes: number }

/** One version of an object; a delete marker has no pieces. */
export type StoredVersion = {
  readonly versionId: string
  readonly etag: string
  readonly modifiedAt: Date
  readonly isDeleted: boolean
  readonly pieces: readonly Piece[]
  readonly sizeBytes: number
  /** Headers that it was stored with and is answered with: content type, storage class, encryption. */
  readonly headers: Readonly<Record<string, string>>
}

export type Part = Piece & {
  readonly etag: string
  /** The x-amz-checksum-… that it came with. */
  readonly checksum: string | undefined
  readonly modifiedAt: Date
}

export type Upload = {
  readonly id: string
  readonly key: string
  readonly startedAt: Date
  readonly headers: Readonly<Record<string, string>>
  /** The header of the checksum that was declared for its parts. */
  readonly checksumHeader: string | undefined
  readonly parts: Map<number, Part>
}

export type Bucket = {
  readonly name: string
  isVersioned: boolean
  /** By key, the newest version first. */
  readonly objects: Map<string, StoredVersion[]>
  /** By upload id. */
  readonly uploads: Map<string, Upload>
  /** Keys that nobody may remove or hide, as by a legal hold where no versions are kept. */
  readonly locked: Set<string>
  /** Documents that were put, and are given back as they are. */
  lockXml?: string
  lifecycleXml?: string
}

export function newBucket(name: string): Bucket {
  return { name, isVersioned: false, objects: new Map(), uploads: new Map(), locked: new Set() }
}

const minPartBytes = 5 * 1024 * 1024

/** An ETag that nobody can take for an MD5, as S3's own are not where KMS encrypts. */
export function newETag(parts?: number): string {
  return `"${randomBytes(16).toString("hex")}${parts === undefined ? "" : `-${parts}`}"`
}

/** Writes bytes to a new file in `folder`; leaves none where that fails. */
export async function storePiece(folder: string, bytes: AsyncIterable<Buffer>): Promise<Piece> {
  const path = join(folder, randomBytes(12).toString("hex"))
  await using file = await open(path, "wx")
  let sizeBytes = 0
  try {
    for await (const chunk of bytes) {
      await file.writeFile(chunk)
      sizeBytes += chunk.length
    }
  } catch (error) {
    await unlink(path)
    throw error
  }
  return { path, sizeBytes }
}

/** The bytes from `start` to `end` (exclusive) of pieces laid end to end. */
export async function* readPieces(
  pieces: readonly Piece[],
  start: number,
  end: number,
): AsyncGenerator<Buffer, void> {
  let before = 0
  for (const { path, sizeBytes } of pieces) {
    const from = Math.max(start - before, 0)
    const to = Math.min(end - before, sizeBytes)
    before += sizeBytes
    if (from < to) yield* createReadStream(path, { start: from, end: to - 1, highWaterMark: 256 * 1024 })
  }
}

export async function removePieces(pieces: Iterable<Piece>): Promise<void> {
  for (const { path } of pieces) await unlink(path)
}

/** The newest version, or the one named. Throws where there is none. */
export function findVersion(bucket: Bucket, key: string, versionId?: string | null): StoredVersion {
  const versions = bucket.objects.get(key) ?? []
  const found = versionId ? versions.find((version) => version.versionId === versionId) : versions[0]
  if (!found) throw new S3Error(404, versionId ? "NoSuchVersion" : "NoSuchKey")
  if (found.isDeleted) throw new S3Error(versionId ? 405 : 404, versionId ? "MethodNotAllowed" : "NoSuchKey")
  return found
}

/** The keys with a newest version that is no delete marker, in the order of their bytes, with that version. */
export function currentObjects(bucket: Bucket): [key: string, version: StoredVersion][] {
  const current: [string, StoredVersion][] = []
  for (const [key, [newest]] of bucket.objects) if (newest && !newest.isDeleted) current.push([key, newest])
  return current.toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
}

/**
 * Makes pieces the newest version of a key. With `ifAbsent`, throws where there is one already, in the same
 * turn in which the version would have been made.
 */
export async function addVersion(
  bucket: Bucket,
  key: string,
  object: Pick<StoredVersion, "etag" | "pieces" | "headers">,
  ifAbsent: boolean,
): Promise<StoredVersion> {
  const before = bucket.objects.get(key) ?? []
  if (ifAbsent && before[0] && !before[0].isDeleted) {
    await removePieces(object.pieces)
    throw new S3Error(412, "PreconditionFailed", { message: "there is such an object already" })
  }
  const sizeBytes = object.pieces.reduce((sum, piece) => sum + piece.sizeBytes, 0)
  const version = { ...object, ...newVersion(bucket), isDeleted: false, sizeBytes }
  bucket.objects.set(key, bucket.isVersioned ? [version, ...before] : [version])
  if (!bucket.isVersioned) await removePieces(before.flatMap(({ pieces }) => pieces))
  return version
}

/**
 * Deletes one version for good, or hides a key behind a delete marker where the bucket keeps versions. Whether it made
 * such a marker.
 */
export async function deleteObject(bucket: Bucket, key: string, versionId?: string | null): Promise<boolean> {
  if (bucket.locked.has(key))
    throw new S3Error(403, "AccessDenied", {
      message: "Access Denied because object protected by object lock.",
    })
  const before = bucket.objects.get(key) ?? []
  if (bucket.isVersioned && !versionId) {
    const marker = { ...newVersion(bucket), isDeleted: true, etag: "", pieces: [], sizeBytes: 0, headers: {} }
    bucket.objects.set(key, [marker, ...before])
    return true
  }
  const goes = before.filter((version) => !versionId || version.versionId === versionId)
  const stays = before.filter((version) => !goes.includes(version))
  if (stays.length > 0) bucket.objects.set(key, stays)
  else bucket.objects.delete(key)
  await removePieces(goes.flatMap(({ pieces }) => pieces))
  return false
}

export function findUpload(bucket: Bucket, key: string, id: string | null): Upload {
  const upload = bucket.uploads.get(id ?? "")
  if (!upload || upload.key !== key) throw new S3Error(404, "NoSuchUpload")
  return upload
}

/** Ends an upload as a version made of the parts that are named, in that order. */
export async function completeUpload(
  bucket: Bucket,
  upload: Upload,
  named: readonly { readonly number: number; readonly etag: string }[],
  ifAbsent: boolean,
): Promise<StoredVersion> {
  if (named.length === 0) throw new S3Error(400, "MalformedXML", { message: "no part is named" })
  const pieces = named.map(({ number, etag }, index) => {
    const part = upload.parts.get(number)
    if (!part || part.etag !== etag) throw new S3Error(400, "InvalidPart", { message: `part ${number}` })
    if (number <= (named[index - 1]?.number ?? 0)) throw new S3Error(400, "InvalidPartOrder")
    if (part.sizeBytes < minPartBytes && index < named.length - 1) throw new S3Error(400, "EntityTooSmall")
    return part
  })
  const existing = bucket.objects.get(upload.key)?.[0]
  if (ifAbsent && existing && !existing.isDeleted) throw new S3Error(412, "PreconditionFailed")
  bucket.uploads.delete(upload.id)
  const object = { etag: newETag(pieces.length), pieces, headers: upload.headers }
  const version = await addVersion(bucket, upload.key, object, false)
  await removePieces([...upload.parts.values()].filter((part) => !pieces.includes(part)))
  return version
}

export async function abortUpload(bucket: Bucket, upload: Upload): Promise<void> {
  bucket.uploads.delete(upload.id)
  await removePieces(upload.parts.values())
}

function newVersion(bucket: Bucket): { versionId: string; modifiedAt: Date } {
  return { versionId: bucket.isVersioned ? randomBytes(12).toString("hex") : "null", modifiedAt: new Date() }
}
