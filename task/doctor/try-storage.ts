import { buffer } from "node:stream/consumers"
import { databaseFolder } from "../core/database-folder.ts"
import { PgstowError } from "../errors.ts"
import { ObjectExistsError, probeBytes, type Storage } from "../storage/storage.ts"

/** What a storage can do, of what a backup, and later its cleanup and restore, ask of it. */
export type Tried = {
  readonly url: string
  /** Why each failed; those that went well are missing. */
  readonly failures: Readonly<Partial<Record<Attempt, PgstowError>>>
  /** What the service lacks and pgstow does without, a sentence each. */
  readonly notes: readonly string[]
}

/**
 * - `write`: one object, and the beginning of one of several parts, given up again
 * - `keep`: nothing may be written over where that is not wanted
 * - `parts`: an object of parts, finished
 * - `uploads`: unfinished ones can be found
 */
export type Attempt = "write" | "keep" | "parts" | "list" | "read" | "uploads" | "remove"

const triesToKeep = 3

/** Tries a storage out in a folder of its own, beside a database's backups, and leaves nothing that it may remove. */
export async function tryStorage(storage: Storage, database: string): Promise<Tried> {
  const folder = `${databaseFolder(database)}/doctor/`
  const keys = { probe: `${folder}probe`, one: `${folder}object`, parts: `${folder}parts` }
  const failures: Partial<Record<Attempt, PgstowError>> = {}
  const body = Buffer.from("pgstow doctor\n")
  const part = Buffer.alloc(probeBytes, "pgstow doctor\n")
  const attempt = async <T>(name: Attempt, run: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await run()
    } catch (error) {
      if (!(error instanceof PgstowError) || isInterruption(error)) throw error
      failures[name] ??= error
      return undefined
    }
  }
  const notes = await attempt("write", () => storage.probe(keys.probe))
  if (notes === undefined) return { url: storage.url, failures, notes: [] }
  await attempt("write", () => storage.put(keys.one, body).catch(unlessThere))
  if (!failures.write) {
    await attempt("keep", () => keepWhatIsThere(storage, keys.one))
    await attempt("parts", async () => {
      const writer = await storage.create(keys.parts)
      try {
        await writer.write(part)
        await writer.finish()
      } catch (error) {
        await writer.abort()
        // Nobody may write over what another run has left.
        unlessThere(error)
      }
    })
    await attempt("list", async () => {
      const found = (await Array.fromAsync(storage.list(folder))).map(({ key }) => key)
      if (!found.includes(keys.one))
        throw new PgstowError("storage", `${storage.url} does not list an object that was just stored`)
    })
    await attempt("read", async () => {
      const stored = [
        ...(failures.keep ? [] : [{ key: keys.one, bytes: body }]),
        ...(failures.parts ? [] : [{ key: keys.parts, bytes: part }]),
      ]
      for (const { key, bytes } of stored)
        if (!(await buffer(await storage.read(key))).equals(bytes))
          throw new PgstowError("storage", `${storage.url} gives other bytes than were just stored`)
    })
    // None is that old: only whether it may be asked is of interest.
    await attempt("uploads", () => storage.removeStaleUploads(folder, new Date(0)))
    await attempt("remove", () => storage.remove([keys.one, keys.parts]))
  }
  return { url: storage.url, failures, notes }
}

function isInterruption({ kind }: PgstowError): boolean {
  return kind === "interrupted" || kind === "terminated"
}

/** With write-once, what an earlier run could not remove is still there. */
function unlessThere(error: unknown): void {
  if (!(error instanceof ObjectExistsError)) throw error
}

/** Rejects where an object is written over although that was not wanted. */
async function keepWhatIsThere(storage: Storage, key: string): Promise<void> {
  // Of the same bytes it could be one's own, of a request whose answer was lost.
  const body = Buffer.from("another\n")
  // Another doctor may take it away in between.
  for (let tries = 0; tries < triesToKeep; tries++)
    try {
      await storage.put(key, body, { ifAbsent: true })
    } catch (error) {
      return unlessThere(error)
    }
  throw new PgstowError("storage", `${storage.url} writes over an object that is there already`)
}
