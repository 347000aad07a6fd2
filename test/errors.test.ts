import { readFile, rename } from "node:fs/promises"
import { expect, test } from "vitest"
import { messageOf, PgstowError } from "../task/errors.ts"
import { rejectionOf } from "./support/failure.ts"

test("a file that can't be read is named once, with why", async () => {
  const file = "/nonexistent/it's missing.key"
  const cause: unknown = await readFile(file).catch((error: unknown) => error)
  const named = new PgstowError("key", `the identity file ${file} can't be read`, { cause })
  expect(messageOf(named)).toBe(`the identity file ${file} can't be read: no such file or directory`)
})

test("the reason is said once, and the path where only the cause has it", async () => {
  const cause: unknown = await readFile("/nonexistent/a").catch((error: unknown) => error)
  const failure = (message: string) => messageOf(new PgstowError("storage", message, { cause }))
  const named = "cannot read a in file:///nonexistent/a: no such file or directory"
  expect(failure(named)).toBe(named)
  const other = "cannot read a: no such file or directory"
  expect(failure(other)).toBe(`${other}: open '/nonexistent/a'`)
})

test("where only its cause names a file, the cause stays as it is", async () => {
  const cause: unknown = await readFile("/nonexistent/a").catch((error: unknown) => error)
  const unnamed = new PgstowError("usage", "the settings can't be read", { cause })
  expect(messageOf(unnamed)).toBe(
    "the settings can't be read: ENOENT: no such file or directory, open '/nonexistent/a'",
  )
  const two: unknown = await rename("/nonexistent/a", "/nonexistent/b").catch((error: unknown) => error)
  const other = new PgstowError("usage", "/nonexistent/b can't be written", { cause: two })
  expect(messageOf(other)).toContain("rename '/nonexistent/a' -> '/nonexistent/b'")
})

test("the messages of an error and of its causes follow one another", async () => {
  const inner = new PgstowError("postgres", "it refused", { cause: new Error("no room") })
  const failure = await rejectionOf(
    Promise.reject(new PgstowError("postgres", "it failed", { cause: inner })),
  )
  expect(messageOf(failure)).toBe("it failed: it refused: no room")
})
