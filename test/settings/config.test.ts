import { readFile } from "node:fs/promises"
import { expect, test } from "vitest"
import { flagOf, readSettings } from "../../task/settings/config.ts"
import { failureOf } from "../support/failure.ts"

test("a flag goes before the environment, the environment before the default", () => {
  const env = { PGSTOW_COMPRESS_LEVEL: "3" }
  expect(readSettings({ compressLevel: "9" }, env).compressLevel).toBe(9)
  expect(readSettings({}, env).compressLevel).toBe(3)
  expect(readSettings({}, {}).compressLevel).toBe(1)
})

test("a backup has as many streams as are borne, unless a number is given", () => {
  expect(readSettings({}, {}).jobs).toBe("auto")
  expect(readSettings({}, { PGSTOW_JOBS: "auto" }).jobs).toBe("auto")
  expect(readSettings({}, { PGSTOW_JOBS: "3" }).jobs).toBe(3)
})

test("an empty variable counts as not set", () => {
  expect(readSettings({}, { PGSTOW_NAME: "", PGSTOW_STORAGE: "" })).toMatchObject({
    name: undefined,
    storage: [],
  })
})

test("who asks for signatures, and names no key, is refused: else nothing would be checked", () => {
  const blank = [
    () => readSettings({ signedBy: [""] }, {}),
    () => readSettings({ signedBy: [" "] }, {}),
    () => readSettings({}, { PGSTOW_SIGNED_BY: " \n" }),
  ]
  for (const read of blank)
    expect(failureOf(read)).toMatchObject({
      kind: "usage",
      message: expect.stringContaining("holds no key") as string,
    })
  expect(readSettings({}, { PGSTOW_SIGNED_BY: "" }).signedBy).toEqual([])
})

test("lists in variables are separated by white space, folders by colons", () => {
  const env = {
    PGSTOW_STORAGE: " file:///a\n s3://b/c?region=x ",
    PGSTOW_PG_BIN: "/opt/with space/bin:/opt/b",
  }
  const { storage, pgBin } = readSettings({}, env)
  expect(storage).toEqual(["file:///a", "s3://b/c?region=x"])
  expect(pgBin).toEqual(["/opt/with space/bin", "/opt/b"])
})

test.each([
  ["true", true],
  ["no", false],
  ["1", true],
  ["off", false],
])("PGSTOW_VERIFY=%s is understood", (text, value) => {
  expect(readSettings({}, { PGSTOW_VERIFY: text }).verify).toBe(value)
})

test.each([
  [{}, { PGSTOW_COMPRESS_LEVEL: "20" }, "PGSTOW_COMPRESS_LEVEL must be a whole number from 1 to 19"],
  [{ compressLevel: "high" }, {}, "--compress-level must be a whole number from 1 to 19"],
  [{ keepDays: "0" }, {}, "--keep-days must be a whole number from 1 to 100000"],
  [{}, { PGSTOW_LOCK_WAIT: "1.5" }, "PGSTOW_LOCK_WAIT must be a whole number from 1 to 86400"],
  [{ jobs: "0" }, {}, "--jobs must be auto, or a whole number from 1 to 64"],
  [{ jobs: "all" }, {}, "--jobs must be auto, or a whole number from 1 to 64"],
  [{}, { PGSTOW_UNENCRYPTED: "perhaps" }, "PGSTOW_UNENCRYPTED must be true or false"],
  [{ logLevel: "loud" }, {}, "--log-level must be one of debug, info, warn, error"],
])("a wrong setting is named as it was given: %j %j", (flags, env, message) => {
  const failure = failureOf(() => readSettings(flags, env))
  expect(failure).toMatchObject({ kind: "usage", message })
})

test.each([
  ["PGSTOW_COMPRESS_LEVEL", "1        # zstd, 1 to 19"],
  ["PGSTOW_VERIFY", "true # read it back"],
  ["LOG_LEVEL", "info\t# or debug"],
  ["PGSTOW_JOBS", "auto #streams"],
  ["PGSTOW_STORAGE", "file:///backups # the disk"],
  ["PGSTOW_NOTIFY", "https://hooks.example.com/secret # ours"],
])("a comment that was taken into %s is told of, and not repeated", (variable, text) => {
  const failure = failureOf(() => readSettings({}, { [variable]: text }))
  expect(failure).toMatchObject({ kind: "usage", message: `${variable} holds a comment after its value` })
  expect(failure.hint).toContain("on a line of its own")
})

test("a number sign that may be meant stays", () => {
  const env = { LOG_FILE: "/var/log/a #1.log", PGSTOW_NAME: "orders #2", PGSTOW_EXCLUDE: "#* tmp" }
  expect(readSettings({}, env)).toMatchObject({
    logFile: "/var/log/a #1.log",
    name: "orders #2",
    exclude: ["#*", "tmp"],
  })
})

test("the example file has its comments on lines of their own", async () => {
  const example = await readFile(new URL("../../.env.example", import.meta.url), "utf8")
  const assignments = example.split("\n").filter((line) => /^#?[A-Z_]+=/.test(line))
  expect(assignments.length).toBeGreaterThan(30)
  expect(assignments.filter((line) => /\s#/.test(line))).toEqual([])
})

test("a flag is its setting's name in kebab case", () => {
  expect(flagOf("storageTimeout")).toBe("--storage-timeout")
})

test("the settings table and the example file know every setting's variable, and no other", async () => {
  const source = await readFile(new URL("../../task/settings/config.ts", import.meta.url), "utf8")
  const variables = [...source.matchAll(/env: "([A-Z_]+)"/g)].map(([, name]) => name ?? "").sort()
  expect(variables.length).toBeGreaterThan(10)
  const example = await readFile(new URL("../../.env.example", import.meta.url), "utf8")
  const inExample = [...example.matchAll(/^#?([A-Z_]+)=/gm)].map(([, name]) => name ?? "")
  const ofOthers = /^(AWS|MINIO)_/
  expect(inExample.filter((name) => !ofOthers.test(name)).sort()).toEqual(variables)
  const readme = await readFile(new URL("../../task/README.md", import.meta.url), "utf8")
  const keep = /^PGSTOW_KEEP(?=_)/
  for (const name of variables) expect(readme).toContain(name.replace(keep, ""))
})
