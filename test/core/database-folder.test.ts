import fc from "fast-check"
import { expect, test } from "vitest"
import { databaseFolder, databaseOf } from "../../task/core/database-folder.ts"

test("names become folders as the format says", () => {
  const folders = {
    orders: "orders",
    "Orders_2-b": "Orders_2-b",
    "v1.2": "v1.2",
    ".": "%2E",
    "..": "%2E%2E",
    "...": "%2E.%2E",
    ".hidden": "%2Ehidden",
    "end.": "end%2E",
    "a/b": "a%2Fb",
    "../../etc": "%2E.%2F..%2Fetc",
    "with space": "with%20space",
    "quoted\"'": "quoted%22%27",
    "line\nbreak": "line%0Abreak",
    "%41": "%2541",
    "!~*()": "%21%7E%2A%28%29",
    "Bücher 📚": "B%C3%BCcher%20%F0%9F%93%9A",
  }
  expect(Object.fromEntries(Object.keys(folders).map((name) => [name, databaseFolder(name)]))).toEqual(
    folders,
  )
})

test("any name comes back from its folder, and its folder is one safe, short segment", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", minLength: 1 }), (name) => {
      const folder = databaseFolder(name)
      expect(folder).toMatch(/^(?!\.)[A-Za-z0-9_%.-]+(?<!\.)$/)
      expect(folder.length).toBeLessThanOrEqual(3 * Buffer.byteLength(name))
      expect(databaseOf(folder)).toBe(name)
    }),
  )
})

test("a folder that no name has is no database's", () => {
  for (const folder of ["", ".", "..", "a b", "lost+found", "%41", "%2f", "a%2", "%FF", "%ED%A0%80", "a/b"])
    expect(databaseOf(folder), folder).toBeUndefined()
})
