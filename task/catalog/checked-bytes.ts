import { createHash } from "node:crypto"
import type { ManifestObject } from "../core/manifest.ts"
import { cut } from "../streams/cut.ts"

const pieceBytes = 1024 * 1024

/** The SHA-256 of each piece of an object, taken while all of it was seen to be what the manifest says. */
const piecesOf = new WeakMap<ManifestObject, readonly string[]>()

/**
 * An object's stored bytes, none of which comes out before all have been read once and found to be what the manifest
 * says. It is read twice, and what the second reading brings is held against the first, a piece at a time: the storage may
 * answer otherwise by then. The first reading is left out where the same manifest's object was so read before.
 *
 * @param read reads the object; fails where it is not what the manifest says, at its end at the latest
 * @param changed the error for bytes that are others than before
 */
export async function* checkedBytes(
  object: ManifestObject,
  read: () => AsyncIterable<Buffer>,
  changed: () => Error,
): AsyncGenerator<Buffer, void, undefined> {
  const pieces = piecesOf.get(object) ?? (await digestsOf(read()))
  piecesOf.set(object, pieces)
  for await (const { index, bytes } of cut(read(), newBuffer))
    if (sha256(bytes) === pieces[index]) yield bytes
    else throw changed()
}

async function digestsOf(source: AsyncIterable<Buffer>): Promise<string[]> {
  const buffer = newBuffer()
  return Array.fromAsync(
    cut(source, () => buffer),
    ({ bytes }) => sha256(bytes),
  )
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex")
}

function newBuffer(): Buffer {
  return Buffer.allocUnsafe(pieceBytes)
}
