import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { readExpectations } from "../../task/drill/expectations.ts"
import { rejectionOf } from "../support/failure.ts"

async function fileOf(text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-expectations-"))
  onTestFinished(() => rm(folder, { recursive: true }))
  const file = join(folder, "expect.json")
  await writeFile(file, text)
  return file
}

test("a query expects true, unless it says what", async () => {
  const file = await fileOf(
    '[{ "sql": "SELECT true" }, { "name": "two", "sql": "SELECT 2", "expect": [{ "a": null }] }]',
  )
  expect(await readExpectations(file)).toEqual([
    { sql: "SELECT true", expect: true },
    { name: "two", sql: "SELECT 2", expect: [{ a: null }] },
  ])
})

test.for([
  ["{", "is not JSON"],
  ["{}", "expected array"],
  ['[{ "sql": 1 }]', "query 1, sql: "],
  ['[{ "sql": "SELECT 1" }, {}]', "query 2, sql: "],
  ['[{ "sql": "SELECT 1", "expected": 1 }]', '"expected"'],
  [
    '[{ "sql": "SELECT 1", "expect": 9007199254740993 }]',
    "query 1, expect: a number is too large to be compared",
  ],
  ['[{ "sql": "SELECT 1", "expect": [{ "a": -12345678901234567.8 }] }]', "a number is too large"],
])("%s is refused: %s", async ([text = "", what = ""]) => {
  const failure = await rejectionOf(readExpectations(await fileOf(text)))
  expect(failure.kind).toBe("usage")
  expect(failure.message).toContain(what)
})

test("a file that is not there is named", async () => {
  const failure = await rejectionOf(readExpectations("/nonexistent/expect.json"))
  expect(failure.kind).toBe("usage")
  expect(failure.message).toMatch(/^the file of expectations \/nonexistent\/expect.json can't be read$/)
})
