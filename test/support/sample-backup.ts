import { createHash } from "node:crypto"
import { keyOf, putCheck, putManifest, readFindings } from "../../task/catalog/catalog.ts"
import { startOf } from "../../task/core/backup-id.ts"
import type { CheckKind } from "../../task/core/check.ts"
import { formatVersion, type Manifest } from "../../task/core/manifest.ts"
import type { Storage } from "../../task/storage/storage.ts"

export type SampleBackup = {
  readonly id: string
  readonly database?: string
  /** The objects' bytes by name; the first is the main one. */
  readonly objects?: Readonly<Record<string, Uint8Array>>
  /** The findings of checks, a minute apart from an hour after the start on. */
  readonly checks?: readonly CheckKind[]
}

/** A manifest that is right about `objects`. */
export function sampleManifest({ id, database = "orders", objects }: SampleBackup): Manifest {
  const startedAt = startOf(id)
  return {
    format: formatVersion,
    id,
    database,
    writtenBy: "pgstow 0.1.0",
    startedAt: startedAt.toISOString(),
    finishedAt: new Date(startedAt.getTime() + 83_500).toISOString(),
    source: {
      database,
      serverVersion: "17.10",
      clientVersion: "pg_dump (PostgreSQL) 17.10",
      sizeBytes: 9_000_000,
      encoding: "UTF8",
      localeProvider: "libc",
      collate: "en_US.UTF-8",
      ctype: "en_US.UTF-8",
      locale: null,
      icuRules: null,
      settings: ["search_path=app, public"],
      roles: ["app", "owner"],
      extensions: [{ name: "plpgsql", version: "1.0" }],
      tables: 12,
    },
    snapshot: { time: startedAt.toISOString(), lsn: "0/1A2B3C4D" },
    compression: { algorithm: "zstd", level: 1 },
    encryption: { algorithm: "age", recipients: ["age1qqqsample"] },
    objects: Object.entries(objects ?? sampleObjects(id)).map(([name, bytes], index) => ({
      name,
      kind: index === 0 ? "main" : "globals",
      sizeBytes: bytes.length,
      sha256: createHash("sha256").update(bytes).digest("hex"),
      rawBytes: bytes.length * 4,
    })),
  }
}

/** Objects of the same sizes for every id, and with different bytes. */
export function sampleObjects(id: string): Record<string, Uint8Array> {
  return {
    "main.dump.zst.age": Buffer.from(`main of ${id}\n`.repeat(40_000)),
    "globals.sql.zst.age": Buffer.from(`globals of ${id}\n`),
  }
}

/** Stores a whole backup, the manifest last, and its checks. */
export async function storeSample(storage: Storage, backup: SampleBackup): Promise<Manifest> {
  const manifest = sampleManifest(backup)
  for (const [name, bytes] of Object.entries(backup.objects ?? sampleObjects(backup.id)))
    await storage.put(keyOf(manifest, name), bytes)
  await putManifest(storage, manifest)
  for (const [index, kind] of (backup.checks ?? []).entries()) {
    const at = new Date(startOf(backup.id).getTime() + 3_600_000 + index * 60_000).toISOString()
    const problems = kind.endsWith("failed")
      ? [{ object: "main.dump.zst.age", expected: "3 bytes", found: "2 bytes" }]
      : []
    const check = { kind, at, by: "pgstow 0.1.0", problems }
    await putCheck(storage, manifest, check, await readFindings(storage, manifest))
  }
  return manifest
}
