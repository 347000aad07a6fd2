import fc from "fast-check"
import { expect, test } from "vitest"
import { findingOf } from "../../task/core/check.ts"
import {
  formatPin,
  holdingPins,
  type Pin,
  parsePin,
  pinName,
  pinNoteOf,
  unpinName,
  unpinnedAtMost,
} from "../../task/core/pin.ts"
import { isKey } from "../../task/storage/storage.ts"

const at = new Date("2026-01-03T04:00:00Z")
const eight = (value: number) => Array.from({ length: 8 }, () => value)
const pinOf = (id: string): Pin => ({ kind: "pinned", id, at })

test("a note's name tells what it says, and no check's name is one", () => {
  const pinned = pinName(at, eight(0))
  expect(pinned).toBe("20260103T040000Z-pinned-00000000.json")
  expect(pinNoteOf(pinned)).toEqual(pinOf("00000000"))
  const unpinned = unpinName(at, eight(0.999), [pinOf("00000000"), pinOf("1a2b3c4d")])
  expect(unpinned).toBe("20260103T040000Z-unpinned-zzzzzzzz-after-00000000-1a2b3c4d.json")
  expect(pinNoteOf(unpinned)).toMatchObject({ kind: "unpinned", after: ["00000000", "1a2b3c4d"] })
  for (const name of [pinned, unpinned]) expect(findingOf(name)).toBeUndefined()
  const others = [
    "20260103T040000Z-verified-7c0de4xy-after-none.json",
    "20260103T040000Z-abandoned-7c0de4xy.json",
    "20260103T040000Z-pinned-7C0DE4XY.json",
    "20260103T040000Z-unpinned-7c0de4xy.json",
    "20261303T040000Z-pinned-7c0de4xy.json",
    "20260103T040000Z-pinned-7c0de4xy.json.txt",
  ]
  for (const name of others) expect(pinNoteOf(name), name).toBeUndefined()
  const many = Array.from({ length: 30 }, (_, index) => pinOf(String(index).padStart(8, "0")))
  const longest = unpinName(at, eight(0), many)
  expect(pinNoteOf(longest)).toMatchObject({ after: many.slice(0, unpinnedAtMost).map(({ id }) => id) })
  expect(isKey(longest)).toBe(true)
})

test("a pin holds until it is named, whatever the times and the order are", () => {
  const ids = fc.uniqueArray(fc.stringMatching(/^[0-9a-z]{8}$/), { maxLength: 8 })
  fc.assert(
    fc.property(ids, fc.array(fc.nat(7)), fc.boolean(), (all, ended, reverse) => {
      const named = new Set(ended.flatMap((index) => all[index] ?? []))
      const notes = [
        ...all.map(pinOf),
        ...[...named].map((id) => ({
          kind: "unpinned" as const,
          id: "zzzzzzzz",
          at: new Date(0),
          after: [id],
        })),
      ]
      const holding = holdingPins(reverse ? notes.toReversed() : notes).map(({ id }) => id)
      expect(new Set(holding)).toEqual(new Set(all.filter((id) => !named.has(id))))
    }),
  )
})

test("a record is read as it was written, and a damaged one is none", () => {
  const record = {
    kind: "pinned",
    at: at.toISOString(),
    by: "pgstow 0.2.0",
    reason: 'the "big" one\n',
  } as const
  expect(parsePin(formatPin(record))).toEqual(record)
  for (const text of ["", "{", "null", '{"kind":"pinned"}']) expect(parsePin(text), text).toBeUndefined()
})
