import { keyOf } from "../catalog/catalog.ts"
import type { Manifest } from "../core/manifest.ts"
import { mapConcurrently } from "../core/map-concurrently.ts"
import { PgstowError } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"

const requestsAtOnce = 8

/**
 * Looks whether a storage still has every object that a manifest names, of the size that it says: somebody may have
 * cleaned up while a long backup was being made. Who may neither list nor look at objects can't tell, and is not
 * stopped.
 *
 * Throws a PgstowError of kind "storage" that names the first one that is not as it was stored.
 */
export async function checkObjects(storage: Storage, manifest: Manifest): Promise<void> {
  const sizes = (await listedSizes(storage, manifest)) ?? (await seenSizes(storage, manifest))
  if (sizes === undefined) return
  for (const { name, sizeBytes } of manifest.objects) {
    const key = keyOf(manifest, name)
    if (sizes.get(key) === sizeBytes) continue
    // A list may be behind.
    const found = (await unlessRefused(() => storage.stat(key)))?.sizeBytes ?? sizes.get(key)
    if (found === sizeBytes) continue
    const how = found === undefined ? "is gone" : `has ${found} bytes in place of ${sizeBytes}`
    throw new PgstowError("storage", `${key} in ${storage.url} ${how} since it was stored`, {
      hint: "Find out what else removes or changes objects there: a cleanup by a wrong clock does, after 48 hours.",
    })
  }
}

/** By key; undefined where the storage does not let us list. */
type Sizes = ReadonlyMap<string, number> | undefined

async function listedSizes(storage: Storage, manifest: Manifest): Promise<Sizes> {
  return unlessRefused(async () => {
    const objects = await Array.fromAsync(storage.list(keyOf(manifest, "")))
    return new Map(objects.map(({ key, sizeBytes }) => [key, sizeBytes]))
  })
}

async function seenSizes(storage: Storage, manifest: Manifest): Promise<Sizes> {
  const keys = manifest.objects.map(({ name }) => keyOf(manifest, name))
  // Who is refused the first one is refused them all.
  const [first = ""] = keys
  if ((await unlessRefused(async () => [await storage.stat(first)])) === undefined) return undefined
  const seen = await mapConcurrently(keys, requestsAtOnce, async (key) => {
    const found = await unlessRefused(() => storage.stat(key))
    return found ? [[key, found.sizeBytes] as const] : []
  })
  return new Map(seen.flat())
}

async function unlessRefused<Result>(ask: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof PgstowError && error.kind === "storage") return undefined
    throw error
  }
}
