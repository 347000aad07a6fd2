import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { type BackupWriter, backupWriter } from "../../task/backup/writer.ts"
import { listBackups, readManifest } from "../../task/catalog/catalog.ts"
import { cleanup } from "../../task/catalog/clean-up.ts"
import { messageOf } from "../../task/errors.ts"
import { startChild } from "../../task/processes/child.ts"
import { openStorage } from "../../task/storage/open-storage.ts"
import type { Storage } from "../../task/storage/storage.ts"
import type { StartProducer } from "../../task/streams/compress.ts"
import { testContext } from "../support/context.ts"
import { override } from "../support/override.ts"
import { startS3World } from "../support/s3-world.ts"
import { sampleManifest } from "../support/sample-backup.ts"
import { contentOf, keysOf } from "../support/storage-contents.ts"

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

/** Stores an object and gives the manifest that names it. */
async function storeOne(writer: BackupWriter) {
  const object = await writer.store(source("echo rows"))
  return { ...sampleManifest({ id: name.id }), objects: [{ ...object, kind: "main" as const }] }
}

test("a storage that has lost an object meanwhile, or part of it, gets no manifest", async () => {
  for (const lose of [
    () => first.remove([main]),
    async () => {
      const bytes = await contentOf(first, main)
      await first.put(main, bytes.subarray(1))
    },
  ]) {
    const writer = writerTo(first, second)
    const manifest = await storeOne(writer)
    await lose()
    await writer.finish(manifest)
    await writer.discard()
    expect(messageOf(writer.failures.get(first))).toMatch(
      /main\.dump\.zst in file:.*first (is gone|has \d+ bytes in place of \d+) since it was stored/,
    )
    expect(await keysOf(first)).toEqual([])
    expect(await readManifest(second, name)).toEqual(manifest)
    await second.remove(await keysOf(second))
  }
  const alone = writerTo(first)
  const manifest = await storeOne(alone)
  await first.remove([main])
  await expect(alone.finish(manifest)).rejects.toMatchObject({ kind: "storage", exitCode: 4 })
  expect(await keysOf(first)).toEqual([])
})

test("a cleanup by a clock days ahead takes what is being written, and the backup is told failed", async () => {
  const writer = writerTo(first)
  const manifest = await storeOne(writer)
  const cleanAfter = (hours: number) => {
    const now = () => new Date(Date.now() + hours * 3_600_000)
    const storage = override(first, { clock: () => undefined })
    return cleanup([storage], { policy: { keepLast: 1 }, dryRun: false }, { ...testContext(), now })
  }
  await cleanAfter(47)
  await cleanAfter(72)
  expect(await keysOf(first)).toContain(main)
  await cleanAfter(96)
  expect(await keysOf(first)).toEqual([])
  await expect(writer.finish(manifest)).rejects.toThrow("is gone since it was stored")
  expect(await listBackups(first)).toEqual([])
})

describe("in a bucket", () => {
  const denied = { status: 403, code: "AccessDenied" } as const

  test("a list that is behind is not believed", async () => {
    await using world = await startS3World()
    const behind = override(world.storage, { list: async function* () {} })
    const writer = writerTo(behind)
    const manifest = await storeOne(writer)
    await writer.finish(manifest)
    expect(await readManifest(world.storage, name)).toEqual(manifest)
  })

  test.each([
    ["who may neither list nor look at objects", ["ListObjectsV2", "HeadObject"]],
    ["who may not look at objects", ["HeadObject"]],
    ["who may not list", ["ListObjectsV2"]],
  ])("%s makes a backup exist as well", async (_, refused) => {
    await using world = await startS3World()
    const writer = writerTo(world.storage)
    const manifest = await storeOne(writer)
    world.endpoint.inject(({ operation }) => (refused.includes(operation) ? denied : undefined))
    await writer.finish(manifest)
    world.endpoint.inject()
    expect(await readManifest(world.storage, name)).toEqual(manifest)
  })

  test.each([
    ["ListObjectsV2", "a look at each"],
    ["HeadObject", "the list"],
  ])("an object that is gone is seen without %s by %s", async (refused) => {
    await using world = await startS3World()
    const writer = writerTo(world.storage)
    const one = await storeOne(writer)
    const roles = await writer.store(source("echo roles", "globals.sql"))
    const manifest = { ...one, objects: [...one.objects, { ...roles, kind: "globals" as const }] }
    await world.storage.remove([`orders/${name.id}/globals.sql.zst`])
    world.endpoint.inject(({ operation }) => (operation === refused ? denied : undefined))
    await expect(writer.finish(manifest)).rejects.toThrow(/globals\.sql\.zst in s3:.* is gone/)
    world.endpoint.inject()
    expect(await listBackups(world.storage)).toEqual([])
  })
})
