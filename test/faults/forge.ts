import { createHash } from "node:crypto"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"

export type ForgedState = "verified" | "unverified" | "failed"

export type Forged = {
  /** The folder of the storage. */
  readonly root: string
  /** A name that needs no encoding. */
  readonly database: string
  readonly id: string
  readonly state: ForgedState
}

/** "20260102T030000Z": as ids have it. */
export function timestamp(time: Date): string {
  return `${time.toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`
}

/** Writes a small backup as the format document says, without pgstow: what it holds can't be opened. */
export async function forgeBackup({ root, database, id, state }: Forged): Promise<void> {
  const folder = join(root, database, id)
  await mkdir(join(folder, "checks"), { recursive: true })
  const main = Buffer.from(`main of ${database} ${id}\n`)
  await writeFile(join(folder, "main.dump.zst.age"), main)
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z/.exec(id) ?? []
  const time = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`
  const manifest = {
    format: 1,
    id,
    database,
    writtenBy: "pgstow 0.1.0",
    startedAt: time,
    finishedAt: time,
    source: {
      database,
      serverVersion: "17.10",
      clientVersion: "17.10",
      sizeBytes: 9_000_000,
      encoding: "UTF8",
      localeProvider: "libc",
      collate: "C",
      ctype: "C",
      locale: null,
      icuRules: null,
      settings: [],
      roles: ["app"],
      extensions: [{ name: "plpgsql", version: "1.0" }],
      tables: 12,
    },
    tableRows: Array.from({ length: 40 }, (_, n) => ({ table: `public.table_${n}`, rows: n * 1_000 })),
    snapshot: { time, lsn: "0/1A2B3C4D" },
    compression: { algorithm: "zstd", level: 1 },
    encryption: { algorithm: "age", recipients: ["age1forged"] },
    objects: [
      {
        name: "main.dump.zst.age",
        kind: "main",
        sizeBytes: main.length,
        sha256: createHash("sha256").update(main).digest("hex"),
        rawBytes: 4 * main.length,
      },
    ],
  }
  if (state !== "unverified") {
    const problems =
      state === "failed" ? [{ object: "main.dump.zst.age", expected: "3 bytes", found: "2 bytes" }] : []
    const check = { kind: state, at: time, by: "pgstow 0.1.0", problems }
    const name = `${id.slice(0, 16)}-${state}-${id.slice(-8)}-after-none.json`
    await writeFile(join(folder, "checks", name), JSON.stringify(check))
  }
  await writeFile(join(folder, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`)
}
