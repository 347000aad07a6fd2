import { afterEach, beforeEach, expect, test } from "vitest"
import { keyOf, listBackups, readChecks, readFindings, removeBackup } from "../../task/catalog/catalog.ts"
import { formatVerify } from "../../task/commands/verify.ts"
import type { Manifest } from "../../task/core/manifest.ts"
import { messageOf, PgstowError } from "../../task/errors.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { type CheckOptions, verify } from "../../task/verify/verify.ts"
import { version } from "../../task/version.ts"
import { rejectionOf } from "../support/failure.ts"
import { override } from "../support/override.ts"
import { storeSample } from "../support/sample-backup.ts"
import { keysOf } from "../support/storage-contents.ts"
import { type Storages, startFileStorages } from "../support/storage-kinds.ts"

const id = "20260101T030000Z-aaaaaaaa"
const main = "main.dump.zst.age"

let storages: Storages
let storage: Storage
let manifest: Manifest
beforeEach(async () => {
  storages = await startFileStorages()
  storage = storages.open()
  manifest = await storeSample(storage, { id })
})
afterEach(() => storages.close())

/** A context whose clock goes on by two seconds at every look. */
function contextFrom(start: string) {
  let time = Date.parse(start)
  return {
    now: () => {
      time += 2000
      return new Date(time)
    },
    progress: { update: () => {}, clear: () => {} },
    signal: new AbortController().signal,
  }
}
const context = contextFrom("2026-01-05T00:00:00Z")

/** Verifies the backup, knowing all that was found of it before. */
async function verifyNow(readThrough?: CheckOptions["readThrough"]) {
  return verify(storage, manifest, { seen: await readFindings(storage, manifest), readThrough }, context)
}

const stateNow = async () => (await listBackups(storage))[0]?.state

test("a good backup gets a record that says so", async () => {
  const result = await verifyNow()
  expect(result).toMatchObject({
    id,
    database: "orders",
    partial: null,
    kind: "verified",
    problems: [],
    objects: 2,
    seconds: 2,
  })
  expect(await stateNow()).toBe("verified")
  expect(await readChecks(storage, manifest)).toEqual([
    { kind: "verified", at: "2026-01-05T00:00:04.000Z", by: `pgstow ${version}`, problems: [] },
  ])
  expect(formatVerify(result)).toBe(
    `verified: ${id} of orders in ${storage.url}: 2 objects, 1.3 MiB in 2.0 s (664 KiB/s)`,
  )
})

test("damage is recorded and told, and mended damage is forgotten", async () => {
  const key = keyOf(manifest, main)
  await storage.put(key, Buffer.from("cut"))
  const result = await verifyNow()
  expect(result).toMatchObject({ kind: "failed", problems: [{ object: main, found: "3 bytes" }] })
  expect(await stateNow()).toBe("failed")
  expect((await readChecks(storage, manifest)).at(-1)?.problems).toEqual(result.problems)
  expect(formatVerify(result)).toBe(
    [
      `failed: ${id} of orders in ${storage.url}: 1 problem in 2 objects, 1.3 MiB`,
      `  ${main}: expected 1360000 bytes, found 3 bytes`,
    ].join("\n"),
  )
  await storage.put(key, Buffer.from(`main of ${id}\n`.repeat(40_000)))
  expect((await verifyNow()).kind).toBe("verified")
  expect(await stateNow()).toBe("verified")
})

test("a deep check reads only what has the right checksums, and only another one undoes its failure", async () => {
  const problem = { object: main, expected: "a whole age file", found: "its last chunk is missing" }
  const found = await verifyNow(async () => [problem])
  expect(found).toMatchObject({ kind: "deep-failed", problems: [problem] })
  expect((await verifyNow()).kind).toBe("verified")
  expect(await stateNow()).toBe("failed")
  expect((await verifyNow(async () => [])).kind).toBe("deep-verified")
  expect(await stateNow()).toBe("verified")

  await storage.remove([keyOf(manifest, main)])
  const unread = async () => Promise.reject(new Error("read what is damaged"))
  expect((await verifyNow(unread)).kind).toBe("failed")
})

test.each([
  ["a good backup", "storage", /was checked \(verified: nothing wrong was found\)/, false],
  ["a damaged one", "damaged", /was checked \(failed: main\.dump\.zst\.age: expected .*, found .*\)/, true],
])("of %s in a storage that takes no record, what was found is said", async (_, kind, words, isDamaged) => {
  if (isDamaged) await storage.remove([keyOf(manifest, main)])
  const refuses = override(storage, {
    put: async () => {
      throw new PgstowError("storage", "cannot write there: read-only", { hint: "Mount it for writing." })
    },
  })
  const failure = await rejectionOf(verify(refuses, manifest, { seen: [] }, context))
  expect(failure.kind).toBe(kind)
  expect(messageOf(failure)).toMatch(words)
  expect(messageOf(failure)).toMatch(/and no record of that could be stored: cannot write there: read-only$/)
  expect(failure.hint).toBe("Mount it for writing.")
})

test("a check that could not be made leaves no record", async () => {
  const noKey = async () => Promise.reject(new PgstowError("key", "no identity opens it"))
  await expect(verifyNow(noKey)).rejects.toMatchObject({ kind: "key" })
  expect(await readChecks(storage, manifest)).toEqual([])
  expect(await stateNow()).toBe("unverified")
})

test("a check that began before a failure was found does not clear it, though it ends later", async () => {
  const key = keyOf(manifest, main)
  const bytes = Buffer.from(`main of ${id}\n`.repeat(40_000))
  const before = await readFindings(storage, manifest)
  await storage.put(key, Buffer.from("cut"))
  expect((await verifyNow()).kind).toBe("failed")
  await storage.put(key, bytes)
  const anHourAhead = contextFrom("2026-01-05T01:00:00Z")
  expect((await verify(storage, manifest, { seen: before }, anHourAhead)).kind).toBe("verified")
  expect(await stateNow()).toBe("failed")
  expect((await verifyNow()).kind).toBe("verified")
  expect(await stateNow()).toBe("verified")
})

test("of a backup that is removed meanwhile nothing is said, and nothing is left beside it", async () => {
  const problem = { object: main, expected: "a whole age file", found: "it is missing" }
  for (const found of [[], [problem]]) {
    const removing = verifyNow(async () => {
      await removeBackup(storage, manifest)
      return found
    })
    await expect(removing).rejects.toMatchObject({ kind: "notFound", exitCode: 8 })
    expect(await keysOf(storage)).toEqual([])
    await storeSample(storage, { id })
  }
  const seen = await readFindings(storage, manifest)
  const removed = override(storage, {
    read: async (key, options) => {
      if (!key.endsWith("manifest.json")) await removeBackup(storage, manifest)
      return storage.read(key, options)
    },
  })
  await expect(verify(removed, manifest, { seen }, context)).rejects.toMatchObject({ kind: "notFound" })
  expect(await keysOf(storage)).toEqual([])
})
