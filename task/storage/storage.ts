import type { Readable } from "node:stream"
import type { PartRules } from "../core/part-size.ts"
import { PgstowError } from "../errors.ts"

/** What a storage says of one object. Keys are relative to the storage's root and use "/". */
export type StoredObject = { readonly key: string; readonly sizeBytes: number; readonly modifiedAt: Date }

/**
 * A place that keeps objects under keys: a directory, or a bucket with a prefix.
 *
 * Every method rejects with a PgstowError of kind "storage" whose message names this storage's `url`, the
 * operation and the key, with a hint where one is known; or with an ObjectNotFoundError, an ObjectExistsError or a
 * NotAnObjectError; or, once the signal that the storage was opened with has aborted, with that signal's reason.
 * Keys are as `checkKey` says; anything else is refused before it touches the storage. What a storage holds
 * under other names is none of pgstow's, and never listed.
 */
export interface Storage {
  /** What tells this storage from others, without secrets: for messages, logs and results. */
  readonly url: string

  /** What it asks of the parts of an object: at most 10,000 on S3, any in a directory. */
  readonly partRules: PartRules

  /**
   * Whether to list all objects below a folder takes fewer requests than to list each folder in it: in a bucket, where
   * one answer names a thousand, whatever folders they are in.
   */
  readonly listsAcrossFolders: boolean

  /** Every object below `prefix` (a folder ending in "/", or "" for all), in the order of its key's bytes. */
  list(prefix: string): AsyncIterable<StoredObject>

  /** The keys of what `list` gives. What is removed meanwhile may still be among them. */
  listKeys(prefix: string): Promise<string[]>

  /**
   * The names of the folders directly below `prefix` (as in `list`), without a slash, sorted. With `evenEmpty`, those
   * in which there is no object may be among them, where they are to be had sooner.
   */
  listFolders(prefix: string, options?: { readonly evenEmpty?: boolean }): Promise<string[]>

  /** The bytes of an object, from `offset` on. Rejects, or the stream fails, where not all of it can be had. */
  read(key: string, options?: { readonly offsetBytes?: number }): Promise<Readable>

  /** The first `maxBytes` bytes of an object, or all of a smaller one. Reads no more than that, but for a chunk. */
  readAtMost(key: string, maxBytes: number): Promise<Buffer>

  /** What is known of an object without reading it; undefined where there is none. */
  stat(key: string): Promise<StoredObject | undefined>

  /**
   * Stores `body` under `key`, all of it or nothing. Where a remote storage's last answer was lost, it may be
   * stored although this rejects: remove nothing that it vouches for.
   * With `ifAbsent`, rejects with ObjectExistsError where something is there already, and leaves that as it is.
   */
  put(key: string, body: Uint8Array, options?: { readonly ifAbsent?: boolean }): Promise<void>

  /** Begins an object of several parts. Nothing is readable at `key` until `finish` has resolved. */
  create(key: string): Promise<ObjectWriter>

  /**
   * Proves that bytes can be stored under `key` now, and leaves nothing: rejects with what a backup would fail of.
   * Needs no right that storing an object does not need. Gives sentences on what the service lacks and pgstow does
   * without, each once.
   */
  probe(key: string): Promise<string[]>

  /**
   * Removes objects, in no certain order. Those that do not exist are no error. Rejects with a NotRemovedError that
   * names each which had to stay, when all the others are gone.
   */
  remove(keys: readonly string[]): Promise<void>

  /** Whether what it removed last is kept on as an older version, and still takes up its space. */
  keepsVersions(): boolean

  /**
   * Ends uploads below `prefix` begun before `before` and never finished, and frees what they hold. How many;
   * undefined where the service can't say which there are.
   */
  removeStaleUploads(prefix: string, before: Date): Promise<number | undefined>

  /**
   * The storage's own time now, to the second or so: as its last answer told it (S3), or as it dated the file that was
   * written last. Undefined before it has told any.
   */
  clock(): Date | undefined

  /** Whether there is such a place: the directory; in a bucket, anything at all below the prefix. */
  exists(): Promise<boolean>

  /** The place one step up, for a look around it; undefined at the top. To be closed like any other. */
  parent(): Storage | undefined

  /** Frees connections. */
  close(): void
}

/** An object while it is being written. */
export interface ObjectWriter {
  /**
   * Takes the next part and resolves once it is stored; `part` must not change until then. Parts take their
   * place in the order of the calls, several may be under way at once. All but the last are at least 5 MiB.
   */
  write(part: Uint8Array): Promise<void>

  /** Makes the object readable, whole: waits for every part, and rejects where one of them was not stored. */
  finish(): Promise<void>

  /**
   * Gives up and leaves nothing behind. May be called at any time, also after a failure, also twice, and works
   * when the storage's signal has aborted; after `finish` has resolved it does nothing. Takes 5 s at most.
   */
  abort(): Promise<void>
}

/** What a probe stores for a moment: enough not to fit where a file system keeps the tiniest files. */
export const probeBytes = 64 * 1024

const maxKeyBytes = 900
const maxSegmentBytes = 240

/**
 * Whether `text` is a key that every storage takes: segments of [A-Za-z0-9._%=-] of at most 240 bytes, none of
 * them ".", ".." or like ".….tmp" (the name of a file being written), joined by "/", 900 bytes at most.
 */
export function isKey(text: string): boolean {
  return (
    text.length <= maxKeyBytes &&
    text
      .split("/")
      .every(
        (segment) =>
          segment.length <= maxSegmentBytes &&
          /^[A-Za-z0-9._%=-]+$/.test(segment) &&
          !/^(\.\.?|\..*\.tmp)$/.test(segment),
      )
  )
}

/** Throws a PgstowError where `key` is none. */
export function checkKey(url: string, key: string): void {
  if (!isKey(key)) throw new PgstowError("storage", `${url} takes no object named ${JSON.stringify(key)}`)
}

/** Throws a PgstowError where `prefix` is neither "" nor a key with a "/" after it. */
export function checkPrefix(url: string, prefix: string): void {
  if (prefix === "" || (prefix.endsWith("/") && isKey(prefix.slice(0, -1)))) return
  throw new PgstowError("storage", `${url} has no folder named ${JSON.stringify(prefix)}`)
}

export class ObjectNotFoundError extends PgstowError {
  constructor(url: string, key: string, options: { cause?: unknown } = {}) {
    super("storage", `${url} has no object ${key}`, options)
    this.name = "ObjectNotFoundError"
  }
}

/** In a directory: something that is no file has the name of an object. It can't be what was stored. */
export class NotAnObjectError extends PgstowError {
  /** @param what with its article: "a FIFO" */
  constructor(url: string, key: string, what: string) {
    super("damaged", `${url} has ${what} in the place of the object ${key}`, {
      hint: "Put back the file that belongs there, or remove what is there now.",
    })
    this.name = "NotAnObjectError"
  }
}

export class ObjectExistsError extends PgstowError {
  constructor(url: string, key: string, options: { cause?: unknown } = {}) {
    super("storage", `${url} already has an object ${key}`, {
      ...options,
      hint: "Find out who else writes there, then try again.",
    })
    this.name = "ObjectExistsError"
  }
}

/** The storage answers, but did not remove some of the objects. */
export class NotRemovedError extends PgstowError {
  /**
   * @param failures the keys that are still there, with why
   * @param total how many were to go
   */
  constructor(
    url: string,
    failures: ReadonlyMap<string, { readonly reason: string; readonly hint?: string | undefined }>,
    total: number,
  ) {
    const byReason = Map.groupBy(failures, ([, { reason }]) => reason)
    const which = [...byReason].map(([reason, each]) => `${reason}: ${each.map(([key]) => key).join(", ")}`)
    const [only] = total === 1 ? [...failures] : []
    const what = only ? only[0] : `${failures.size} of ${total} objects`
    const why = only ? only[1].reason : which.join("; ")
    const hint = [...failures.values()][0]?.hint
    super("storage", `cannot remove ${what} in ${url}: ${why}`, { hint })
    this.name = "NotRemovedError"
  }
}
