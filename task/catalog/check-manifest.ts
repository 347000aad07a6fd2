import { createHash } from "node:crypto"
import { setTimeout as wait } from "node:timers/promises"
import type { Problem } from "../core/check.ts"
import { formatManifest, type Manifest } from "../core/manifest.ts"
import { ObjectNotFoundError, type Storage } from "../storage/storage.ts"
import { keyOf, manifestName } from "./catalog.ts"

const maxTries = 3
const waitMs = 1_000

/**
 * Reads the manifest of a backup that was just written and holds it, byte for byte, against what was sent. Gives
 * what is wrong with it; undefined where it is as it should be.
 *
 * Throws an ObjectNotFoundError where there is none, also a moment later, and what the storage throws.
 */
export async function checkManifest(storage: Storage, manifest: Manifest): Promise<Problem | undefined> {
  const sent = Buffer.from(formatManifest(manifest))
  const found = await readSoon(storage, keyOf(manifest, manifestName), sent.length + 1)
  if (found.equals(sent)) return undefined
  const bytes = ({ length }: Buffer) =>
    length > sent.length ? `more than ${sent.length} bytes` : `${length} bytes`
  const digest = (content: Buffer) => `SHA-256 ${createHash("sha256").update(content).digest("hex")}`
  const measure = found.length === sent.length ? digest : bytes
  return { object: manifestName, expected: measure(sent), found: measure(found) }
}

async function readSoon(storage: Storage, key: string, maxBytes: number, tries = 1): Promise<Buffer> {
  try {
    return await storage.readAtMost(key, maxBytes)
  } catch (error) {
    // A service of many machines may know of it a moment later.
    if (!(error instanceof ObjectNotFoundError) || tries === maxTries) throw error
  }
  await wait(waitMs)
  return readSoon(storage, key, maxBytes, tries + 1)
}
