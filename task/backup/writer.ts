import { type BackupName, keyOf, putManifest } from "../catalog/catalog.ts"
import type { Context } from "../context.ts"
import type { Manifest, ManifestObject } from "../core/manifest.ts"
import { messageOf } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { compressOutput, compressStream, type StartProducer } from "../streams/compress.ts"
import { PartBuffers } from "../streams/part-buffers.ts"
import { seal } from "../streams/seal.ts"
import { storeObject } from "../streams/store-object.ts"
import { checkObjects } from "./check-objects.ts"

export type BackupWriterOptions = {
  readonly name: BackupName
  readonly storages: readonly Storage[]
  /** Undefined stores the backup unencrypted. */
  readonly recipients: readonly string[] | undefined
  readonly compressLevel: number
  /** The zstd program, as `findZstd` gave it. */
  readonly zstd: string | undefined
  /** Storages that are left out from the beginning, and why. At least one other is not. */
  readonly failures?: ReadonlyMap<Storage, unknown>
  /** A guess at the bytes of the whole backup before compression. */
  readonly expectedBytes: number
}

/** What the manifest says of every object. */
export type MeasuredObject = Pick<ManifestObject, "name" | "sizeBytes" | "sha256" | "rawBytes">

/** What is to become an object of the backup. */
export type ObjectSource = {
  /** Its name in the backup, without the endings that say how it is compressed and sealed. */
  readonly baseName: string
  /** A guess at the bytes before compression. */
  readonly expectedBytes: number
} & (
  | {
      /** Starts the program whose output it is. */
      readonly start: StartProducer
      /** Gets its bytes. Then they pass through here, which costs more. */
      readonly onBytes?: ((chunk: Buffer) => void) | undefined
    }
  | { readonly source: AsyncIterable<Buffer> }
)

/** One backup while it is written to several storages. A storage that fails is left out of what follows. */
export type BackupWriter = {
  /** Why storages failed. */
  readonly failures: ReadonlyMap<Storage, unknown>
  /**
   * Compresses, seals and stores what a program writes, or a stream. Rejects where that fails, or the last
   * storage: then no storage has the object, and what else is being stored at that time fails too.
   */
  store(piece: ObjectSource): Promise<MeasuredObject>
  /**
   * Makes the backup exist, in every storage that still has its objects. Rejects where it could be made to in no
   * storage.
   */
  finish(manifest: Manifest): Promise<void>
  /** Removes what was stored from every storage that no manifest was sent to, as far as it lets the writer. */
  discard(): Promise<void>
}

export function backupWriter(options: BackupWriterOptions, context: Context): BackupWriter {
  const { name, storages, recipients, zstd, compressLevel: level, expectedBytes: totalBytes } = options
  const { log, progress } = context
  const stop = new AbortController()
  const signal = AbortSignal.any([context.signal, stop.signal])
  const failures = new Map<Storage, unknown>(options.failures)
  const manifestSent = new Set<Storage>()
  /** The keys of what each storage holds. */
  const held = new Map<Storage, string[]>(storages.map((storage) => [storage, []]))
  const rawBytesOf: (() => number)[] = []
  const buffers = new PartBuffers()

  const remaining = () => storages.filter((storage) => !failures.has(storage))
  const report = () => {
    const doneBytes = rawBytesOf.reduce((sum, rawBytes) => sum + rawBytes(), 0)
    progress.update({ stage: `backing up ${name.database}`, doneBytes, totalBytes })
  }
  const fail = (storage: Storage, failure: unknown) => {
    // It may fail in several streams.
    if (failures.has(storage)) return
    failures.set(storage, failure)
    if (failures.size === storages.length) throw failure
    log.warn(`${storage.url} is left out of this backup: ${messageOf(failure)}`)
  }

  const store = async ({ baseName, expectedBytes, ...piece }: ObjectSource): Promise<MeasuredObject> => {
    const objectName = `${baseName}.zst${recipients ? ".age" : ""}`
    const key = keyOf(name, objectName)
    const { stream, rawBytes } =
      "start" in piece
        ? compressOutput(piece.start, { level, zstd, signal, onBytes: piece.onBytes })
        : compressStream(piece.source, level)
    rawBytesOf.push(rawBytes)
    const shown = watched(stream, report)
    const sealed = recipients ? seal(shown, recipients) : shown
    const takers = remaining()
    // Real data comes to a third or less; a guess too high costs memory, one too low does no harm.
    const stored = await storeObject(sealed, takers, key, { expectedBytes: expectedBytes / 3, buffers })
    for (const storage of takers) if (!stored.failures.has(storage)) held.get(storage)?.push(key)
    for (const [storage, failure] of stored.failures) fail(storage, failure)
    const { sizeBytes, sha256 } = stored
    return { name: objectName, sizeBytes, sha256, rawBytes: rawBytes() }
  }

  return {
    failures,
    store: async (piece) => {
      try {
        return await store(piece)
      } catch (error) {
        stop.abort(error)
        throw error
      }
    },
    finish: async (manifest) => {
      const put = async (storage: Storage) => {
        await checkObjects(storage, manifest)
        manifestSent.add(storage)
        await putManifest(storage, manifest)
      }
      for (const storage of remaining()) await put(storage).catch((failure) => fail(storage, failure))
    },
    discard: async () => {
      // Where a manifest was sent there may be one, whatever the answer: its objects must stay.
      const without = [...held].filter(([storage]) => !manifestSent.has(storage))
      const removals = await Promise.allSettled(without.map(([storage, keys]) => storage.remove(keys)))
      for (const removal of removals)
        if (removal.status === "rejected") log.debug(`left for cleanup: ${messageOf(removal.reason)}`)
    },
  }
}

async function* watched(stream: AsyncIterable<Buffer>, onChunk: () => void): AsyncGenerator<Buffer> {
  for await (const chunk of stream) {
    onChunk()
    yield chunk
  }
}
