import { createHash } from "node:crypto"
import { commonPartRules, mostPartBytes, partBuffers, partSize } from "../core/part-size.ts"
import { PgstowError } from "../errors.ts"
import type { ObjectWriter, Storage } from "../storage/storage.ts"
import { cut } from "./cut.ts"
import { PartBuffers } from "./part-buffers.ts"

export type StoredCopies = {
  readonly sizeBytes: number
  /** In hexadecimal digits, as in the manifest. */
  readonly sha256: string
  /** The storages that do not have the object, and why. At least one other has it. */
  readonly failures: ReadonlyMap<Storage, unknown>
}

/**
 * Stores a stream under `key` in several storages at once, reading it once and no faster than the slowest of
 * them takes it. A storage that fails is left behind while the others go on.
 *
 * Rejects, and leaves nothing readable anywhere, when `source` fails; rejects when every storage has failed.
 * How long a storage may be silent, and what ends it, is the storages' own affair.
 *
 * @param options.expectedBytes how large the object is likely to be, for the size of its parts
 * @param options.buffers what it shares with the objects stored before it and beside it
 */
export async function storeObject(
  source: AsyncIterable<Uint8Array>,
  storages: readonly Storage[],
  key: string,
  options: { readonly expectedBytes: number; readonly buffers?: PartBuffers },
): Promise<StoredCopies> {
  const { expectedBytes, buffers = new PartBuffers() } = options
  const rules = commonPartRules(storages.map(({ partRules }) => partRules))
  if (partSize(0, expectedBytes, rules) > mostPartBytes)
    throw new PgstowError("storage", `${key} would be too large: ${rules.most} parts can't hold it`, {
      hint: "Raise max-parts in the storage's URL where its service allows it, or use more --jobs.",
    })
  const failures = new Map<Storage, unknown>()
  const copies = storages.map((storage) => new Copy(storage, key, failures))
  let filled: Buffer = Buffer.alloc(0)
  const underWay: { readonly buffer: Buffer; readonly done: Promise<unknown> }[] = []
  /** Waits until no more than so many parts are under way. */
  async function settle(most: number): Promise<void> {
    for (const { buffer, done } of underWay.splice(0, underWay.length - most)) {
      await done
      buffers.give(buffer)
    }
  }
  async function bufferFor(index: number): Promise<Buffer> {
    const bytes = partSize(index, expectedBytes, rules)
    await settle(partBuffers(bytes) - 1)
    if (failures.size === copies.length) throw failureOfAll(failures, key)
    filled = buffers.take(bytes)
    return filled
  }

  const hash = createHash("sha256")
  let sizeBytes = 0
  try {
    for await (const { index, bytes, last } of cut(source, bufferFor)) {
      hash.update(bytes)
      sizeBytes += bytes.length
      const isWhole = last && index === 0
      const done = Promise.all(copies.map((copy) => (isWhole ? copy.put(bytes) : copy.write(bytes))))
      underWay.push({ buffer: filled, done })
    }
    await settle(0)
    await Promise.all(copies.map((copy) => copy.finish()))
    if (failures.size === copies.length) throw failureOfAll(failures, key)
  } catch (error) {
    await Promise.all(copies.map((copy) => copy.abort()))
    throw error
  }
  return { sizeBytes, sha256: hash.digest("hex"), failures }
}

/** An object on its way into one storage. Nothing rejects; after a failure it does nothing more. */
class Copy {
  readonly #storage: Storage
  readonly #key: string
  readonly #failures: Map<Storage, unknown>
  #writer: Promise<ObjectWriter> | undefined

  /** @param failures where it puts its own */
  constructor(storage: Storage, key: string, failures: Map<Storage, unknown>) {
    this.#storage = storage
    this.#key = key
    this.#failures = failures
  }

  put(bytes: Buffer): Promise<void> {
    return this.#attempt(() => this.#storage.put(this.#key, bytes))
  }

  write(part: Buffer): Promise<void> {
    return this.#attempt(async () => {
      this.#writer ??= this.#storage.create(this.#key)
      const writer = await this.#writer
      await writer.write(part)
    })
  }

  finish(): Promise<void> {
    return this.#attempt(async () => (await this.#writer)?.finish())
  }

  /** What can't be cleaned up here goes with the stale uploads. */
  async abort(): Promise<void> {
    await Promise.allSettled([this.#writer?.then((writer) => writer.abort())])
  }

  async #attempt(step: () => Promise<void>): Promise<void> {
    if (this.#failures.has(this.#storage)) return
    try {
      await step()
    } catch (reason) {
      if (!this.#failures.has(this.#storage)) this.#failures.set(this.#storage, reason)
      await this.abort()
    }
  }
}

/** One failure for those of every storage; `what` is what none of them took. */
export function failureOfAll(failures: ReadonlyMap<Storage, unknown>, what: string): unknown {
  const reasons = new Set(failures.values())
  const [first] = reasons
  // One storage; or one reason for them all, as when the work is interrupted.
  if (reasons.size === 1) return first
  return new PgstowError("storage", `no storage took ${what}`, { cause: new AggregateError(reasons) })
}
