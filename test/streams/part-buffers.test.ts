import { expect, it } from "vitest"
import { PartBuffers } from "../../task/streams/part-buffers.ts"

it("gives out what it took back, to one at a time, and only where the size is right", () => {
  const buffers = new PartBuffers()
  const first = buffers.take(64)
  expect(first).toHaveLength(64)
  expect(buffers.take(64)).not.toBe(first)
  buffers.give(first)
  expect(buffers.take(64)).toBe(first)
  expect(buffers.take(64)).not.toBe(first)
  buffers.give(first)
  expect(buffers.take(128)).toHaveLength(128)
})
