import { joinedArchive } from "../archive/table-data.ts"
import { openObject } from "../catalog/open-object.ts"
import type { Manifest, ManifestObject } from "../core/manifest.ts"
import { PgstowError, useAnotherCopy } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { decompress } from "../streams/decompress.ts"
import { readArchive } from "./read-archive.ts"

export type OpenContentOptions = {
  readonly identities: readonly string[]
  /** As openObject takes it. */
  readonly checkFirst: boolean
  readonly signal: AbortSignal
  /** Called with the number of stored bytes just read. */
  readonly onBytes?: ((bytes: number) => void) | undefined
}

/**
 * What was put into an object, decrypted and decompressed. The stream fails, instead of ending, where that is not what
 * the manifest says; what came before may then already have been used.
 */
export async function* openContent(
  storage: Storage,
  manifest: Manifest,
  object: ManifestObject,
  options: OpenContentOptions,
): AsyncGenerator<Buffer> {
  const name = `${manifest.id} ${object.name}`
  let bytes = 0
  for await (const chunk of decompress(
    openObject(storage, manifest, object, options),
    name,
    object.rawBytes,
  )) {
    bytes += chunk.length
    yield chunk
  }
  if (bytes !== object.rawBytes)
    throw new PgstowError("damaged", `${name} has ${bytes} of ${object.rawBytes} bytes`, {
      hint: useAnotherCopy,
    })
}

/** All of a backup's database as one archive in pg_dump's custom format, and what that begins with up to the rows. */
export async function openArchive(
  storage: Storage,
  manifest: Manifest,
  main: ManifestObject,
  options: OpenContentOptions,
): Promise<{ readonly head: Buffer; readonly archive: AsyncGenerator<Buffer> }> {
  const joined = await readArchive(storage, manifest, main, options)
  const open = (object: ManifestObject) => openContent(storage, manifest, object, options)
  return {
    head: joined.head,
    archive: joinedArchive(() => open(main), joined, ["archive", ...joined.tables], open),
  }
}
