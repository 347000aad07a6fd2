import { manifestProblems, refuseProblems } from "../archive/manifest-problems.ts"
import { type JoinedToc, joinToc } from "../archive/table-data.ts"
import { readToc } from "../archive/toc.ts"
import { keyOf } from "../catalog/catalog.ts"
import { type OpenObjectOptions, openObject } from "../catalog/open-object.ts"
import type { Manifest, ManifestObject } from "../core/manifest.ts"
import { PgstowError, useAnotherCopyOfChanged } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { decompressHead } from "../streams/decompress.ts"

/**
 * The head of the main object. It also shows, before anything is made, that the key fits. Throws a PgstowError "damaged"
 * where the manifest does not fit what it says of the tables.
 */
export async function readArchive(
  storage: Storage,
  manifest: Manifest,
  main: ManifestObject,
  { identities, checkFirst, signal }: Pick<OpenObjectOptions, "identities" | "checkFirst" | "signal">,
): Promise<JoinedToc> {
  const stored = await storage.stat(keyOf(manifest, main.name))
  if (stored && stored.sizeBytes !== main.sizeBytes)
    throw new PgstowError(
      "damaged",
      `${stored.key} in ${storage.url} has ${stored.sizeBytes} bytes, and ${main.sizeBytes} by its manifest`,
      { hint: useAnotherCopyOfChanged },
    )
  const source = openObject(storage, manifest, main, { identities, checkFirst, signal })
  const toc = await decompressHead(source, readToc, `${manifest.id} ${main.name}`)
  refuseProblems(manifest.id, manifestProblems(toc.entries, manifest))
  return joinToc(
    toc,
    manifest.objects.filter((object) => object.kind === "segment"),
  )
}
