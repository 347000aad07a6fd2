import { randomBytes } from "node:crypto"
import { constants } from "node:fs"
import {
  type FileHandle,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readlink,
  realpath,
  rename,
  rmdir,
  stat,
  statfs,
  unlink,
  writeFile,
} from "node:fs/promises"
import { basename, dirname, join, resolve } from "node:path"
import { Readable } from "node:stream"
import { pathToFileURL } from "node:url"
import { mapConcurrently } from "../core/map-concurrently.ts"
import { codeOf } from "../errors.ts"
import { NotRegularError, openSizedFile } from "../open-regular-file.ts"
import { byteStream } from "./byte-stream.ts"
import { fileFailure, fileReason, PathError } from "./file-failure.ts"
import { reportedClock } from "./reported-clock.ts"
import {
  checkKey,
  checkPrefix,
  isKey,
  NotAnObjectError,
  NotRemovedError,
  ObjectExistsError,
  ObjectNotFoundError,
  type ObjectWriter,
  probeBytes,
  type Storage,
  type StoredObject,
} from "./storage.ts"

const readBytes = 256 * 1024

/** So many folders are looked into at once: what takes time is waiting for the disk, or for the network behind it. */
const looksAtOnce = 8

/**
 * Keeps objects as files below a folder, which the first object makes. Folders are made 0700, files 0600.
 *
 * A file is written under a temporary name beside its own (".….tmp"), flushed to the disk, and only then given
 * its name. Symbolic links below the folder are not followed, since they may lead out of it, and what is no regular
 * file is never opened.
 */
export class FileStorage implements Storage {
  readonly url: string
  readonly partRules = { most: Number.POSITIVE_INFINITY, equal: false }
  readonly listsAcrossFolders = false
  readonly #folder: string
  readonly #signal: AbortSignal | undefined
  readonly #clock = reportedClock()
  /** The folder's path as it last was, with no link in it. */
  #realFolder: string | undefined

  /** @param folder an absolute path */
  constructor(folder: string, options: { readonly url: string; readonly signal?: AbortSignal | undefined }) {
    this.url = options.url
    this.#folder = folder
    this.#signal = options.signal
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    checkPrefix(this.url, prefix)
    let folder: string | undefined
    for (const { name, isFolder } of await this.#entries(prefix)) {
      const key = prefix + name
      if (isFolder) yield* this.list(`${key}/`)
      else {
        // The way there is looked at once, and not again for each of its files.
        folder ??= await this.#attempt(`list ${prefix || "objects"}`, async () =>
          dirname(await this.#locate(key)),
        )
        const object = await this.#statAt(join(folder, name), key)
        if (object) yield object
      }
    }
  }

  async listKeys(prefix: string): Promise<string[]> {
    checkPrefix(this.url, prefix)
    const keys: string[] = []
    let isOwn = false
    for (const { name, isFolder } of await this.#entries(prefix)) {
      const key = prefix + name
      if (isFolder) keys.push(...(await this.listKeys(`${key}/`)))
      else {
        if (!isOwn) await this.#attempt(`list ${prefix || "objects"}`, () => this.#locate(key))
        isOwn = true
        keys.push(key)
      }
    }
    return keys
  }

  async listFolders(prefix: string, options: { readonly evenEmpty?: boolean } = {}): Promise<string[]> {
    checkPrefix(this.url, prefix)
    const folders = (await this.#entries(prefix)).filter(({ isFolder }) => isFolder)
    if (options.evenEmpty) return folders.map(({ name }) => name).toSorted()
    const empty = await mapConcurrently(folders, looksAtOnce, ({ name }) =>
      this.#isEmpty(`${prefix}${name}/`),
    )
    return folders.flatMap(({ name }, index) => (empty[index] ? [] : name)).toSorted()
  }

  async read(key: string, options: { readonly offsetBytes?: number } = {}): Promise<Readable> {
    const offset = options.offsetBytes ?? 0
    return this.#attempt(`read ${key}`, async () => {
      const { handle, sizeBytes } = await this.#openToRead(key)
      // A small file is read at once, and no handle kept for it: a catalog has thousands.
      if (sizeBytes - offset <= readBytes) {
        await using file = handle
        return streamOf(await readBetween(file, offset, sizeBytes))
      }
      const close = () =>
        handle.close().catch((error: unknown) => {
          throw fileFailure(this.url, `read ${key}`, error)
        })
      return byteStream(this.#chunks(key, handle, offset, sizeBytes), close)
    })
  }

  async readAtMost(key: string, maxBytes: number): Promise<Buffer> {
    return this.#attempt(`read ${key}`, async () => {
      const { handle, sizeBytes } = await this.#openToRead(key)
      await using file = handle
      return await readBetween(file, 0, Math.min(sizeBytes, maxBytes))
    })
  }

  async stat(key: string): Promise<StoredObject | undefined> {
    const path = await this.#attempt(`look at ${key}`, () => this.#locate(key))
    return this.#statAt(path, key)
  }

  async #statAt(path: string, key: string): Promise<StoredObject | undefined> {
    return this.#attempt(`look at ${key}`, async () => {
      const found = await unlessMissing(lstat(path))
      return found?.isFile() ? { key, sizeBytes: found.size, modifiedAt: found.mtime } : undefined
    })
  }

  async put(key: string, body: Uint8Array, options: { readonly ifAbsent?: boolean } = {}): Promise<void> {
    const file = await this.#begin(key)
    try {
      await file.write(body)
      this.#clock.report(await file.flush())
      await file.finish(options)
    } catch (error) {
      // What abort() may leave is no object, and goes with the stale uploads.
      await file.abort().catch(() => {})
      throw error
    }
  }

  async create(key: string): Promise<ObjectWriter> {
    return this.#begin(key)
  }

  async probe(key: string): Promise<string[]> {
    const file = await this.#begin(key)
    try {
      await file.write(Buffer.alloc(probeBytes))
      this.#clock.report(await file.flush())
    } catch (error) {
      await file.abort().catch(() => {})
      throw error
    }
    await file.abort()
    return []
  }

  async remove(keys: readonly string[]): Promise<void> {
    const failures = new Map<string, ReturnType<typeof fileReason>>()
    for (const key of keys) {
      await this.#attempt(`remove ${key}`, async () => {
        const path = await this.#locate(key)
        try {
          await unlessMissing(unlink(path))
        } catch (error) {
          // One file, or one folder, may be locked and the others not.
          if (!["EACCES", "EPERM", "EBUSY"].includes(codeOf(error) ?? "")) throw error
          failures.set(key, fileReason(error))
          return
        }
        await this.#tidy(dirname(path))
      })
    }
    if (failures.size > 0) throw new NotRemovedError(this.url, failures, keys.length)
  }

  keepsVersions(): boolean {
    return false
  }

  async removeStaleUploads(prefix: string, before: Date): Promise<number> {
    checkPrefix(this.url, prefix)
    return this.#attempt(`remove stale uploads below ${prefix || "/"}`, async () => {
      const top = join(this.#folder, prefix)
      const entries = (await unlessMissing(readdir(top, { withFileTypes: true, recursive: true }))) ?? []
      let removed = 0
      for (const entry of entries.filter((each) => each.isFile() && isTemporary(each.name))) {
        const path = join(entry.parentPath, entry.name)
        const found = await unlessMissing(lstat(path))
        if (!found || found.mtime >= before) continue
        await unlessMissing(unlink(path))
        await this.#tidy(entry.parentPath)
        removed++
      }
      return removed
    })
  }

  /** How much may still be stored there by this user, and on which device: the folder's, or what it will be made in. */
  async room(): Promise<{ readonly freeBytes: number; readonly device: number }> {
    return this.#attempt("look for room", async () => {
      for (let place = this.#folder; ; place = dirname(place)) {
        const found = await unlessMissing(stat(place))
        if (!found && place !== dirname(place)) continue
        const { bavail, bsize } = await statfs(place)
        return { freeBytes: bavail * bsize, device: found?.dev ?? 0 }
      }
    })
  }

  clock(): Date | undefined {
    return this.#clock.now()
  }

  async exists(): Promise<boolean> {
    return this.#attempt("look for the directory", async () => {
      const found = await unlessMissing(stat(this.#folder))
      if (!found) await refuseDanglingLink(this.#folder)
      return found !== undefined
    })
  }

  parent(): Storage | undefined {
    const above = dirname(this.#folder)
    if (above === dirname(above)) return undefined
    return new FileStorage(above, { url: pathToFileURL(above).href, signal: this.#signal })
  }

  close(): void {}

  async #attempt<T>(action: string, run: () => Promise<T>): Promise<T> {
    this.#signal?.throwIfAborted()
    try {
      return await run()
    } catch (error) {
      throw fileFailure(this.url, action, error)
    }
  }

  /** The path of a key. Throws where a symbolic link has taken the place of one of its folders. */
  async #locate(key: string): Promise<string> {
    checkKey(this.url, key)
    const path = join(this.#folder, key)
    const real = await unlessMissing(realpath(dirname(path)))
    if (real === undefined) await refuseDanglingLink(this.#folder)
    if (real !== undefined && !(await this.#isOwn(real, dirname(key))))
      throw Object.assign(new Error(`a folder of ${path} is a symbolic link`), { code: "ELOOP" })
    return path
  }

  /** Whether `real`, in which nothing is a link, is this folder of ours. */
  async #isOwn(real: string, folder: string): Promise<boolean> {
    if (this.#realFolder !== undefined && real === join(this.#realFolder, folder)) return true
    // A link on the way to all of it may lead elsewhere by now.
    this.#realFolder = await realpath(this.#folder)
    return real === join(this.#realFolder, folder)
  }

  /** What is directly below `prefix`, in an order that keeps the bytes of whole keys sorted. */
  async #entries(prefix: string): Promise<{ name: string; isFolder: boolean }[]> {
    return this.#attempt(`list ${prefix || "objects"}`, async () => {
      const found = await unlessMissing(readdir(join(this.#folder, prefix), { withFileTypes: true }))
      if (!found) await refuseDanglingLink(this.#folder)
      const sortsAs = (entry: { name: string; isFolder: boolean }) => entry.name + (entry.isFolder ? "/" : "")
      return (found ?? [])
        .filter((entry) => (entry.isFile() || entry.isDirectory()) && isKey(prefix + entry.name))
        .map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }))
        .toSorted((a, b) => (sortsAs(a) < sortsAs(b) ? -1 : 1))
    })
  }

  async #isEmpty(prefix: string): Promise<boolean> {
    try {
      const entries = await this.#entries(prefix)
      if (entries.some(({ isFolder }) => !isFolder)) return false
      for (const { name } of entries) if (!(await this.#isEmpty(`${prefix}${name}/`))) return false
      return true
    } catch {
      this.#signal?.throwIfAborted()
      // What can't be looked into may hold anything.
      return false
    }
  }

  async #openToRead(key: string): Promise<{ readonly handle: FileHandle; readonly sizeBytes: number }> {
    const path = await this.#locate(key)
    try {
      return await openSizedFile(path, { followLink: false })
    } catch (error) {
      if (error instanceof NotRegularError && error.what !== "a folder")
        throw new NotAnObjectError(this.url, key, error.what)
      if (error instanceof NotRegularError || codeOf(error) === "ENOENT")
        throw new ObjectNotFoundError(this.url, key)
      throw error
    }
  }

  async *#chunks(
    key: string,
    handle: FileHandle,
    start: number,
    end: number,
  ): AsyncGenerator<Uint8Array, void> {
    for (let position = start; position < end; ) {
      const chunk = await this.#attempt(`read ${key}`, async () => {
        const buffer = Buffer.allocUnsafeSlow(Math.min(readBytes, end - position))
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, position)
        if (bytesRead === 0) throw new Error(`the file ends at byte ${position} of ${end}`)
        return buffer.subarray(0, bytesRead)
      })
      position += chunk.length
      yield chunk
    }
  }

  async #begin(key: string): Promise<FileWriter> {
    return this.#attempt(`write ${key}`, async () => {
      const path = await this.#locate(key)
      const temporary = join(dirname(path), `.${randomBytes(8).toString("hex")}.tmp`)
      const handle = await this.#openNew(temporary)
      return new FileWriter(
        { key, path, temporary, handle },
        {
          url: this.url,
          attempt: (run) => this.#attempt(`write ${key}`, run),
          tidy: (folder) => this.#tidy(folder),
        },
      )
    })
  }

  /** Opens a new file, its folder made where it is missing or has just been tidied away by someone else. */
  async #openNew(path: string): Promise<FileHandle> {
    for (let tries = 10; ; tries--) {
      try {
        await makeFolder(dirname(path))
        return await open(path, "wx", 0o600)
      } catch (error) {
        if (codeOf(error) !== "ENOENT") throw error
        await refuseDanglingLink(path)
        if (tries === 0) throw new PathError(`no folder can be made at ${dirname(path)}`, giveAFolder)
      }
    }
  }

  /** Flushes a folder to the disk, or removes it where nothing is left in it, and likewise those above it. */
  async #tidy(folder: string): Promise<void> {
    for (let path = folder; path.startsWith(`${this.#folder}/`); path = dirname(path)) {
      try {
        await rmdir(path)
      } catch (error) {
        if (codeOf(error) !== "ENOENT") return flushFolder(path)
      }
    }
    await unlessMissing(flushFolder(this.#folder))
  }
}

type FileBeingWritten = {
  readonly key: string
  readonly path: string
  readonly temporary: string
  readonly handle: FileHandle
}

type FileWriterContext = {
  readonly url: string
  /** Runs an operation: not after the signal has aborted, and with its failures explained. */
  readonly attempt: <T>(run: () => Promise<T>) => Promise<T>
  readonly tidy: (folder: string) => Promise<void>
}

class FileWriter implements ObjectWriter {
  readonly #file: FileBeingWritten
  readonly #context: FileWriterContext
  readonly #writes: Promise<void>[] = []
  #offset = 0
  #state: "open" | "finished" | "aborted" = "open"

  constructor(file: FileBeingWritten, context: FileWriterContext) {
    this.#file = file
    this.#context = context
  }

  write(part: Uint8Array): Promise<void> {
    const position = this.#offset
    this.#offset += part.length
    const write = this.#context.attempt(() => writeAll(this.#file.handle, part, position))
    // finish() hears of a failure that nobody awaited.
    write.catch(() => {})
    this.#writes.push(write)
    return write
  }

  /**
   * Makes what was written reach the disk: only then do some file systems say that there is no room. Gives the time at
   * which the file system says that it was written.
   */
  async flush(): Promise<Date> {
    await Promise.all(this.#writes)
    return this.#context.attempt(async () => {
      await this.#file.handle.sync()
      return (await this.#file.handle.stat()).mtime
    })
  }

  async finish(options: { readonly ifAbsent?: boolean } = {}): Promise<void> {
    const { key, path, temporary, handle } = this.#file
    await Promise.all(this.#writes)
    await this.#context.attempt(async () => {
      await handle.sync()
      await handle.close()
      if (!options.ifAbsent) await rename(temporary, path)
      else if (!(await publishIfAbsent(temporary, path))) throw new ObjectExistsError(this.#context.url, key)
      this.#state = "finished"
      await flushFolder(dirname(path))
    })
  }

  async abort(): Promise<void> {
    if (this.#state !== "open") return
    this.#state = "aborted"
    const { key, path, temporary, handle } = this.#file
    await Promise.allSettled(this.#writes)
    try {
      await handle.close()
      await unlessMissing(unlink(temporary))
      await this.#context.tidy(dirname(path))
    } catch (error) {
      throw fileFailure(this.#context.url, `clean up after ${key}`, error)
    }
  }
}

/** Gives the file `temporary` the name `path`. False, and nothing done, where that is taken. */
async function publishIfAbsent(temporary: string, path: string): Promise<boolean> {
  try {
    await link(temporary, path)
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false
    if (!withoutHardLinks.has(codeOf(error))) throw error
    return renameIfAbsent(temporary, path)
  }
  // It is published; a second name left behind is removed with the stale uploads.
  await unlink(temporary).catch(() => {})
  return true
}

const withoutHardLinks = new Set<string | undefined>(["EPERM", "ENOTSUP", "ENOSYS", "EMLINK"])

/**
 * The same on a file system without hard links (exFAT, SMB), where a lock file stands for them. Who finds it
 * taken is too late: a lock left by a crash goes with the stale uploads.
 */
async function renameIfAbsent(temporary: string, path: string): Promise<boolean> {
  const lock = join(dirname(path), `.${basename(path)}.lock.tmp`)
  try {
    await writeFile(lock, "", { flag: "wx", mode: 0o600 })
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false
    throw error
  }
  try {
    if (await unlessMissing(lstat(path))) return false
    await rename(temporary, path)
    return true
  } finally {
    await unlink(lock)
  }
}

/** The bytes of a file from `start` on and before `end`. Rejects where it is shorter. */
async function readBetween(file: FileHandle, start: number, end: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(Math.max(0, end - start))
  for (let done = 0; done < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, done, bytes.length - done, start + done)
    if (bytesRead === 0) throw new Error(`the file ends at byte ${start + done} of ${end}`)
    done += bytesRead
  }
  return bytes
}

/** A stream of these bytes, and of nothing else. */
function streamOf(bytes: Buffer): Readable {
  const stream = new Readable({ read: () => {} })
  if (bytes.length > 0) stream.push(bytes)
  stream.push(null)
  return stream
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done)
    if (bytesWritten === 0) throw new Error(`nothing more is taken after byte ${position + done}`)
    done += bytesWritten
  }
}

/**
 * Makes a folder (0700) and those above it that are missing, so that they outlive a power failure. Rejects with
 * ENOENT where the folder above is not there although it was just made, or can't be: by a link that leads nowhere.
 */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, 0o700)
  } catch (error) {
    if (codeOf(error) === "EEXIST") return
    if (codeOf(error) !== "ENOENT") throw error
    await makeFolder(dirname(path))
    await mkdir(path, 0o700).catch(unlessThere)
  }
  await flushFolder(dirname(path))
}

function unlessThere(error: unknown): void {
  if (codeOf(error) !== "EEXIST") throw error
}

/** Throws where `path` can't be reached because a symbolic link on the way leads to nothing. */
async function refuseDanglingLink(path: string): Promise<void> {
  for (let place = path; place !== dirname(place); place = dirname(place)) {
    if (await unlessMissing(stat(place))) return
    const link = await unlessMissing(lstat(place))
    if (!link?.isSymbolicLink()) continue
    const target = resolve(dirname(place), await readlink(place))
    throw new PathError(
      `${place} is a symbolic link to ${target}, which does not exist`,
      "Mount the disk that is meant, or correct the link.",
    )
  }
}

const giveAFolder = "Give a folder on a disk that may be written to."

/** Makes what was created, renamed or removed in a folder outlive a power failure. */
async function flushFolder(path: string): Promise<void> {
  try {
    await using folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
    await folder.sync()
  } catch (error) {
    // Network file systems may not know how, and a folder above the storage may not be ours to open.
    if (!["EINVAL", "ENOTSUP", "EACCES"].includes(codeOf(error) ?? "")) throw error
  }
}

function isTemporary(name: string): boolean {
  return name.startsWith(".") && name.endsWith(".tmp")
}

/** What `found` resolves to; undefined where there is no such file or folder. */
async function unlessMissing<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined
    throw error
  }
}
