import { createHash } from "node:crypto"
import type { Manifest, ManifestObject } from "../core/manifest.ts"
import { shownRecipient } from "../core/shown-recipient.ts"
import { PgstowError, useAnotherCopyOfChanged } from "../errors.ts"
import { ObjectNotFoundError, type Storage } from "../storage/storage.ts"
import { unseal } from "../streams/seal.ts"
import { keyOf, proveThere } from "./catalog.ts"
import { checkedBytes } from "./checked-bytes.ts"

export type OpenObjectOptions = {
  /** As `loadIdentities` gave them; not needed for a backup that is not encrypted. */
  readonly identities: readonly string[]
  /**
   * Whether nothing may come out before all of the object was seen to be what the manifest says: for what is run, where
   * the manifest is trusted and the storage is not. The object is then read twice.
   */
  readonly checkFirst: boolean
  readonly signal?: AbortSignal | undefined
  /** Called with the number of stored bytes just read. */
  readonly onBytes?: ((bytes: number) => void) | undefined
}

/**
 * The bytes of a backup's object, decrypted and still compressed. The stream fails, instead of ending, where the
 * stored bytes are not what the manifest says: the last 64 KiB come out only when all have been checked against its
 * SHA-256. What came before may then already have been used, unless it was to be checked first.
 *
 * Throws a PgstowError of kind "damaged" where the object is missing, cut, changed or swapped for another one, of
 * kind "notFound" where the backup is removed meanwhile, of kind "key" where no identity opens it, and what the storage
 * throws.
 */
export async function* openObject(
  storage: Storage,
  manifest: Manifest,
  object: ManifestObject,
  { identities, checkFirst, signal, onBytes }: OpenObjectOptions,
): AsyncGenerator<Buffer, void, undefined> {
  const name = `${keyOf(manifest, object.name)} in ${storage.url}`
  const { encryption } = manifest
  if (encryption.algorithm === "age" && identities.length === 0)
    throw new PgstowError("key", `backup ${manifest.id} is encrypted, and no identity was given`, {
      hint: `Give --identity (PGSTOW_IDENTITY) the file with the key of one of its recipients: ${encryption.recipients.map(shownRecipient).join(", ")}.`,
    })
  const read = () => storedBytes(storage, manifest, object, name, signal, onBytes)
  const stored = checkFirst
    ? checkedBytes(object, read, () => changed(name, "it was changed while it was read"))
    : read()
  if (encryption.algorithm === "none") yield* stored
  else yield* unseal(stored, { name, identities, recipients: encryption.recipients })
}

const holdBackBytes = 64 * 1024

async function* storedBytes(
  storage: Storage,
  manifest: Manifest,
  { name: objectName, sizeBytes, sha256 }: ManifestObject,
  name: string,
  signal: AbortSignal | undefined,
  onBytes: ((bytes: number) => void) | undefined,
): AsyncGenerator<Buffer, void, undefined> {
  const hash = createHash("sha256")
  let readBytes = 0
  const held: Buffer[] = []
  let heldBytes = 0
  for await (const chunk of readObject(storage, manifest, objectName, name)) {
    signal?.throwIfAborted()
    readBytes += chunk.length
    if (readBytes > sizeBytes) throw changed(name, `it is longer than ${sizeBytes} bytes`)
    hash.update(chunk)
    onBytes?.(chunk.length)
    held.push(chunk)
    heldBytes += chunk.length
    // The chunks are not put together: what that allocates would cost more than all else that is done here.
    for (let [first] = held; first && heldBytes - first.length >= holdBackBytes; [first] = held) {
      heldBytes -= first.length
      held.shift()
      yield first
    }
  }
  if (readBytes < sizeBytes) throw changed(name, `it has ${readBytes} of ${sizeBytes} bytes`)
  if (hash.digest("hex") !== sha256) throw changed(name, "its SHA-256 is another")
  yield* held
}

/** The stored bytes. Tells an object that is missing from a backup that was removed while it was read. */
async function* readObject(
  storage: Storage,
  manifest: Manifest,
  objectName: string,
  name: string,
): AsyncGenerator<Buffer, void, undefined> {
  try {
    // Without an encoding, a storage's stream gives buffers.
    yield* (await storage.read(keyOf(manifest, objectName))) as AsyncIterable<Buffer>
  } catch (cause) {
    if (!(cause instanceof ObjectNotFoundError)) throw cause
    await proveThere(storage, manifest)
    throw new PgstowError("damaged", `${name} is missing`, { cause, hint: useAnotherCopyOfChanged })
  }
}

function changed(name: string, how: string): PgstowError {
  const message = `${name} is not what its manifest says: ${how}`
  return new PgstowError("damaged", message, { hint: useAnotherCopyOfChanged })
}
