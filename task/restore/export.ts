import { type FileHandle, mkdir, open, readdir, rename, rm } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import { directoryFiles, type FilePiece, tocFile } from "../archive/directory-format.ts"
import { findBackup, readCatalog, warnOfPassedOver } from "../catalog/find-backup.ts"
import type { Context } from "../context.ts"
import { storedBytes } from "../core/manifest.ts"
import { codeOf, PgstowError } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { openArchive } from "./open-content.ts"

export type ExportOptions = {
  readonly storages: readonly Storage[]
  /** As findBackup takes it. */
  readonly backup: string | Date
  readonly database: string | undefined
  /** The public keys of which one must have signed it; any backup will do where there are none. */
  readonly signedBy?: readonly string[] | undefined
  readonly identities: readonly string[]
  /** A new or empty directory, or a new file. */
  readonly out: string
  /** pg_dump's formats. */
  readonly format: "directory" | "custom"
}

export type ExportResult = {
  readonly id: string
  readonly database: string
  readonly storage: string
  readonly out: string
  readonly format: ExportOptions["format"]
  readonly bytes: number
  readonly seconds: number
}

/**
 * Writes a backup's database as pg_dump would have written it, uncompressed and readable by its user alone: for
 * pg_restore, without pgstow. What an interruption leaves is no archive: a directory without its table of contents, or
 * a file under another name.
 */
export async function exportBackup(options: ExportOptions, context: Context): Promise<ExportResult> {
  const { storages, database, signedBy = [], identities, format } = options
  const { log, now, progress, signal } = context
  const startedAt = now()
  const catalog = await readCatalog(storages, { database, signedBy, warn: log.warn })
  const { entry, passedOver } = findBackup(catalog, options.backup, database)
  warnOfPassedOver(passedOver, log.warn)
  const { storage, manifest } = entry
  const main = manifest.objects.find(({ kind }) => kind === "main")
  if (!main)
    throw new PgstowError(
      "usage",
      `backup ${manifest.id} was imported, and holds SQL in place of an archive`,
      {
        hint: `Have its SQL by pgstow cat ${manifest.id}.`,
      },
    )
  let doneBytes = 0
  const onBytes = (bytes: number) => {
    doneBytes += bytes
    const totalBytes = storedBytes(manifest)
    // What is read twice counts twice.
    progress.update({
      stage: `exporting ${manifest.id}`,
      doneBytes: Math.min(doneBytes, totalBytes),
      totalBytes,
    })
  }
  // The key and the table of contents are seen to be good before anything is made.
  const { head, archive } = await openArchive(storage, manifest, main, {
    identities,
    checkFirst: signedBy.length > 0,
    signal,
    onBytes,
  })
  const out = resolve(options.out)
  try {
    const bytes =
      format === "directory"
        ? await writeDirectory(out, directoryFiles(head, archive))
        : await writeFile(out, archive)
    progress.clear()
    const seconds = (now().getTime() - startedAt.getTime()) / 1000
    return { id: manifest.id, database: manifest.database, storage: storage.url, out, format, bytes, seconds }
  } catch (cause) {
    if (cause instanceof PgstowError || codeOf(cause) === undefined) throw cause
    throw new PgstowError("storage", `the export can't be written to ${out}`, {
      cause,
      hint: "Give a place that may be written to, with room for the whole database.",
    })
  }
}

async function writeDirectory(folder: string, pieces: AsyncIterable<FilePiece>): Promise<number> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  if ((await readdir(folder)).length > 0)
    throw new PgstowError("usage", `the directory ${folder} is not empty`, {
      hint: "Give one that does not exist yet.",
    })
  let current: { readonly name: string; readonly file: OutputFile } | undefined
  let bytes = 0
  try {
    for await (const { file: name, bytes: piece } of pieces) {
      if (current?.name !== name) {
        await current?.file.close()
        // Under another name until it is whole: with it, the directory is an archive.
        const path = join(folder, name === tocFile ? `${name}.incomplete` : name)
        current = { name, file: await openOutput(path) }
      }
      bytes += piece.length
      await current.file.write(piece)
    }
  } finally {
    await current?.file.close()
  }
  await rename(join(folder, `${tocFile}.incomplete`), join(folder, tocFile))
  await flushFolder(folder)
  return bytes
}

async function writeFile(path: string, archive: AsyncIterable<Buffer>): Promise<number> {
  // Taken now, so that nothing of that name is replaced in the end.
  const place = await open(path, "wx", 0o600).catch((cause: unknown) => {
    if (codeOf(cause) !== "EEXIST") throw cause
    throw new PgstowError("usage", `${path} exists already`, { hint: "Give the name of a new file." })
  })
  await place.close()
  const temporary = `${path}.incomplete`
  let bytes = 0
  try {
    const file = await openOutput(temporary)
    try {
      for await (const chunk of archive) {
        bytes += chunk.length
        await file.write(chunk)
      }
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (error) {
    for (const one of [temporary, path]) await rm(one, { force: true })
    throw error
  }
  await flushFolder(dirname(path))
  return bytes
}

type OutputFile = { write(bytes: Buffer): Promise<void>; close(): Promise<void> }

const bufferedBytes = 1024 * 1024

/** Some archives have a piece for each row: they are written together. */
async function openOutput(path: string): Promise<OutputFile> {
  const handle: FileHandle = await open(path, "wx", 0o600)
  let pieces: Buffer[] = []
  let bytes = 0
  const flush = async () => {
    const all = Buffer.concat(pieces)
    pieces = []
    bytes = 0
    await handle.writeFile(all)
  }
  return {
    async write(piece) {
      pieces.push(piece)
      bytes += piece.length
      if (bytes >= bufferedBytes) await flush()
    },
    async close() {
      try {
        await flush()
        await handle.sync()
      } finally {
        await handle.close()
      }
    },
  }
}

async function flushFolder(path: string): Promise<void> {
  await using folder = await open(path, "r")
  await folder.sync()
}
