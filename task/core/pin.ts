import * as z from "zod"
import { formatTimestamp, parseTimestamp, randomSuffix } from "./backup-id.ts"

/**
 * What the name of a note among a backup's checks says: that the backup is pinned, so that no retention removes it, or
 * that pins hold no more.
 */
export type PinNote = {
  /** What later notes call it by: eight characters of 0-9a-z. */
  readonly id: string
  /** By the clock of who wrote it: for people, and no order to build on. */
  readonly at: Date
} & ({ readonly kind: "pinned" } | { readonly kind: "unpinned"; readonly after: readonly string[] })

export type Pin = Extract<PinNote, { kind: "pinned" }>

/** So that a name stays within the 240 bytes that a storage takes. */
export const unpinnedAtMost = 16

const pinRecordSchema = z.object({
  kind: z.enum(["pinned", "unpinned"]),
  at: z.iso.datetime(),
  /** The program that wrote it: "pgstow 0.1.0". */
  by: z.string(),
  /** Of a pin, in its user's words. */
  reason: z.string().optional(),
})

/** What a note holds. */
export type PinRecord = z.infer<typeof pinRecordSchema>

/** @param random eight values, each from 0 (inclusive) to 1 (exclusive) */
export function pinName(at: Date, random: readonly number[]): string {
  return `${formatTimestamp(at)}-pinned-${randomSuffix(random)}.json`
}

/**
 * The name of the note by which pins, `unpinnedAtMost` of them at most, hold no more. A pin that it does not name holds
 * on, whatever the clocks say: one that somebody puts at the same moment is not lost.
 *
 * @param random as for `pinName`
 */
export function unpinName(at: Date, random: readonly number[], pins: readonly Pin[]): string {
  const named = pins.slice(0, unpinnedAtMost).map(({ id }) => id)
  return `${formatTimestamp(at)}-unpinned-${randomSuffix(random)}-after-${named.join("-")}.json`
}

const fileName =
  /^(\w+)-(?:(pinned)-([0-9a-z]{8})|unpinned-([0-9a-z]{8})-after-([0-9a-z]{8}(?:-[0-9a-z]{8})*))\.json$/

/** What a file's name tells of pins; undefined for any other file. */
export function pinNoteOf(name: string): PinNote | undefined {
  const [, time = "", pinned, pinId = "", unpinId = "", after = ""] = fileName.exec(name) ?? []
  const at = parseTimestamp(time)
  if (!at) return undefined
  return pinned === undefined
    ? { kind: "unpinned", id: unpinId, at, after: after.split("-") }
    : { kind: "pinned", id: pinId, at }
}

/** The pins that hold: those that no note has ended. */
export function holdingPins(notes: readonly PinNote[]): Pin[] {
  const ended = new Set(notes.flatMap((note) => (note.kind === "unpinned" ? note.after : [])))
  return notes.filter((note) => note.kind === "pinned").filter(({ id }) => !ended.has(id))
}

export function formatPin(record: PinRecord): string {
  return `${JSON.stringify(pinRecordSchema.parse(record), null, 2)}\n`
}

/** The record of this text; undefined where it is damaged. */
export function parsePin(text: string): PinRecord | undefined {
  try {
    return pinRecordSchema.safeParse(JSON.parse(text)).data
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
