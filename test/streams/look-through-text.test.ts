import { expect, test } from "vitest"
import { lookThroughText } from "../../task/streams/look-through-text.ts"
import { inPieces } from "../support/bytes.ts"

const good = Buffer.from("a\nÄ 東京 🚲\n\n")
const bad = Buffer.from([0x61, 0xe9, 0xff, 0x0a])

test("lines are counted, however the text comes", async () => {
  for (const size of [1, 2, 3, 100])
    expect(await lookThroughText(inPieces(good, [size]))).toEqual({ lines: 3, invalid: undefined })
})

test("the first line that is not UTF-8 is found", async () => {
  const text = Buffer.concat([good, bad, good, bad])
  for (const size of [1, 3, 100])
    expect(await lookThroughText(inPieces(text, [size]))).toEqual({
      lines: 8,
      invalid: { line: 4, near: undefined },
    })
})

test("in a script the table is known", async () => {
  const script = Buffer.concat([
    Buffer.from('COPY public.first (a) FROM stdin;\nx\n\\.\n\nCOPY public."2nd one" (a, b) FROM stdin;\ny\n'),
    bad,
    Buffer.from("\\.\nCOPY public.third (a) FROM stdin;\n"),
  ])
  for (const size of [1, 7, 1000])
    expect((await lookThroughText(inPieces(script, [size]))).invalid?.near).toBe('public."2nd one"')
})

test("a line of many megabytes is not held whole, and a character at a cut is whole", async () => {
  const line = Buffer.from("🚲".repeat(1_000_000))
  expect(await lookThroughText(inPieces(line, [65_537]))).toEqual({ lines: 0, invalid: undefined })
})
