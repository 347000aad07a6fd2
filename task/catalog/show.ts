import type { Context } from "../context.ts"
import { isBackupId } from "../core/backup-id.ts"
import { type Check, holdingVerification } from "../core/check.ts"
import { type Comparison, compareBackups, comparedBackups } from "../core/compare-backups.ts"
import { type Manifest, partialInWords, rawBytes, storedBytes } from "../core/manifest.ts"
import type { BackupState } from "../core/retention.ts"
import { messageOf } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { type CatalogEntry, type ReadOptions, readChecks } from "./catalog.ts"
import { findBackup, readCatalog } from "./find-backup.ts"
import { type ListedFinding, listedFinding } from "./list.ts"
import { signerOf } from "./manifest-signature.ts"
import { type ShownPin, showPins } from "./pin.ts"

export type ShowResult = {
  readonly storage: string
  readonly state: BackupState
  /** As `list` has them. */
  readonly lastCheck: ListedFinding | null
  readonly lastVerification: ListedFinding | null
  readonly lastDrill: ListedFinding | null
  /** Why it is not known what checks found. */
  readonly problem: string | null
  readonly manifest: Manifest
  readonly storedBytes: number
  readonly rawBytes: number
  /** Beside the backups before it, of the same choice of tables; null where there are none. */
  readonly comparison: Comparison | null
  /** Oldest first. */
  readonly checks: readonly Check[]
  /** The pins that hold, oldest first. */
  readonly pins: readonly ShownPin[]
  /** The ids of newer backups that were passed over: damaged, or not readable. */
  readonly passedOver: readonly string[]
  /** The public key that it says it is signed by; null where it is not signed. */
  readonly signer: string | null
  /** Whether that was checked: it is one of those that were given. */
  readonly trusted: boolean
}

/** Shows one backup; `backup` and `database` as findBackup takes them, which also says what is thrown. */
export async function show(
  storages: readonly Storage[],
  { backup, ...options }: ReadOptions & { readonly backup: string | Date },
  { log }: Pick<Context, "log">,
): Promise<ShowResult> {
  const catalog = await readCatalog(storages, { ...options, warn: log.warn })
  const { entry, passedOver } = findBackup(catalog, backup, options.database)
  const { storage, state, manifest } = entry
  if (entry.problem) log.warn(`what checks found is not known: ${messageOf(entry.problem)}`)
  return {
    storage: storage.url,
    state,
    lastCheck: listedFinding(entry.finding),
    lastVerification: listedFinding(holdingVerification(entry.findings)),
    lastDrill: listedFinding(entry.drill),
    problem: entry.problem ? messageOf(entry.problem) : null,
    manifest,
    storedBytes: storedBytes(manifest),
    rawBytes: rawBytes(manifest),
    comparison: compareBackups(manifest, manifestsEarlier(catalog.entries, manifest)),
    checks: entry.problem ? [] : await readChecks(storage, entry),
    pins: entry.pins && entry.pins.length > 0 ? await showPins(storage, entry, entry.pins) : [],
    signer: signerOf(manifest) ?? null,
    trusted: (options.signedBy ?? []).length > 0,
    passedOver: [...new Set(passedOver.map(({ id }) => id))],
  }
}

/** The last few before it that are like it, each once. */
function manifestsEarlier(entries: readonly CatalogEntry[], manifest: Manifest): Manifest[] {
  const earlier = entries.filter(
    ({ database, id, manifest: other }) =>
      database === manifest.database &&
      isBackupId(id) &&
      id < manifest.id &&
      other !== undefined &&
      partialInWords(other) === partialInWords(manifest),
  )
  const byId = new Map(earlier.map(({ id, manifest: other }) => [id, other]))
  return [...byId.values()].filter((other) => other !== undefined).slice(0, comparedBackups)
}
