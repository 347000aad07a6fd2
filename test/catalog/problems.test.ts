import { chmod, rename, rm, symlink, truncate, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import {
  keyOf,
  listBackups,
  maxManifestBytes,
  newestVerified,
  putManifest,
} from "../../task/catalog/catalog.ts"
import { cleanup } from "../../task/catalog/clean-up.ts"
import { list, listFailure } from "../../task/catalog/list.ts"
import { show } from "../../task/catalog/show.ts"
import { status, statusFailure } from "../../task/catalog/status.ts"
import { formatList } from "../../task/commands/list.ts"
import type { Manifest } from "../../task/core/manifest.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { verifyCopies, verifyFailure } from "../../task/verify/verify.ts"
import { testContext } from "../support/context.ts"
import { notRun } from "../support/not-run.ts"
import { override } from "../support/override.ts"
import { quiet } from "../support/quiet.ts"
import { sampleManifest, storeSample } from "../support/sample-backup.ts"
import { keysOf } from "../support/storage-contents.ts"
import { startFileStorages, startS3Storages } from "../support/storage-kinds.ts"

const ids = ["20260101T030000Z-aaaaaaaa", "20260102T030000Z-bbbbbbbb", "20260103T030000Z-cccccccc"] as const
const [oldest, bad, newest] = ids
const badManifest = keyOf(sampleManifest({ id: bad }), "manifest.json")
const needsNotRoot = notRun(process.getuid?.() !== 0, "root may read every folder")
const now = () => new Date("2026-01-03T05:00:00Z")
const noClock = { clock: () => undefined }

/** Everything but the bad backup is as ever, and the bad one is named and kept. */
async function expectOwnProblem(storage: Storage, problem: RegExp): Promise<void> {
  const before = await keysOf(storage)
  const entries = await listBackups(storage)
  expect(entries.map(({ id, problem }) => [id, problem !== undefined])).toEqual([
    [newest, false],
    [bad, true],
    [oldest, false],
  ])
  const listed = await list([storage], quiet.log)
  expect(listed.backups[1]?.problem).toMatch(problem)
  expect(formatList(listed)).toMatch(/unreadable/)

  const context = { ...testContext(), now }
  expect(statusFailure(await status([storage], { maxAgeHours: 26 }, context))).toBeUndefined()
  const cleaned = await cleanup([storage], { policy: { keepLast: 1 }, dryRun: true }, context)
  expect(cleaned.storages[0]?.error).toBeNull()
  expect(cleaned.storages[0]?.decisions.filter(({ keep }) => !keep).map(({ id }) => id)).toEqual([oldest])
  expect(cleaned.storages[0]?.decisions.find(({ id }) => id === bad)).toMatchObject({
    state: "unreadable",
    keep: true,
  })
  const good = await verifyCopies(
    [storage],
    { backup: newest, database: undefined, deep: undefined },
    context,
  )
  expect(good.results).toMatchObject([{ kind: "verified" }])
  const added = (await keysOf(storage)).filter((key) => !before.includes(key))
  expect(added.every((key) => key.startsWith(`orders/${newest}/checks/`))).toBe(true)
}

describe("in a bucket", () => {
  let storages: Awaited<ReturnType<typeof startS3Storages>>
  let storage: Storage
  beforeAll(async () => {
    storages = await startS3Storages()
  })
  afterAll(() => storages.close())
  beforeEach(async () => {
    storage = override(storages.open(), noClock)
    for (const id of ids) await storeSample(storage, { id, checks: ["verified"] })
  })
  afterEach(() => {
    storages.endpoint.inject()
    storage.close()
  })

  test.each([
    [403, "AccessDenied", /access denied/],
    [403, "InvalidObjectState", /the object is in an archive/],
    [500, "InternalError", /InternalError/],
  ])("a manifest that answers %i %s is its own backup's problem", async (status, code, problem) => {
    storages.endpoint.inject(({ key }) => (key.endsWith(badManifest) ? { status, code } : undefined))
    await expectOwnProblem(storage, problem)
  })

  test("a manifest that breaks off every time is its own backup's problem", async () => {
    storages.endpoint.inject(({ key }) => (key.endsWith(badManifest) ? "break" : undefined))
    await expectOwnProblem(storage, /cannot read orders.*manifest\.json/)
  })

  test("a folder that a bucket does not list is its own database's problem", async () => {
    await storeSample(storage, { id: newest, database: "shop", checks: ["verified"] })
    storages.endpoint.inject(({ prefix }) =>
      prefix.endsWith("/shop/") ? { status: 403, code: "AccessDenied" } : undefined,
    )
    const listed = await list([storage], quiet.log)
    expect(listed.backups.map(({ id }) => id)).toEqual([newest, bad, oldest])
    expect(listFailure(listed)).toMatchObject({ exitCode: 4, message: /the backups of "shop": .*denied/ })
    const context = { ...testContext(), now }
    const looked = await status([storage], { maxAgeHours: 26 }, context)
    expect(looked.databases).toMatchObject([{ database: "orders", id: newest }])
    expect(statusFailure(looked)).toMatchObject({ exitCode: 4 })
    const [cleaned] = (await cleanup([storage], { policy: { keepLast: 1 }, dryRun: true }, context)).storages
    expect(cleaned).toMatchObject({ removedBackups: 2, error: /backups of shop can't be listed/ })
    const copies = await verifyCopies(
      [storage],
      { backup: "latest", database: "orders", deep: undefined },
      context,
    )
    expect(copies.results).toMatchObject([{ id: newest, kind: "verified" }])
  })

  test("a bucket that stops answering midway stops all", async () => {
    const listed = new Set<string>()
    storages.endpoint.inject(({ operation }) => {
      listed.add(operation)
      return listed.has("GetObject") ? { status: 403, code: "AccessDenied" } : undefined
    })
    await expect(listBackups(storage)).rejects.toMatchObject({ kind: "storage" })
  })

  test("a copy that can't be read keeps no other copy from being verified, and is told", async () => {
    const other = override(storages.open(), noClock)
    await storeSample(other, { id: bad })
    const root = new URL(storage.url).pathname.slice(1)
    storages.endpoint.inject(({ key }) =>
      key === `${root}/${badManifest}` ? { status: 403, code: "AccessDenied" } : undefined,
    )
    const context = testContext()
    const copies = await verifyCopies(
      [storage, other],
      { backup: bad, database: undefined, deep: undefined },
      context,
    )
    expect(copies.results).toMatchObject([{ storage: other.url, kind: "verified" }])
    expect(copies.unknown).toMatchObject([{ id: bad, database: "orders" }])
    expect(verifyFailure(copies)).toMatchObject({ kind: "storage", exitCode: 4 })
    expect(context.warnings).toMatchObject([/access denied/])
    other.close()
  })
})

describe("in a directory", () => {
  let storages: Awaited<ReturnType<typeof startFileStorages>>
  let storage: Storage
  let folder: string
  beforeEach(async () => {
    storages = await startFileStorages()
    const opened = storages.open()
    storage = override(opened, noClock)
    folder = opened.url.replace("file://", "")
    for (const id of ids) await storeSample(storage, { id, checks: ["verified"] })
  })
  afterEach(() => storages.close())

  test("a manifest that is a symbolic link is its own backup's problem", async () => {
    await rename(join(folder, badManifest), join(folder, "elsewhere"))
    await symlink(join(folder, "elsewhere"), join(folder, badManifest))
    await expectOwnProblem(storage, / has a symbolic link in the place of /)
  })

  test("checks that are a file are their own backup's problem, which can still be read", async () => {
    const checks = join(folder, "orders", bad, "checks")
    await rm(checks, { recursive: true })
    await writeFile(checks, "")
    await expectOwnProblem(storage, /cannot list .*checks/)
    const context = testContext()
    const shown = await show([storage], { backup: bad }, context)
    expect(shown).toMatchObject({ state: "unverified", checks: [], manifest: { id: bad } })
    expect(context.warnings).toMatchObject([/what checks found is not known/])
    expect(formatList(await list([storage], quiet.log))).toMatch(/checks unreadable/)
  })

  test.skipIf(needsNotRoot)(
    `a folder that may not be read is its own backup's problem${needsNotRoot}`,
    async () => {
      await chmod(join(folder, "orders", bad), 0)
      await expectOwnProblem(storage, /denied/)
      await chmod(join(folder, "orders", bad), 0o700)
    },
  )

  test("a manifest far above any real size is refused before all of it is read", async () => {
    await truncate(join(folder, badManifest), 600 * 1024 * 1024)
    let readBytes = 0
    const counting = override(storage, {
      readAtMost: async (key, maxBytes) => {
        const bytes = await storage.readAtMost(key, maxBytes)
        if (key === badManifest) readBytes += bytes.length
        return bytes
      },
    })
    const entries = await listBackups(counting)
    expect(entries.map(({ problem }) => problem?.message)).toEqual([
      undefined,
      `${storage.url} ${badManifest} is larger than 64 MiB, which no manifest may be`,
      undefined,
    ])
    expect(readBytes).toBeLessThan(maxManifestBytes + 32 * 1024 * 1024)
    expect(newestVerified(entries, now())?.id).toBe(newest)
  })
})

test("a backup whose manifest would be too large is not given one", async () => {
  const storages = await startFileStorages()
  const storage = storages.open()
  const manifest: Manifest = { ...sampleManifest({ id: oldest }), writtenBy: "x".repeat(maxManifestBytes) }
  await expect(putManifest(storage, manifest)).rejects.toThrow("larger than 64 MiB")
  expect(await keysOf(storage)).toEqual([])
  await storages.close()
})
