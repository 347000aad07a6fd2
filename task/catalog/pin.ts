import type { Context } from "../context.ts"
import { formatPin, type Pin, parsePin, pinName, pinNoteOf, unpinName, unpinnedAtMost } from "../core/pin.ts"
import { messageOf, PgstowError } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { version } from "../version.ts"
import { type BackupName, checksFolder, keyOf, proveThere, type ReadOptions, readPins } from "./catalog.ts"
import { findBackup, readCatalog } from "./find-backup.ts"

export type PinOptions = ReadOptions & {
  /** As findBackup takes it. */
  readonly backup: string | Date
}

export type PinResult = BackupName & { readonly storages: readonly PinnedCopy[] }

/** What was done about one copy. */
export type PinnedCopy = {
  readonly storage: string
  /** How many pins were put, or ended. */
  readonly notes: number
  /** Why not. */
  readonly error: string | null
}

/** A pin as people see it. */
export type ShownPin = {
  readonly at: string
  /** Null, as the reason, where its note can't be read. It holds all the same. */
  readonly by: string | null
  readonly reason: string | null
}

/** The notes are small; what is larger is none of ours. */
const maxNoteBytes = 64 * 1024
const longestReason = 1_000

/**
 * Pins a backup in every storage that has it: retention keeps it until it is unpinned. Throws as findBackup does, and a
 * usage error where there is no reason, or one that is too long.
 */
export async function pin(
  storages: readonly Storage[],
  { reason, ...options }: PinOptions & { readonly reason: string },
  context: Pick<Context, "now" | "signal" | "log">,
): Promise<PinResult> {
  if (reason.trim() === "")
    throw new PgstowError("usage", "nothing says why the backup is to be kept", {
      hint: 'Give --reason, such as --reason "before the migration".',
    })
  if (reason.length > longestReason)
    throw new PgstowError("usage", `the reason has more than ${longestReason} characters`, {
      hint: "Make it shorter.",
    })
  return inEveryCopy(storages, options, context, async (storage, name) => {
    const at = context.now()
    const record = { kind: "pinned", at: at.toISOString(), by: `pgstow ${version}`, reason } as const
    await putNote(storage, name, pinName(at, eightRandom()), formatPin(record))
    // Who removed it meanwhile has not seen the pin.
    await proveThere(storage, name)
    return 1
  })
}

/** Ends every pin of a backup that holds now, in every storage that has it. Throws as findBackup does. */
export async function unpin(
  storages: readonly Storage[],
  options: PinOptions,
  context: Pick<Context, "now" | "signal" | "log">,
): Promise<PinResult> {
  return inEveryCopy(storages, options, context, async (storage, name) => {
    const pins = await readPins(storage, name)
    for (let next = 0; next < pins.length; next += unpinnedAtMost) {
      const at = context.now()
      const record = { kind: "unpinned", at: at.toISOString(), by: `pgstow ${version}` } as const
      const key = unpinName(at, eightRandom(), pins.slice(next, next + unpinnedAtMost))
      await putNote(storage, name, key, formatPin(record))
    }
    return pins.length
  })
}

/** What the notes of these pins hold, oldest first. */
export async function showPins(
  storage: Storage,
  name: BackupName,
  pins: readonly Pin[],
): Promise<ShownPin[]> {
  const wanted = new Map(pins.map((each) => [each.id, each]))
  const folder = keyOf(name, checksFolder)
  const shown: ShownPin[] = []
  for await (const { key } of storage.list(folder)) {
    const note = pinNoteOf(key.slice(folder.length))
    if (note?.kind !== "pinned" || !wanted.has(note.id)) continue
    const record = parsePin((await storage.readAtMost(key, maxNoteBytes)).toString())
    shown.push({ at: note.at.toISOString(), by: record?.by ?? null, reason: record?.reason ?? null })
  }
  return shown
}

/** What is to be said, and exited with, where not every copy could be reached. */
export function pinFailure({ id, storages }: PinResult): PgstowError | undefined {
  const failed = storages.flatMap(({ storage, error }) => (error === null ? [] : [`${storage}: ${error}`]))
  if (failed.length === 0) return undefined
  return new PgstowError("storage", `nothing was noted of ${id} in ${failed.join("; ")}`, {
    hint: "Run it again when that storage answers: a copy there is treated as before.",
  })
}

async function inEveryCopy(
  storages: readonly Storage[],
  { backup, ...options }: PinOptions,
  { log, signal }: Pick<Context, "signal" | "log">,
  change: (storage: Storage, name: BackupName) => Promise<number>,
): Promise<PinResult> {
  const catalog = await readCatalog(storages, { ...options, warn: log.warn })
  const { database, id } = findBackup(catalog, backup, options.database).entry
  const copies = catalog.entries.filter((entry) => entry.id === id && entry.database === database)
  const done: PinnedCopy[] = []
  for (const { storage } of copies) {
    signal.throwIfAborted()
    try {
      done.push({ storage: storage.url, notes: await change(storage, { database, id }), error: null })
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof PgstowError) || !["storage", "notFound"].includes(error.kind)) throw error
      done.push({ storage: storage.url, notes: 0, error: messageOf(error) })
    }
  }
  // One that does not answer may have a copy.
  const reached = new Set(catalog.storages)
  for (const storage of storages.filter((each) => !reached.has(each)))
    done.push({ storage: storage.url, notes: 0, error: "it does not answer, and may have a copy" })
  const hidden = catalog.unlisted.filter((each) => each.database === database)
  for (const { problem } of hidden) done.push({ storage: "a storage", notes: 0, error: messageOf(problem) })
  return { database, id, storages: done }
}

async function putNote(storage: Storage, name: BackupName, file: string, text: string): Promise<void> {
  await storage.put(keyOf(name, checksFolder + file), Buffer.from(text), { ifAbsent: true })
}

function eightRandom(): number[] {
  return Array.from({ length: 8 }, () => Math.random())
}
