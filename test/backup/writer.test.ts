import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { type BackupWriter, backupWriter } from "../../task/backup/writer.ts"
import { readManifest } from "../../task/catalog/catalog.ts"
import { startChild } from "../../task/processes/child.ts"
import { openStorage } from "../../task/storage/open-storage.ts"
import type { Storage } from "../../task/storage/storage.ts"
import type { StartProducer } from "../../task/streams/compress.ts"
import { testContext } from "../support/context.ts"
import { sampleManifest } from "../support/sample-backup.ts"
import { keysOf } from "../support/storage-contents.ts"

const name = { database: "orders", id: "20260102T030000Z-k3v9x2ab" }
const main = `orders/${name.id}/main.dump.zst`

let folder: string
let first: Storage
let second: Storage
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pgstow-writer-"))
  first = openStorage(`file://${folder}/first`, { env: {} })
  second = openStorage(`file://${folder}/second`, { env: {} })
})
afterEach(() => rm(folder, { recursive: true }))

function writerTo(...storages: Storage[]): BackupWriter {
  const options = { name, storages, recipients: undefined, compressLevel: 1, zstd: undefined }
  return backupWriter({ ...options, expectedBytes: 0 }, testContext())
}

/** Runs a shell script whose output is the object. */
const script =
  (text: string): StartProducer =>
  (stdout, signal) =>
    startChild({ file: "sh", args: ["-c", text], env: { PATH: process.env.PATH } }, { stdout, signal })

const source = (text: string, baseName = "main.dump") => ({
  baseName,
  expectedBytes: 0,
  start: script(text),
})

/** A storage that takes nothing: where its folder should be there is a file. */
async function brokenStorage(): Promise<Storage> {
  await writeFile(`${folder}/broken`, "")
  return openStorage(`file://${folder}/broken`, { env: {} })
}

test("a backup is in no storage before its manifest is, and in all of them after", async () => {
  const writer = writerTo(first, second)
  const object = await writer.store(source("echo rows"))
  expect(object).toMatchObject({ name: "main.dump.zst", rawBytes: 5 })
  for (const storage of [first, second]) expect(await keysOf(storage)).toEqual([main])
  const manifest = { ...sampleManifest({ id: name.id }), objects: [{ ...object, kind: "main" as const }] }
  await writer.finish(manifest)
  for (const storage of [first, second]) expect(await readManifest(storage, name)).toEqual(manifest)
})

test("a program that dies after it has written leaves nothing in any storage", async () => {
  const writer = writerTo(first, second)
  await writer.store(source("echo roles", "globals.sql"))
  await expect(writer.store(source("echo rows; exit 3"))).rejects.toThrow("exited with 3")
  await writer.discard()
  for (const storage of [first, second]) expect(await keysOf(storage)).toEqual([])
})

test("a storage that fails is left out, and the others get the backup", async () => {
  const broken = await brokenStorage()
  const writer = writerTo(broken, first)
  const object = await writer.store(source("echo rows"))
  expect([...writer.failures.keys()]).toEqual([broken])
  await writer.finish({
    ...sampleManifest({ id: name.id }),
    objects: [{ ...object, kind: "main" as const }],
  })
  expect(await keysOf(first)).toEqual([main, `orders/${name.id}/manifest.json`])
})

test("where the last storage fails, what is being stored beside it fails too", async () => {
  const writer = writerTo(await brokenStorage())
  const slow = writer.store(source("sleep 60; echo never", "data/0001.copy"))
  const began = performance.now()
  await expect(writer.store(source("echo rows"))).rejects.toMatchObject({ kind: "storage" })
  await expect(slow).rejects.toThrow()
  expect(performance.now() - began).toBeLessThan(30_000)
})

test("what a manifest was sent for stays, even if the answer was a failure", async () => {
  const writer = writerTo(first)
  const object = await writer.store(source("echo rows"))
  await first.put(`orders/${name.id}/manifest.json`, Buffer.from("somebody else's"))
  const manifest = { ...sampleManifest({ id: name.id }), objects: [{ ...object, kind: "main" as const }] }
  await expect(writer.finish(manifest)).rejects.toMatchObject({ kind: "storage" })
  await writer.discard()
  expect(await keysOf(first)).toContain(main)
})
