import { execFileSync } from "node:child_process"
import { copyFileSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { NotABackupError, recognise } from "../../task/legacy/recognise.ts"
import { rejectionOf } from "../support/failure.ts"
import { sample } from "./samples.ts"

const emiti = "emiti_metrics_20240115_030000.sql.gz.enc"
const modifiedAt = new Date("2020-02-02T02:02:02Z")

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "pgstow-recognise-"))
})
afterAll(() => rmSync(folder, { recursive: true }))

test.each([
  [emiti, "fernet", "emiti", "emiti_metrics", new Date(2024, 0, 15, 3)],
  [
    "sentinel_backup_20251215_163138.sql.gz",
    "gzip",
    "sentinel",
    "sentinel_backup",
    new Date(2025, 11, 15, 16, 31, 38),
  ],
  [
    "sentinel_backup_20251216_163138.sql.gz.enc",
    "openssl",
    "sentinel",
    "sentinel_backup",
    new Date(2025, 11, 16, 16, 31, 38),
  ],
])("%s is known by its content, its time by its name", async (name, kind, system, title, madeAt) => {
  expect(await recognise(sample(name))).toMatchObject({ kind, system, title, madeAt })
})

test("a FIFO, a device or a folder is refused, and nobody is waited for", async () => {
  const fifo = join(folder, `fifo_${emiti}`)
  execFileSync("mkfifo", [fifo])
  for (const [path, what] of [
    [fifo, "a FIFO"],
    [folder, "a folder"],
    ["/dev/zero", "a device"],
  ] as const) {
    const failure = await rejectionOf(recognise(path))
    expect(failure).toBeInstanceOf(NotABackupError)
    expect(failure.message).toBe(`${path} is ${what}, and no file`)
  }
})

test("a file under another name is the same, its time the token's or the file's own", async () => {
  const token = join(folder, "renamed")
  copyFileSync(sample(emiti), token)
  const { madeAt, ...found } = await recognise(token)
  expect(found).toMatchObject({ kind: "fernet", system: "emiti", title: "renamed" })
  expect(madeAt.getUTCFullYear(), "when the sample was made").toBe(2026)

  const dump = write("orders.2024.sql", Buffer.from("--\n-- PostgreSQL database dump\n--\n"))
  expect(await recognise(dump)).toMatchObject({
    kind: "sql",
    system: "pg_dump",
    title: "orders",
    madeAt: modifiedAt,
  })
})

test.each([
  "orders_20240230_030000.sql.gz",
  "orders_20240101_240000.sql.gz",
  "orders_20240101_0300001.sql.gz",
])("a time that does not exist is not one: %s", async (name) => {
  expect((await recognise(write(name, gzipSync("--")))).madeAt).toEqual(modifiedAt)
})

describe("a file of another kind is refused by its name:", () => {
  test.each([
    ["empty", Buffer.alloc(0)],
    ["pg_dump's custom format", Buffer.from("PGDMP\x01\x0e")],
    ["an age file", Buffer.from("age-encryption.org/v1\n-> X25519 ")],
    ["an armored age file", Buffer.from("-----BEGIN AGE ENCRYPTED FILE-----\n")],
    ["compressed by zstd", zstdCompressSync("--")],
    ["a dump of pg_dumpall", Buffer.from("--\n-- PostgreSQL database cluster dump\n--\n")],
    ["something unknown", Buffer.from("gAAA is not enough of a token")],
    ["something unknown", Buffer.from("Dear diary, -- PostgreSQL database dump\n")],
  ])("%s", async (words, bytes) => {
    await expect(recognise(write("file", bytes))).rejects.toThrow(`file is ${words}`)
  })
})

test("what is no file that can be read is named", async () => {
  await expect(recognise(join(folder, "missing"))).rejects.toThrow("missing can't be read")
})

function write(name: string, bytes: Buffer): string {
  const path = join(folder, name)
  writeFileSync(path, bytes)
  utimesSync(path, modifiedAt, modifiedAt)
  return path
}
