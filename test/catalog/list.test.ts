import { execFileSync } from "node:child_process"
import { rename, rm, symlink } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterEach, beforeEach, expect, test } from "vitest"
import { keyOf } from "../../task/catalog/catalog.ts"
import { list, listFailure } from "../../task/catalog/list.ts"
import { formatList } from "../../task/commands/list.ts"
import { paintStates } from "../../task/commands/state-in-words.ts"
import { PgstowError } from "../../task/errors.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { override } from "../support/override.ts"
import { quiet } from "../support/quiet.ts"
import { sampleManifest, storeSample } from "../support/sample-backup.ts"
import { type Storages, startFileStorages } from "../support/storage-kinds.ts"

const ids = ["20260101T030000Z-aaaaaaaa", "20260102T030000Z-bbbbbbbb", "20260103T030000Z-cccccccc"] as const

const noRoute = new PgstowError("storage", "no route to host")

let storages: Storages
let first: Storage
let second: Storage
beforeEach(async () => {
  storages = await startFileStorages()
  first = storages.open()
  second = storages.open()
})
afterEach(() => storages.close())

test("every backup is told with its time, sizes and state", async () => {
  await storeSample(first, { id: ids[0], checks: ["deep-verified"] })
  await storeSample(first, { id: ids[1], database: "sh\nop", checks: ["failed"] })
  const result = await list([first], quiet.log)
  expect(result.backups[1]).toEqual({
    storage: first.url,
    database: "orders",
    id: ids[0],
    startedAt: "2026-01-01T03:00:00.000Z",
    seconds: 83.5,
    storedBytes: 1_360_037,
    rawBytes: 5_440_148,
    signer: null,
    encrypted: true,
    partial: null,
    state: "verified",
    lastCheck: { kind: "deep-verified", at: "2026-01-01T04:00:00.000Z" },
    lastVerification: { kind: "deep-verified", at: "2026-01-01T04:00:00.000Z" },
    lastDrill: null,
    pinned: false,
    problem: null,
  })
  expect(formatList(result, { width: 80 }).split("\n")).toEqual([
    "ID                         DATABASE   STORED      RAW  STATE",
    `${ids[1]}  sh\\nop    1.3 MiB  5.2 MiB  failed`,
    `${ids[0]}  orders    1.3 MiB  5.2 MiB  deep-verified`,
  ])
  expect(formatList(result, { long: true }).split("\n")).toEqual([
    "ID                         DATABASE  STARTED                   STORED      RAW        TOOK  STATE",
    `${ids[1]}  sh\\nop    2026-01-02 03:00:00 UTC  1.3 MiB  5.2 MiB  1 min 24 s  failed`,
    `${ids[0]}  orders    2026-01-01 03:00:00 UTC  1.3 MiB  5.2 MiB  1 min 24 s  deep-verified`,
  ])
})

test("a drill is told beside the verification, whichever came first, and a failure in its place", async () => {
  const more = "20260104T030000Z-dddddddd"
  await storeSample(first, { id: ids[0], checks: ["drilled", "verified"] })
  await storeSample(first, { id: ids[1], checks: ["verified", "deep-verified", "drilled"] })
  await storeSample(first, { id: ids[2], checks: ["verified", "drill-failed"] })
  await storeSample(first, { id: more, checks: ["verified", "drilled", "failed"] })
  const result = await list([first], quiet.log)
  expect(
    result.backups.map(({ state, lastVerification, lastDrill }) => [
      state,
      lastVerification?.kind,
      lastDrill?.kind,
    ]),
  ).toEqual([
    ["failed", undefined, "drilled"],
    ["verified", "verified", "drill-failed"],
    ["verified", "deep-verified", "drilled"],
    ["verified", "verified", "drilled"],
  ])
  const states = formatList(result, { width: 80 })
    .split("\n")
    .map((line) => line.replace(/^.*MiB {2}/, ""))
  expect(states.slice(1)).toEqual([
    "failed, drilled",
    "verified, drill-failed",
    "deep-verified, drilled",
    "verified, drilled",
  ])
})

test("a drill without a verification is told alone", async () => {
  await storeSample(first, { id: ids[0], checks: ["drilled"] })
  expect(formatList(await list([first], quiet.log))).toMatch(/MiB {2}drilled$/)
})

test("the sizes of three backups and more are drawn from 0 on, the newest last, with its age", async () => {
  const sizes = [1, 4, 8]
  for (const [index, id] of ids.entries()) {
    const main = Buffer.alloc((sizes[index] ?? 0) * 1000)
    await storeSample(first, { id, objects: { "main.dump.zst.age": main } })
    await storeSample(second, { id, objects: { "main.dump.zst.age": main } })
  }
  await storeSample(first, { id: ids[0], database: "shop" })
  const result = await list([first, second], quiet.log)
  const trendsAt = new Date("2026-01-03T08:00:00Z")
  const drawn = "orders  ▂▅█  newest 5 h ago, took 1 min 24 s, 3 backups, 25.4 KiB in all"
  expect(formatList(result, { trendsAt }).split("\n").slice(-2)).toEqual(["", drawn])
  for (const line of formatList(result, { trendsAt, width: 40 }).split("\n"))
    if (!line.includes("file://")) expect(line.length).toBeLessThanOrEqual(40)
  expect(formatList(result)).not.toContain("▂")
})

test("a narrow terminal has no raw sizes rather than two lines for each", async () => {
  await storeSample(first, { id: ids[0], checks: ["verified", "drilled"] })
  const result = await list([first], quiet.log)
  expect(formatList(result, { width: 80 })).toContain("  RAW  ")
  expect(formatList(result, { width: 70 }).split("\n")).toEqual([
    "ID                         DATABASE   STORED  STATE",
    `${ids[0]}  orders    1.3 MiB  verified, drilled`,
  ])
})

test("on a terminal states have colours, and nothing else", () => {
  expect(
    paintStates(
      "id  failed.db  7 B  verified, drill-failed, pinned  1\n  deep-verified\nfailed 2026-01-01 of 3\n",
    ),
  ).toBe(
    "id  failed.db  7 B  \x1b[32mverified\x1b[0m, \x1b[31mdrill-failed\x1b[0m, \x1b[36mpinned\x1b[0m  1\n" +
      "  \x1b[32mdeep-verified\x1b[0m\n\x1b[31mfailed\x1b[0m 2026-01-01 of 3\n",
  )
})

test("a backup that can't be read is listed with the reason below", async () => {
  await storeSample(first, { id: ids[0] })
  await storeSample(first, { id: ids[1] })
  await first.put(keyOf(sampleManifest({ id: ids[1] }), "manifest.json"), Buffer.from("{"))
  const result = await list([first], quiet.log)
  expect(result.backups[0]).toMatchObject({ id: ids[1], storedBytes: null, seconds: null, encrypted: null })
  const lines = formatList(result).split("\n")
  expect(lines[1]).toMatch(/^20260102.*- +- +unreadable$/)
  expect(lines[2]).toMatch(/^20260101.*unverified$/)
  expect(lines.slice(3)).toEqual(["", `${ids[1]}: ${result.backups[0]?.problem}`])
  expect(result.backups[0]?.problem).toContain("the manifest is not JSON")
})

test("a backup with a FIFO or a link in place of its manifest has its own problem, and is not waited for", async () => {
  for (const id of ids) await storeSample(first, { id })
  const manifestOf = (id: (typeof ids)[number]) =>
    join(fileURLToPath(first.url), keyOf(sampleManifest({ id }), "manifest.json"))
  await rename(manifestOf(ids[0]), `${manifestOf(ids[0])}.away`)
  await symlink(`${manifestOf(ids[0])}.away`, manifestOf(ids[0]))
  await rm(manifestOf(ids[1]))
  execFileSync("mkfifo", [manifestOf(ids[1])])
  const { backups } = await list([first], quiet.log)
  expect(backups.map(({ id }) => id)).toEqual([...ids].reverse())
  expect(backups[0]?.problem).toBeNull()
  expect(backups[1]?.problem).toMatch(/ has a FIFO in the place of the object orders\/\S+\/manifest\.json$/)
  expect(backups[2]?.problem).toMatch(/ has a symbolic link in the place of the object orders\//)
})

test("with several storages each copy says where it is", async () => {
  await storeSample(first, { id: ids[0] })
  await storeSample(second, { id: ids[0] })
  await storeSample(second, { id: ids[2], database: "shop" })
  const result = await list([first, second], quiet.log)
  expect(result.backups.map(({ id, storage }) => [id, storage])).toEqual([
    [ids[2], second.url],
    [ids[0], first.url],
    [ids[0], second.url],
  ])
  expect(formatList(result, { long: true }).split("\n")[2]).toContain(first.url)
  expect(formatList(result).split("\n")).toEqual([
    "ID                         DATABASE   STORED      RAW  STATE       IN",
    `${ids[2]}  shop      1.3 MiB  5.2 MiB  unverified  2`,
    `${ids[0]}  orders    1.3 MiB  5.2 MiB  unverified  1 2`,
    "",
    `1  ${first.url}`,
    `2  ${second.url}`,
  ])
  expect((await list([first, second], { database: "shop", warn() {} })).backups).toHaveLength(1)
})

test("a storage that does not answer hides nothing of the others, and the exit code tells", async () => {
  await storeSample(first, { id: ids[0] })
  const dead = override(second, { listFolders: () => Promise.reject(noRoute) })
  const result = await list([dead, first], quiet.log)
  expect(result.backups.map(({ id }) => id)).toEqual([ids[0]])
  expect(result.unlisted).toEqual([
    { storage: second.url, database: null, problem: "no route to host", hint: null },
  ])
  expect(formatList(result).split("\n").slice(-2)).toEqual(["", "not listed: no route to host"])
  expect(listFailure(result)).toMatchObject({
    exitCode: 4,
    message: "not all could be listed: no route to host",
  })
  expect(listFailure(await list([first], quiet.log))).toBeUndefined()
})

test("where no storage has a backup and one does not answer, that is what is told", async () => {
  await storeSample(first, { id: ids[0] })
  const dead = override(second, { listFolders: () => Promise.reject(noRoute) })
  await expect(list([dead], quiet.log)).rejects.toThrow(noRoute)
  await expect(list([dead, first], { database: "shop", warn() {} })).rejects.toThrow(noRoute)
})

test("a database's folder that can't be listed hides nothing of the other databases", async () => {
  await storeSample(first, { id: ids[0] })
  await storeSample(first, { id: ids[1], database: "shop" })
  const half = override(first, {
    listFolders: (prefix) => (prefix === "shop/" ? Promise.reject(noRoute) : first.listFolders(prefix)),
  })
  const result = await list([half], quiet.log)
  expect(result.backups.map(({ id }) => id)).toEqual([ids[0]])
  expect(listFailure(result)?.message).toBe(
    'not all could be listed: the backups of "shop": no route to host',
  )
  await expect(list([half], { ...quiet.log, database: "shop" })).rejects.toThrow(noRoute)
})

test("with several storages, one without any is named, and the others listed", async () => {
  await storeSample(first, { id: ids[0] })
  const warnings: string[] = []
  const { backups } = await list([first, second], { warn: (message) => void warnings.push(message) })
  expect(backups).toHaveLength(1)
  expect(warnings).toEqual([
    `the directory ${second.url} does not exist: Backups were found in ${first.url}.`,
  ])
})
