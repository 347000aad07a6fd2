import { isBackupId, startOf } from "../core/backup-id.ts"
import { type CheckKind, type Finding, holdingVerification } from "../core/check.ts"
import { partialInWords, rawBytes, storedBytes } from "../core/manifest.ts"
import type { BackupState } from "../core/retention.ts"
import { messageOf, PgstowError } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { type CatalogEntry, newestFirst, type ReadOptions, readStorage } from "./catalog.ts"
import { noneOf } from "./find-backup.ts"
import { signerOf } from "./manifest-signature.ts"
import { nothingFound, quoted } from "./nothing-found.ts"

/**
 * One backup in one storage. `problem` says why its manifest can't be read: what only that tells is null then; or why
 * what its checks found is not known.
 */
export type ListedBackup = {
  readonly storage: string
  readonly database: string
  readonly id: string
  /** Null where the folder is not named by an id. */
  readonly startedAt: string | null
  readonly seconds: number | null
  readonly storedBytes: number | null
  readonly rawBytes: number | null
  readonly encrypted: boolean | null
  /** What it holds and what not, in words, where something was left out. */
  readonly partial: string | null
  /** The public key that it says it is signed by. Whether that is true is known only where such keys were given. */
  readonly signer: string | null
  readonly state: BackupState
  /** The check that `state` comes from. */
  readonly lastCheck: ListedFinding | null
  /** The last good check that was no drill; null also where one found it damaged since. */
  readonly lastVerification: ListedFinding | null
  /** What the drills found: the last that failed, until another is good. */
  readonly lastDrill: ListedFinding | null
  /** Whether retention keeps it for ever; null where that is not known. */
  readonly pinned: boolean | null
  readonly problem: string | null
}

export type ListedFinding = { readonly kind: CheckKind; readonly at: string }

export type ListResult = {
  readonly storages: readonly string[]
  /** Newest first. */
  readonly backups: readonly ListedBackup[]
  /** What could not be listed. */
  readonly unlisted: readonly UnlistedPlace[]
}

/** A storage that could not be listed, or one database's folder in it. */
export type UnlistedPlace = {
  readonly storage: string
  /** Null where it is all of the storage. */
  readonly database: string | null
  readonly problem: string
  readonly hint: string | null
}

/**
 * Lists the backups in all of `storages`, of one database or of all, and calls `warn` for each that has none. One that
 * does not answer hides nothing of the others: `listFailure` reports it. Rejects with a PgstowError "notFound" where all
 * have answered and none has any, and where there is nothing to show since none of those that may have some answers.
 */
export async function list(
  storages: readonly Storage[],
  { warn, ...options }: ReadOptions & { readonly warn: (message: string) => void },
): Promise<ListResult> {
  const places = await Promise.all(storages.map((storage) => readPlace(storage, options)))
  const empty = places.flatMap((place) => place.empty)
  const problems = places.flatMap((place) => place.problems)
  const entries = places.flatMap((place) => place.entries)
  if (empty.length === storages.length) throw noneOf({ empty })
  const [first] = problems
  if (first && entries.length === 0) throw first.problem
  for (const { message, hint } of empty) warn(`${message}: ${hint}`)
  return {
    storages: storages.map(({ url }) => url),
    backups: entries.sort(newestFirst).map(describe),
    unlisted: problems.map(({ storage, database, problem }) => unlistedPlace(storage, database, problem)),
  }
}

/** What is to be said, and exited with, where not all could be listed. */
export function listFailure({ unlisted }: Pick<ListResult, "unlisted">): PgstowError | undefined {
  if (unlisted.length === 0) return undefined
  const hints = new Set(unlisted.flatMap(({ hint }) => hint ?? []))
  return new PgstowError("storage", `not all could be listed: ${unlisted.map(placeInWords).join("; ")}`, {
    hint: hints.size > 0 ? [...hints].join(" ") : undefined,
  })
}

export function unlistedPlace(
  { url }: Storage,
  database: string | null,
  problem: PgstowError,
): UnlistedPlace {
  return { storage: url, database, problem: messageOf(problem), hint: problem.hint ?? null }
}

export function placeInWords({ database, problem }: UnlistedPlace): string {
  return database === null ? problem : `the backups of ${quoted(database)}: ${problem}`
}

/** What one storage has, or why that is not known. */
async function readPlace(
  storage: Storage,
  options: ReadOptions,
): Promise<{
  readonly entries: readonly CatalogEntry[]
  readonly empty: readonly PgstowError[]
  readonly problems: readonly { storage: Storage; database: string | null; problem: PgstowError }[]
}> {
  try {
    const { entries, unlisted } = await readStorage(storage, options)
    const isEmpty = entries.length === 0 && unlisted.length === 0
    return {
      entries,
      empty: isEmpty ? [await nothingFound(storage, options.database)] : [],
      problems: unlisted.map((each) => ({ storage, ...each })),
    }
  } catch (problem) {
    if (!(problem instanceof PgstowError) || problem.kind !== "storage") throw problem
    return { entries: [], empty: [], problems: [{ storage, database: null, problem }] }
  }
}

function describe(entry: CatalogEntry): ListedBackup {
  const { storage, database, id, state, findings, finding, drill, pins, manifest, problem } = entry
  return {
    storage: storage.url,
    database,
    id,
    startedAt: isBackupId(id) ? startOf(id).toISOString() : null,
    seconds: manifest ? (Date.parse(manifest.finishedAt) - Date.parse(manifest.startedAt)) / 1000 : null,
    storedBytes: manifest ? storedBytes(manifest) : null,
    rawBytes: manifest ? rawBytes(manifest) : null,
    signer: (manifest && signerOf(manifest)) ?? null,
    encrypted: manifest ? manifest.encryption.algorithm !== "none" : null,
    partial: (manifest && partialInWords(manifest)) ?? null,
    state,
    lastCheck: listedFinding(finding),
    lastVerification: listedFinding(holdingVerification(findings)),
    lastDrill: listedFinding(drill),
    pinned: pins === undefined ? null : pins.length > 0,
    problem: problem ? messageOf(problem) : null,
  }
}

export function listedFinding(finding: Finding | undefined): ListedFinding | null {
  return finding ? { kind: finding.kind, at: finding.at.toISOString() } : null
}
