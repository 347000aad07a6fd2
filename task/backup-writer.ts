import { type BackupName, keyOf, putManifest } from "./catalog.ts"
import type { Context } from "./context.ts"
import type { Manifest, ManifestObject } from "./core/manifest.ts"
import { messageOf } from "./errors.ts"
import { ObjectExistsError, type Storage } from "./storage/storage.ts"
import { compressOutput, compressStream, type StartProducer } from "./streams/compress.ts"
import { seal } from "./streams/seal.ts"
import { storeObject } from "./streams/store-object.ts"

export type BackupWriterOptions = {
  readonly name: BackupName
  readonly storages: readonly Storage[]
  /** Undefined stores the backup unencrypted. */
  readonly recipients: readonly string[] | undefined
  readonly compressLevel: number
  /** The zstd program, as `findZstd` gave it. */
  readonly zstd: string | undefined
}

/** What is to become an object of the backup. */
export type Piece = {
  readonly kind: ManifestObject["kind"]
  /** Its name in the backup, without the endings that say how it is compressed and sealed. */
  readonly baseName: string
  /** A guess at the bytes before compression. */
  readonly expectedBytes: number
  /** Whether it takes so long that somebody wants to see how far it has come. */
  readonly showProgress: boolean
} & (
  | {
      /** Starts the program whose output it is. */
      readonly start: StartProducer
    }
  | { readonly source: AsyncIterable<Buffer> }
)

/** One backup while it is written to several storages. A storage that fails is left out of what follows. */
export type BackupWriter = {
  /** Why storages failed. */
  readonly failures: ReadonlyMap<Storage, unknown>
  /**
   * Compresses, seals and stores what a program writes, or a stream. Rejects where that fails, or the last
   * storage: then no storage has the object.
   */
  store(piece: Piece): Promise<ManifestObject>
  /** Makes the backup exist. Rejects where it could be made to in no storage. */
  finish(manifest: Manifest): Promise<void>
  /** Removes what was stored from every storage that no manifest was sent to, as far as it lets the writer. */
  discard(): Promise<void>
}

export function backupWriter(options: BackupWriterOptions, context: Context): BackupWriter {
  const { name, storages, recipients, zstd, compressLevel: level } = options
  const { log, progress, signal } = context
  const failures = new Map<Storage, unknown>()
  const manifestSent = new Set<Storage>()
  /** The keys of what each storage holds. */
  const held = new Map<Storage, string[]>(storages.map((storage) => [storage, []]))

  const remaining = () => storages.filter((storage) => !failures.has(storage))
  const fail = (storage: Storage, failure: unknown) => {
    failures.set(storage, failure)
    if (failures.size === storages.length) throw failure
    log.warn(`${storage.url} is left out of this backup: ${messageOf(failure)}`)
  }

  return {
    failures,
    store: async ({ kind, baseName, expectedBytes, showProgress, ...piece }) => {
      const objectName = `${baseName}.zst${recipients ? ".age" : ""}`
      const key = keyOf(name, objectName)
      const { stream, rawBytes } =
        "start" in piece
          ? compressOutput(piece.start, { level, zstd, signal })
          : compressStream(piece.source, level)
      const stage = `backing up ${name.database}`
      const report = () => progress.update({ stage, doneBytes: rawBytes(), totalBytes: expectedBytes })
      const shown = showProgress ? watched(stream, report) : stream
      const sealed = recipients ? seal(shown, recipients) : shown
      // Real data comes to a third or less; a guess too high costs memory, one too low does no harm.
      const stored = await storeObject(sealed, remaining(), key, { expectedBytes: expectedBytes / 3 })
      for (const [storage, failure] of stored.failures) fail(storage, failure)
      for (const storage of remaining()) held.get(storage)?.push(key)
      return {
        name: objectName,
        kind,
        sizeBytes: stored.sizeBytes,
        sha256: stored.sha256,
        rawBytes: rawBytes(),
      }
    },
    finish: async (manifest) => {
      for (const storage of remaining()) {
        manifestSent.add(storage)
        // One that is there already can only be ours, stored by a request whose answer was lost: ids are random.
        const ours = (failure: unknown) => failure instanceof ObjectExistsError
        await putManifest(storage, manifest).catch((failure) => ours(failure) || fail(storage, failure))
      }
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
