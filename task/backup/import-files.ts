import { readdir, stat } from "node:fs/promises"
import { basename, join } from "node:path"
import { type BackupName, readManifest } from "../catalog/catalog.ts"
import { signManifest } from "../catalog/manifest-signature.ts"
import { formatCount } from "../console/format.ts"
import type { Context } from "../context.ts"
import { backupId } from "../core/backup-id.ts"
import { formatVersion, type Manifest, rawBytes, storedBytes } from "../core/manifest.ts"
import { type FailureKind, messageOf, PgstowError } from "../errors.ts"
import type { SigningKey } from "../keys/signing-key.ts"
import { sha256OfFile } from "../legacy/checksum-file.ts"
import { countTables, dumpFacts, factsBytes, unknownSource } from "../legacy/dump-facts.ts"
import { type LegacyKeys, openLegacy } from "../legacy/open-legacy.ts"
import { peek } from "../legacy/peek.ts"
import { type LegacyFile, NotABackupError, recognise } from "../legacy/recognise.ts"
import { ObjectNotFoundError, type Storage } from "../storage/storage.ts"
import { version } from "../version.ts"
import { type BackupCopy, copiesOf } from "./read-back.ts"
import { backupWriter } from "./writer.ts"

export type ImportOptions = {
  /** Files, and folders that hold some. */
  readonly paths: readonly string[]
  readonly storages: readonly Storage[]
  readonly keys: LegacyKeys
  /** The name to keep them under; without it what the file's name says. */
  readonly name: string | undefined
  /** The same for the files of Sentinel, whose names say nothing of the database. */
  readonly sentinelName: string | undefined
  readonly recipients: readonly string[] | undefined
  /** What the manifests are signed by. */
  readonly signingKey?: SigningKey | undefined
  /** Public keys beside the signing key's own, of which one must have signed what counts as imported before. */
  readonly signedBy?: readonly string[] | undefined
  readonly compressLevel: number
  /** Whether what was stored is read back. */
  readonly verify: boolean
  /** Called with what one of several files failed of. */
  readonly onFailure: (failure: PgstowError) => void
}

/** What became of one file. */
export type ImportedFile = {
  readonly file: string
  /** "present" was imported before; "skipped" lay in a folder and is no backup. */
  readonly state: "imported" | "present" | "skipped" | "failed"
  readonly backup: {
    readonly system: LegacyFile["system"]
    readonly database: string
    readonly id: string
    readonly startedAt: string
    readonly storedBytes: number
    readonly rawBytes: number
    readonly storages: readonly BackupCopy[]
  } | null
  /** Why it was skipped, or failed. */
  readonly error: { readonly kind: FailureKind; readonly message: string } | null
}

export type ImportResult = { readonly files: readonly ImportedFile[] }

/**
 * Makes backups of files that Emiti and Sentinel left behind, each with its original time. A file that fails
 * leaves nothing and does not stop the others; where it is the only one, this rejects.
 * The same file is the same backup again, and not stored twice.
 */
export async function importFiles(options: ImportOptions, context: Context): Promise<ImportResult> {
  const found = withoutChecksums((await Promise.all(options.paths.map(filesIn))).flat())
  const files: ImportedFile[] = []
  for (const { file, inFolder } of found) {
    try {
      files.push(await importFile(await recognise(file), options, context))
    } catch (error) {
      context.signal.throwIfAborted()
      if (found.length === 1) throw error
      const skipped = inFolder && error instanceof NotABackupError
      const { kind, hint } =
        error instanceof PgstowError ? error : ({ kind: "unexpected", hint: undefined } as const)
      if (skipped) context.log.info(messageOf(error))
      else options.onFailure(new PgstowError(kind, `${file} was not imported: ${messageOf(error)}`, { hint }))
      files.push({
        file,
        state: skipped ? "skipped" : "failed",
        backup: null,
        error: { kind, message: messageOf(error) },
      })
    }
  }
  return { files }
}

/** The failure to report, and to exit with, where files were not imported into all storages. */
export function importFailure({ files }: ImportResult): PgstowError | undefined {
  const failed = files.filter(({ state }) => state === "failed")
  const bad = files.filter(({ backup }) => backup?.storages.some(({ error }) => error !== null))
  if (failed.length + bad.length === 0) return undefined
  const names = [...failed, ...bad].map(({ file }) => basename(file))
  return new PgstowError(
    failed[0]?.error?.kind ?? "partial",
    `${formatCount(names.length, "file")} of ${files.length} could not be imported everywhere: ${names.join(", ")}`,
    { hint: "Fix what is said of each and import them again: the good ones are not stored twice." },
  )
}

async function importFile(file: LegacyFile, options: ImportOptions, context: Context): Promise<ImportedFile> {
  const { storages, signingKey, signedBy = [], verify } = options
  const sha256 = await sha256OfFile(file.path)
  // The same file gets the same id.
  const id = backupId(
    file.madeAt,
    Array.from(sha256.subarray(0, 6), (byte) => byte / 256),
  )
  const name = { database: databaseOf(file, options), id }
  const signers = signingKey ? [signingKey.signer, ...signedBy] : signedBy
  const manifests = await Promise.all(storages.map((storage) => manifestIn(storage, name, signers)))
  const missing = storages.filter((_, index) => manifests[index] === undefined)
  const present = manifests.find((manifest) => manifest !== undefined)
  if (missing.length === 0 && present) return described(file, "present", present, [])

  const { manifest, failures } = await store(file, name, sha256.toString("hex"), missing, options, context)
  const copies = await copiesOf(manifest, { storages: missing, failures, verify }, context)
  return described(file, "imported", manifest, copies)
}

/** Stores what is in a file, encrypted again, and its manifest, in constant memory. */
async function store(
  file: LegacyFile,
  name: BackupName,
  sha256: string,
  storages: readonly Storage[],
  { keys, recipients, signingKey, compressLevel }: ImportOptions,
  context: Context,
) {
  const { log, now } = context
  log.info(`importing ${file.path}`, name)
  const dump = await peek(openLegacy(file, keys), factsBytes)
  const facts = dumpFacts(dump.head)
  const count = { tables: 0 }
  // gzip makes a dump about a fifth of what it was.
  const expectedBytes = file.kind === "sql" ? file.sizeBytes : 5 * file.sizeBytes
  const options = { name, storages, recipients, compressLevel, zstd: undefined, expectedBytes }
  const writer = backupWriter(options, context)
  try {
    const main = await writer.store({
      baseName: "main.sql",
      expectedBytes,
      source: countTables(dump.all, count),
    })
    const madeAt = file.madeAt.toISOString()
    const unsigned: Manifest = {
      format: formatVersion,
      ...name,
      writtenBy: `pgstow ${version}`,
      startedAt: madeAt,
      finishedAt: madeAt,
      source: { ...unknownSource, database: name.database, ...facts, sizeBytes: main.rawBytes, ...count },
      importedFrom: { system: file.system, file: basename(file.path), sha256, at: now().toISOString() },
      snapshot: { time: madeAt, lsn: null },
      compression: { algorithm: "zstd", level: compressLevel },
      encryption: recipients ? { algorithm: "age", recipients: [...recipients] } : { algorithm: "none" },
      objects: [{ ...main, kind: "plain" }],
    }
    const manifest = signingKey ? signManifest(unsigned, signingKey) : unsigned
    context.signal.throwIfAborted()
    await writer.finish(manifest)
    return { manifest, failures: writer.failures }
  } finally {
    context.progress.clear()
    await writer.discard()
  }
}

function databaseOf({ system, title }: LegacyFile, { name, sentinelName }: ImportOptions): string {
  return name ?? (system === "sentinel" ? sentinelName : undefined) ?? title
}

/** @param signedBy the keys of which one must have signed what is there, for it to be taken for the file's backup */
async function manifestIn(
  storage: Storage,
  name: BackupName,
  signedBy: readonly string[],
): Promise<Manifest | undefined> {
  return readManifest(storage, name, signedBy).catch((error: unknown) => {
    if (error instanceof ObjectNotFoundError) return undefined
    if (error instanceof PgstowError && error.kind === "signature")
      throw new PgstowError("signature", error.message, {
        cause: error.cause,
        hint: `It stands where this file's backup would be. If it is yours, pgstow remove ${name.id} takes it away, and a new import signs it; if not, find out who may write to the storage.`,
      })
    throw error
  })
}

function described(
  { path, system }: LegacyFile,
  state: "imported" | "present",
  manifest: Manifest,
  storages: readonly BackupCopy[],
): ImportedFile {
  const { database, id, startedAt } = manifest
  const sizes = { storedBytes: storedBytes(manifest), rawBytes: rawBytes(manifest) }
  return { file: path, state, backup: { system, database, id, startedAt, ...sizes, storages }, error: null }
}

type FoundFile = { readonly file: string; readonly inFolder: boolean }

/** Without the checksums that a folder, or a pattern of the shell's, has beside the files. */
function withoutChecksums(found: readonly FoundFile[]): readonly FoundFile[] {
  const names = new Set(found.map(({ file }) => file))
  return found.filter(
    ({ file, inFolder }) =>
      !file.endsWith(".sha256") || !(inFolder || names.has(file.slice(0, -".sha256".length))),
  )
}

/** The files that `path` stands for: itself, or what is in the folder. */
async function filesIn(path: string): Promise<FoundFile[]> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
  if (!isFolder) return [{ file: path, inFolder: false }]
  const entries = await readdir(path, { withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map(({ name }) => ({ file: join(path, name), inFolder: true }))
    .sort((a, b) => (a.file < b.file ? -1 : 1))
}
