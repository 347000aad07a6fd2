import { createHash } from "node:crypto"
import { Writable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { keyOf, proofHoldsMs, proveThere } from "../catalog/catalog.ts"
import type { ProgressUpdate } from "../console/progress.ts"
import type { Problem } from "../core/check.ts"
import { heldProof } from "../core/held-proof.ts"
import { type Manifest, type ManifestObject, storedBytes } from "../core/manifest.ts"
import { mapConcurrently } from "../core/map-concurrently.ts"
import { messageOf, PgstowError } from "../errors.ts"
import { ObjectNotFoundError, type Storage } from "../storage/storage.ts"

const objectsAtOnce = 4

export type VerifyOptions = {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((update: ProgressUpdate) => void) | undefined
}

/**
 * Reads every object of a backup and holds its size and SHA-256 against the manifest. Needs no key and constant
 * memory. Gives what is wrong, in the order of the manifest: nothing, if the backup is as it was written.
 *
 * Throws where the storage can't be reached, where the backup is removed meanwhile, and on `signal`: none of
 * these says anything of the backup.
 */
export async function verifyBackup(
  storage: Storage,
  manifest: Manifest,
  { signal, onProgress }: VerifyOptions = {},
): Promise<Problem[]> {
  const totalBytes = storedBytes(manifest)
  const stage = `verifying ${manifest.id}`
  let doneBytes = 0
  // Where many objects can't be read, it is asked for all of them.
  const prove = heldProof(() => proveThere(storage, manifest), proofHoldsMs)
  const problems = await mapConcurrently(manifest.objects, objectsAtOnce, (object) =>
    verifyObject(storage, manifest, object, signal, prove, (bytes) => {
      doneBytes += bytes
      onProgress?.({ stage, doneBytes, totalBytes, detail: object.name })
    }),
  )
  const found = problems.filter((problem) => problem !== undefined)
  // That an object is missing, a storage that answers has said: there it is enough to ask at the end.
  if (found.some((problem) => problem.found === missing)) await proveThere(storage, manifest)
  return found
}

const missing = "no such object"

async function verifyObject(
  storage: Storage,
  manifest: Manifest,
  { name, sizeBytes, sha256 }: ManifestObject,
  signal: AbortSignal | undefined,
  prove: () => Promise<void>,
  onBytes: (bytes: number) => void,
): Promise<Problem | undefined> {
  signal?.throwIfAborted()
  const problem = (expected: string, found: string): Problem => ({ object: name, expected, found })
  const hash = createHash("sha256")
  let readBytes = 0
  const measure = new Writable({
    write: (chunk: Uint8Array, _encoding, done) => {
      hash.update(chunk)
      readBytes += chunk.length
      onBytes(chunk.length)
      done()
    },
  })
  try {
    await pipeline(await storage.read(keyOf(manifest, name)), measure, signal ? { signal } : {})
  } catch (error) {
    signal?.throwIfAborted()
    if (!(error instanceof PgstowError)) throw error
    if (error instanceof ObjectNotFoundError) return problem(`${sizeBytes} bytes`, missing)
    await prove()
    return problem(`${sizeBytes} bytes`, `unreadable: ${messageOf(error)}`)
  }
  if (readBytes !== sizeBytes) return problem(`${sizeBytes} bytes`, `${readBytes} bytes`)
  const digest = hash.digest("hex")
  return digest === sha256 ? undefined : problem(`SHA-256 ${sha256}`, `SHA-256 ${digest}`)
}
