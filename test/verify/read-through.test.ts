import { createHash } from "node:crypto"
import { zstdCompressSync } from "node:zlib"
import { beforeEach, expect, test } from "vitest"
import { keyOf, putManifest, removeBackup } from "../../task/catalog/catalog.ts"
import type { Manifest, ManifestObject, SegmentObject } from "../../task/core/manifest.ts"
import { prefixOf } from "../../task/processes/exec-prefix.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { readThrough } from "../../task/verify/read-through.ts"
import { clientsWith } from "../support/client-folder.ts"
import { testContext } from "../support/context.ts"
import { dumpOf } from "../support/dump.ts"
import { override } from "../support/override.ts"
import { sampleManifest } from "../support/sample-backup.ts"
import { sharedPostgres } from "../support/shared-postgres.ts"
import { startFileStorages } from "../support/storage-kinds.ts"

const rows = Buffer.from("1\tone\n2\ttwo\\nlines\n")
const segment = {
  kind: "segment",
  schema: "public",
  table: "t",
  columns: ["n", "text"],
  rows: 2,
  pages: null,
} satisfies Partial<SegmentObject>

let storage: Storage
let manifest: Manifest
beforeEach(async () => {
  const storages = await startFileStorages()
  storage = storages.open()
  const server = await sharedPostgres()
  const database = await server.createDatabase()
  await server.psql("CREATE TABLE t (n int, text text)", database)
  const dump = await dumpOf(server, database, "--exclude-table-data=t")
  manifest = {
    ...sampleManifest({ id: "20260101T030000Z-aaaaaaaa" }),
    encryption: { algorithm: "none" },
    source: { ...sampleManifest({ id: "20260101T030000Z-aaaaaaaa" }).source, clientVersion: server.version },
  }
  manifest.objects = [
    { kind: "main", ...(await store("main.dump.zst", dump)) },
    { kind: "globals", ...(await store("globals.sql.zst", Buffer.from("SELECT 1;\n"))) },
    { ...segment, ...(await store("data/0001.copy.zst", rows)) },
  ]
})

const plainHead = "--\n-- PostgreSQL database dump\n--\n\n"

test("what is to be given to psql must be SQL of pg_dump, and all of the backup", async () => {
  const [main, , rowsOfT] = manifest.objects
  if (!main || !rowsOfT) throw new Error("the backup has no such objects")
  manifest.objects = [{ ...(await store("main.sql.zst", Buffer.from("PGDMP and so forth"))), kind: "plain" }]
  expect(await read()).toEqual([
    {
      object: "main.sql.zst",
      expected: "SQL of pg_dump",
      found: "pg_dump's custom format (pg_restore reads it)",
    },
  ])
  manifest.objects = [{ ...(await store("dump.sql.zst", Buffer.from(plainHead))), kind: "plain" }, rowsOfT]
  expect(await read()).toEqual([
    { object: rowsOfT.name, expected: "no rows beside the SQL", found: "rows of t" },
  ])
})

const contents = new Map<string, Buffer>()

type Stored = Pick<ManifestObject, "name" | "sizeBytes" | "sha256" | "rawBytes">

async function store(name: string, raw: Buffer): Promise<Stored> {
  const bytes = zstdCompressSync(raw)
  await storage.put(keyOf(manifest, name), bytes)
  contents.set(name, bytes)
  const sha256 = createHash("sha256").update(bytes).digest("hex")
  return { name, sizeBytes: bytes.length, sha256, rawBytes: raw.length }
}

async function read(clients?: string) {
  const { binDir } = await sharedPostgres()
  return readThrough(storage, manifest, { identities: [], clientFolders: [clients ?? binDir] }, testContext())
}

test("a whole backup is read to its end", async () => {
  expect(await read()).toEqual([])
})

test("a segment that lacks a row is found, though its checksum is right", async () => {
  const raw = Buffer.from("1\tone and so forth\n")
  manifest.objects[2] = { ...segment, ...(await store("data/0001.copy.zst", raw)) }
  expect(raw.length).toBe(rows.length)
  expect(await read()).toEqual([{ object: "data/0001.copy.zst", expected: "2 rows", found: "1 rows" }])
})

test.each([
  ["is killed", "kill -KILL $$", { message: "pg_restore was ended by SIGKILL", kind: "postgres" }],
  ["stops reading and is killed", "head -c 1 >/dev/null; kill -TERM $$", { kind: "postgres" }],
])("a program that %s says nothing of the backup", async (_, script, failure) => {
  const clients = await clientsWith(await sharedPostgres(), "pg_restore", script)
  await expect(read(clients)).rejects.toMatchObject(failure)
})

test("a program that finds fault with what it reads does", async () => {
  const clients = await clientsWith(await sharedPostgres(), "pg_restore", "cat >/dev/null; exit 1")
  expect(await read(clients)).toMatchObject([{ object: "main.dump.zst", found: "pg_restore exited with 1" }])
})

test("bytes that are missing are found, though the checksum is right", async () => {
  manifest.objects[2] = {
    ...segment,
    ...(await store("data/0001.copy.zst", rows)),
    rawBytes: rows.length + 1,
  }
  expect(await read()).toMatchObject([{ object: "data/0001.copy.zst", found: `${rows.length} bytes` }])
})

test("imported SQL is read without any program of PostgreSQL", async () => {
  manifest.objects = [
    { kind: "plain", ...(await store("main.sql.zst", Buffer.from(`${plainHead}CREATE TABLE t ();\n`))) },
  ]
  const context = testContext({ prefix: prefixOf("/nonexistent/program", 60, {}) })
  expect(await readThrough(storage, manifest, { identities: [], clientFolders: [] }, context)).toEqual([])
})

test("a backup that is removed meanwhile is no damage, whichever object is being read", async () => {
  const { binDir } = await sharedPostgres()
  const options = { identities: [], clientFolders: [binDir] }
  const whole = manifest.objects
  for (const { name } of whole) {
    for (const object of whole)
      await storage.put(keyOf(manifest, object.name), contents.get(object.name) ?? Buffer.alloc(0))
    await putManifest(storage, manifest)
    const removed = override(storage, {
      read: async (key, given) => {
        if (key === keyOf(manifest, name)) await removeBackup(storage, manifest)
        return storage.read(key, given)
      },
    })
    const reading = readThrough(removed, manifest, options, testContext())
    await expect(reading, name).rejects.toMatchObject({ kind: "notFound", message: /is no longer in/ })
  }
})

test("an object that is missing is damage, as long as there is the manifest", async () => {
  await putManifest(storage, manifest)
  await storage.remove([keyOf(manifest, "data/0001.copy.zst")])
  expect(await read()).toMatchObject([{ object: "data/0001.copy.zst", found: /is missing/ }])
})
