import { expect, test } from "vitest"
import { incompleteName, replacedName, restoredName } from "../../task/core/restored-name.ts"

const at = new Date("2026-01-02T03:04:05Z")

test("a restored database is named after the original and the backup's start", () => {
  expect(restoredName("orders", at)).toBe("orders_restored_202601020304")
})

test("names keep within what PostgreSQL takes, and cut no character in two", () => {
  for (const name of ["o".repeat(63), "🚲".repeat(15), "ä".repeat(31)]) {
    for (const made of [
      restoredName(name, at),
      replacedName(name, at),
      incompleteName(name),
      incompleteName(restoredName(name, at)),
    ]) {
      expect(Buffer.byteLength(made)).toBeLessThanOrEqual(63)
      expect(Buffer.byteLength(made)).toBeGreaterThan(59)
      expect(made).not.toContain("\ufffd")
    }
    expect(restoredName(name, at)).toMatch(/_restored_202601020304$/)
  }
})

test("an incomplete database says so at once", () => {
  expect(incompleteName("orders")).toBe("incomplete_orders")
})
