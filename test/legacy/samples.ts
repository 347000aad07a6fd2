import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import type { LegacyKeys } from "../../task/legacy/open-legacy.ts"

/** The path of a file under test/fixtures/legacy. */
export function sample(name: string): string {
  return fileURLToPath(new URL(`../fixtures/legacy/${name}`, import.meta.url))
}

/** A file, the keys that open it and the rows it holds, as its README says. */
type Sample = {
  readonly name: string
  /** Undefined where the file opens without one. */
  readonly keyFile?: string
  readonly keys: LegacyKeys
  /** The rows of each table. */
  readonly rows: Readonly<Record<string, number>>
}

export const samples: readonly Sample[] = [
  {
    name: "emiti_metrics_20240115_030000.sql.gz.enc",
    keyFile: sample("emiti.key"),
    keys: { emiti: readFileSync(sample("emiti.key"), "utf8") },
    rows: { hosts: 20, metrics: 5000 },
  },
  {
    name: "emiti_metrics_20240116_030000.sql.gz.enc",
    keyFile: sample("emiti-passphrase.key"),
    keys: { emiti: readFileSync(sample("emiti-passphrase.key"), "utf8") },
    rows: { hosts: 20, metrics: 5000 },
  },
  { name: "sentinel_backup_20251215_163138.sql.gz", keys: {}, rows: { assets: 3000 } },
  {
    name: "sentinel_backup_20251216_163138.sql.gz.enc",
    keyFile: sample("sentinel.key"),
    keys: { sentinel: readFileSync(sample("sentinel.key")) },
    rows: { assets: 3000 },
  },
]
