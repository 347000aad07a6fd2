import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { databaseFolder } from "../../task/core/database-folder.ts"
import { timestamp } from "../faults/forge.ts"

export type History = {
  /** The folder of the storage. */
  readonly root: string
  readonly database: string
  /** When the newest backup was begun. */
  readonly newest: Date
  readonly backups: number
  /** Days between two. */
  readonly every?: number
  /** How large the newest is, stored. */
  readonly storedBytes?: number
  readonly rows?: number
  /** What was found of the one so many backups before the newest; "verified" unless said. */
  readonly found?: (age: number) => Found
}

export type Found =
  | "verified"
  | "drilled"
  | "drill-failed"
  | "failed"
  | "unverified"
  | "no manifest"
  | "nothing"

const dayMs = 24 * 60 * 60 * 1000

/**
 * Writes what backups of many nights leave in a directory, as the format document says and without pgstow: manifests and
 * checks. The objects that they name are not there. Always the same for the same history.
 */
export function forgeHistory(history: History): void {
  const { root, database, newest, backups, every = 1, found = () => "verified" } = history
  const folder = join(root, databaseFolder(database))
  const random = randomFrom(database)
  for (let age = 0; age < backups; age += 1) {
    const kind = found(age)
    const noise = random() - 0.5
    if (kind === "nothing") continue
    const startedAt = new Date(newest.getTime() - age * every * dayMs + Math.round(noise * 60) * 1000)
    const suffix = `${age.toString(36).padStart(4, "0")}forg`
    const id = `${timestamp(startedAt)}-${suffix}`
    const backup = join(folder, id)
    mkdirSync(join(backup, "checks"), { recursive: true })
    if (kind === "no manifest") {
      writeFileSync(join(backup, "main.dump.zst.age"), "half")
      continue
    }
    const grown = 1 - (0.45 * age) / Math.max(1, backups)
    const storedBytes = Math.round((history.storedBytes ?? 850_000_000) * grown * (1 + noise * 0.03))
    const rows = Math.round((history.rows ?? 12_400_000) * grown)
    const seconds = (storedBytes / 9_000_000) * (1 + Math.abs(random() - 0.5) * 0.4) + 4
    writeFileSync(
      join(backup, "manifest.json"),
      JSON.stringify(manifestOf(database, id, startedAt, seconds, storedBytes, rows)),
    )
    const at = new Date(startedAt.getTime() + (seconds + 40) * 1000)
    const note = (name: string, check: object) =>
      writeFileSync(
        join(backup, "checks", name),
        JSON.stringify({ by: "pgstow 0.2.0", at: at.toISOString(), problems: [], ...check }),
      )
    if (kind === "unverified") continue
    if (kind === "failed") {
      const problems = [
        {
          object: "main.dump.zst.age",
          expected: `${storedBytes} bytes`,
          found: `${storedBytes - 4096} bytes`,
        },
      ]
      note(`${timestamp(at)}-failed-${suffix}-after-none.json`, { kind, problems })
      continue
    }
    note(`${timestamp(at)}-verified-${suffix}-after-none.json`, { kind: "verified" })
    if (kind === "verified") continue
    const later = new Date(at.getTime() + 3_600_000)
    const restoreSeconds = seconds * 2.2
    const drill = {
      server: "17.10",
      restoreSeconds,
      compareSeconds: 20,
      rows,
      objects: { TABLE: 40 },
      notes: [],
    }
    const problems =
      kind === "drilled" ? [] : [{ object: "extension postgis", expected: "version 3.4.2", found: "none" }]
    note(`${timestamp(later)}-${kind}-d${suffix.slice(1)}-after-none.json`, {
      kind,
      at: later.toISOString(),
      drill,
      problems,
    })
  }
}

function manifestOf(
  database: string,
  id: string,
  startedAt: Date,
  seconds: number,
  storedBytes: number,
  rows: number,
) {
  const finishedAt = new Date(startedAt.getTime() + seconds * 1000).toISOString()
  return {
    format: 1,
    id,
    database,
    writtenBy: "pgstow 0.2.0",
    startedAt: startedAt.toISOString(),
    finishedAt,
    source: {
      database,
      serverVersion: "17.10",
      clientVersion: "17.10",
      sizeBytes: storedBytes * 5,
      encoding: "UTF8",
      localeProvider: "libc",
      collate: "C",
      ctype: "C",
      locale: null,
      icuRules: null,
      settings: [],
      roles: ["app"],
      extensions: [{ name: "plpgsql", version: "1.0" }],
      tables: 40,
    },
    tableRows: Array.from({ length: 40 }, (_, n) => ({
      table: `public.table_${n}`,
      rows: Math.round(rows / 40),
    })),
    snapshot: { time: startedAt.toISOString(), lsn: "0/1A2B3C4D" },
    compression: { algorithm: "zstd", level: 1 },
    encryption: { algorithm: "age", recipients: ["age1forged"] },
    objects: [
      {
        name: "main.dump.zst.age",
        kind: "main",
        sizeBytes: storedBytes,
        sha256: "0123456789abcdef".repeat(4),
        rawBytes: Math.round(storedBytes * 3.6),
      },
    ],
  }
}

/** Numbers from 0 to 1 that look like chance: a linear congruential generator (Numerical Recipes). */
function randomFrom(text: string): () => number {
  let state = Buffer.from(text).reduce((sum, byte) => (sum * 31 + byte) >>> 0, 7)
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
