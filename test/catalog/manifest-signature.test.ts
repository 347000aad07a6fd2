import { afterEach, beforeEach, expect, test } from "vitest"
import { keyOf, manifestsBefore, putManifest, readManifest, readStorage } from "../../task/catalog/catalog.ts"
import { cleanup } from "../../task/catalog/clean-up.ts"
import { findBackup, readCatalog } from "../../task/catalog/find-backup.ts"
import { signManifest } from "../../task/catalog/manifest-signature.ts"
import { show } from "../../task/catalog/show.ts"
import { status, statusFailure } from "../../task/catalog/status.ts"
import { formatShow } from "../../task/commands/show.ts"
import { formatManifest, type Manifest } from "../../task/core/manifest.ts"
import { PgstowError } from "../../task/errors.ts"
import { generateSigningKey, loadSigningKey, type SigningKey } from "../../task/keys/signing-key.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { verifyCopies, verifyFailure } from "../../task/verify/verify.ts"
import { testContext } from "../support/context.ts"
import { rejectionOf } from "../support/failure.ts"
import { override } from "../support/override.ts"
import { quiet } from "../support/quiet.ts"
import { sampleManifest, sampleObjects, storeSample } from "../support/sample-backup.ts"
import { contentOf, keysOf } from "../support/storage-contents.ts"
import { type Storages, startFileStorages } from "../support/storage-kinds.ts"

const ids = [
  "20260101T030000Z-aaaaaaaa",
  "20260102T030000Z-bbbbbbbb",
  "20260103T030000Z-cccccccc",
  "20260104T030000Z-dddddddd",
] as const
const [oldest, older, newer, newest] = ids

let storages: Storages
let storage: Storage
let mine: SigningKey
let other: SigningKey
beforeEach(async () => {
  storages = await startFileStorages()
  storage = override(storages.open(), { clock: () => undefined })
  ;[mine, other] = [await newKey(), await newKey()]
})
afterEach(() => storages.close())

const newKey = () =>
  loadSigningKey(generateSigningKey().key, { readSecret: () => Promise.reject(new Error()), warn: () => {} })

/** Stores a backup that is signed by `key`. */
async function storeSigned(id: string, key = mine): Promise<Manifest> {
  const sample = await storeSample(storage, { id, checks: ["verified"] })
  const manifest = signManifest(sample, key)
  await storage.put(keyOf(manifest, "manifest.json"), Buffer.from(formatManifest(manifest)))
  return manifest
}

const bytesOf = (manifest: Manifest) => contentOf(storage, keyOf(manifest, "manifest.json"))
const replace = (manifest: Manifest, bytes: Uint8Array) =>
  storage.put(keyOf(manifest, "manifest.json"), bytes)
const refusal = (name: Manifest, signedBy = [mine.signer]) =>
  rejectionOf(readManifest(storage, name, signedBy))

test("a signed manifest is what it was with one line more, which is the second", async () => {
  const unsigned = sampleManifest({ id: oldest })
  const signed = signManifest(unsigned, mine)
  const [brace, line, ...rest] = formatManifest(signed).split("\n")
  expect([brace, ...rest].join("\n")).toBe(formatManifest(unsigned))
  expect(line).toMatch(new RegExp(`^  "signature": "${mine.signer} [A-Za-z0-9+/]{86}==",$`))
  // Signing it once more signs the same.
  expect(signManifest(signed, mine)).toEqual(signed)
})

test("a signed manifest is read by whoever asks for nothing, for its key, or for one of several", async () => {
  const manifest = await storeSigned(oldest)
  for (const signedBy of [[], [mine.signer], [other.signer, mine.signer]])
    expect(await readManifest(storage, manifest, signedBy)).toEqual(manifest)
})

test("an unsigned one, and one that another key has signed, are refused where a key is asked for", async () => {
  const unsigned = await storeSample(storage, { id: oldest })
  const refused = await refusal(unsigned)
  expect(refused).toMatchObject({ kind: "signature", exitCode: 13 })
  expect(refused.message).toBe(`${storage.url} orders/${oldest}/manifest.json is not signed`)
  expect(refused.hint).toContain("--signed-by (PGSTOW_SIGNED_BY)")
  const others = await storeSigned(older, other)
  expect(await refusal(others)).toMatchObject({
    kind: "signature",
    message: `${storage.url} orders/${older}/manifest.json is signed by ${other.signer}, which is not trusted`,
  })
})

test("not one byte of a signed manifest can be changed", async () => {
  const manifest = await storeSigned(oldest)
  const bytes = await bytesOf(manifest)
  let tried = 0
  for (const index of bytes.keys())
    for (const bit of [1, 32, 128]) {
      const changed = Buffer.from(bytes)
      changed[index] = (changed[index] ?? 0) ^ bit
      const stored = override(storage, { readAtMost: async () => changed })
      await expect(readManifest(stored, manifest, [mine.signer])).rejects.toMatchObject({ kind: "signature" })
      tried += 1
    }
  expect(tried).toBe(3 * bytes.length)
})

test("nothing can be said beside what was signed, before it, after it or twice", async () => {
  const manifest = await storeSigned(oldest)
  const text = (await bytesOf(manifest)).toString()
  const [brace = "", line = "", ...rest] = text.split("\n")
  const changes = [
    [brace, line, '  "database": "other",', ...rest],
    [brace, '  "database": "other",', line, ...rest],
    [brace, ...rest.slice(0, 1), line, ...rest.slice(1)],
    [brace, line, line, ...rest],
    [brace, line.replace(/,$/, ', "database": "other",'), ...rest],
    ["", brace, line, ...rest],
    [brace, line, ...rest, "{}"],
    [JSON.stringify(JSON.parse(text))],
  ]
  for (const change of changes) {
    await replace(manifest, Buffer.from(change.join("\n")))
    expect(await refusal(manifest)).toMatchObject({ kind: "signature" })
  }
})

test("the signature of another backup, or another backup's whole manifest, is refused", async () => {
  const [first, second] = [await storeSigned(oldest), await storeSigned(older)]
  await replace(second, Buffer.from(formatManifest({ ...second, signature: first.signature })))
  expect(await refusal(second)).toMatchObject({ kind: "signature" })
  await replace(second, await bytesOf(first))
  const replayed = await refusal(second)
  expect(replayed.kind).toBe("damaged")
  expect(replayed.message).toContain(`is the manifest of backup ${oldest}`)
})

test("the latest is the latest that is signed, and what is passed over is said", async () => {
  await storeSigned(oldest)
  await storeSample(storage, { id: newest, checks: ["verified"] })
  const context = testContext()
  const catalog = await readCatalog([storage], { signedBy: [mine.signer], warn: context.log.warn })
  const { entry, passedOver } = findBackup(catalog, "latest")
  expect([entry.id, passedOver.map(({ id }) => id)]).toEqual([oldest, [newest]])
  expect(() => findBackup(catalog, newest)).toThrow("is not signed")
})

test("what is not signed pushes no signed backup out, and makes no status good", async () => {
  for (const id of [oldest, older]) await storeSigned(id)
  for (const id of [newer, newest]) await storeSample(storage, { id, checks: ["verified"] })
  const now = () => new Date("2026-01-04T05:00:00Z")
  const context = { ...testContext(), now }
  const options = { policy: { keepLast: 1 }, dryRun: false }
  const cleaned = await cleanup([storage], { ...options, signedBy: [mine.signer] }, context)
  expect(cleaned.storages[0]?.decisions.map(({ id, state, keep }) => [id, state, keep])).toEqual([
    [newest, "unreadable", true],
    [newer, "unreadable", true],
    [older, "verified", true],
    [oldest, "verified", false],
  ])
  const found = await status([storage], { maxAgeHours: 26, signedBy: [mine.signer] }, context)
  expect(found.databases).toMatchObject([{ id: older, overdue: true }])
  expect(statusFailure(found)?.exitCode).toBe(11)
  expect(statusFailure(await status([storage], { maxAgeHours: 26 }, context))).toBeUndefined()
})

test("a new backup is compared with signed ones only, however many others there are", async () => {
  const signed = await storeSigned(oldest)
  await storeSigned(older, other)
  await storeSample(storage, { id: newer })
  const last = { database: "orders", id: newest }
  expect(await manifestsBefore(storage, last, 1, [mine.signer])).toEqual([signed])
  expect((await manifestsBefore(storage, last, 2)).map(({ id }) => id)).toEqual([newer, older])
})

test("verify looks at the copies that are signed, refuses the others, and records nothing there", async () => {
  await storeSigned(oldest)
  const second = storages.open()
  await storeSample(second, { id: oldest })
  const before = await keysOf(second)
  const choice = { backup: oldest, database: undefined, deep: undefined, signedBy: [mine.signer] }
  const copies = await verifyCopies([storage, second], choice, testContext())
  expect(copies.results).toMatchObject([{ storage: storage.url, kind: "verified" }])
  expect(verifyFailure(copies)).toMatchObject({ kind: "signature" })
  expect(await rejectionOf(verifyCopies([second], choice, testContext()))).toMatchObject({
    kind: "signature",
  })
  expect(await keysOf(second)).toEqual(before)
})

test("show says by which key, and whether that was checked", async () => {
  await storeSigned(oldest)
  const plain = await show([storage], { backup: oldest }, quiet)
  expect(formatShow(plain)).toContain(
    `\nsignature    by ${mine.signer}, not checked: --signed-by does that\n`,
  )
  const checked = await show([storage], { backup: oldest, signedBy: [mine.signer] }, quiet)
  expect(checked).toMatchObject({ signer: mine.signer, trusted: true })
  expect(formatShow(checked)).toContain(`\nsignature    by ${mine.signer}\n`)
})

test("a writer puts a signed manifest as one object, and never over another", async () => {
  const sample = sampleManifest({ id: oldest })
  for (const [name, bytes] of Object.entries(sampleObjects(oldest)))
    await storage.put(keyOf(sample, name), bytes)
  const signed = signManifest(sample, mine)
  await putManifest(storage, signed)
  expect((await readStorage(storage, { signedBy: [mine.signer] })).entries).toMatchObject([
    { manifest: signed },
  ])
  await expect(putManifest(storage, signed)).rejects.toThrow(PgstowError)
})
