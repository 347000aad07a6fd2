import { afterEach, beforeEach, expect, test } from "vitest"
import { show } from "../../task/catalog/show.ts"
import { formatShow } from "../../task/commands/show.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { quiet } from "../support/quiet.ts"
import { storeSample } from "../support/sample-backup.ts"
import { type Storages, startFileStorages } from "../support/storage-kinds.ts"

const ids = ["20260101T030000Z-aaaaaaaa", "20260102T030000Z-bbbbbbbb"] as const

let storages: Storages
let storage: Storage
beforeEach(async () => {
  storages = await startFileStorages()
  storage = storages.open()
})
afterEach(() => storages.close())

test("a backup is shown with its manifest, its objects and its checks", async () => {
  const objects = { "main.dump.zst.age": Buffer.from("main"), "globals.sql.zst.age": Buffer.from("globals") }
  const manifest = await storeSample(storage, { id: ids[0], objects, checks: ["failed", "verified"] })
  await storeSample(storage, { id: ids[1], objects, checks: ["failed"] })
  const result = await show([storage], { backup: "latest" }, quiet)
  expect(result).toMatchObject({
    manifest,
    state: "verified",
    storedBytes: 11,
    rawBytes: 44,
    passedOver: [ids[1]],
  })
  expect(result.checks.map(({ kind }) => kind)).toEqual(["failed", "verified"])
  expect(formatShow(result, { long: true }).split("\n")).toEqual([
    `backup       ${ids[0]}`,
    "database     orders",
    `storage      ${storage.url}`,
    "state        verified",
    "started      2026-01-01 03:00:00 UTC",
    "took         1 min 24 s",
    "stored       11 B of 44 B raw",
    "snapshot     2026-01-01 03:00:00 UTC, LSN 0/1A2B3C4D",
    "source       orders on PostgreSQL 17.10, 8.6 MiB, 12 tables",
    "locale       UTF8, libc, en_US.UTF-8",
    "settings     search_path=app, public",
    "extensions   plpgsql 1.0",
    "roles        app, owner",
    "client       pg_dump (PostgreSQL) 17.10",
    "compression  zstd, level 1",
    "encryption   age, for age1qqqsample",
    "written by   pgstow 0.1.0",
    `not shown    newer, but damaged: ${ids[1]}`,
    "",
    `OBJECT               STORED   RAW  ${"SHA-256".padEnd(64)}  SEGMENT`,
    `main.dump.zst.age       4 B  16 B  ${manifest.objects[0]?.sha256}`,
    `globals.sql.zst.age     7 B  28 B  ${manifest.objects[1]?.sha256}`,
    "",
    "failed 2026-01-01 04:00:00 UTC by pgstow 0.1.0",
    "  main.dump.zst.age: expected 3 bytes, found 2 bytes",
    "verified 2026-01-01 04:01:00 UTC by pgstow 0.1.0",
  ])
})

test("SHA-256 is shown on request alone, and a narrow terminal breaks between words", async () => {
  const manifest = await storeSample(storage, { id: ids[0] })
  const result = await show([storage], { backup: "latest" }, quiet)
  const text = formatShow(result, { width: 30 })
  expect(text).not.toContain(manifest.objects[0]?.sha256)
  const names = result.storage.length > 17 ? [result.storage] : []
  for (const line of text.split("\n"))
    if (!names.includes(line.trim())) expect(line.length, line).toBeLessThanOrEqual(38)
  expect(text).toContain(
    "source       orders on\n             PostgreSQL 17.10,\n             8.6 MiB, 12\n             tables\n",
  )
})

test("a backup that is not there is not shown", async () => {
  await storeSample(storage, { id: ids[0] })
  await expect(show([storage], { backup: ids[1] }, quiet)).rejects.toMatchObject({ kind: "notFound" })
})
