import { text } from "node:stream/consumers"
import { manifestProblems } from "../archive/manifest-problems.ts"
import { readToc } from "../archive/toc.ts"
import { openObject } from "../catalog/open-object.ts"
import type { Context } from "../context.ts"
import type { Problem } from "../core/check.ts"
import { type Manifest, type ManifestObject, type SegmentObject, storedBytes } from "../core/manifest.ts"
import { messageOf, PgstowError } from "../errors.ts"
import { describe, headBytes, isPlainDump } from "../legacy/recognise.ts"
import { chooseForRestore, findClients } from "../postgres/clients.ts"
import { startChild } from "../processes/child.ts"
import { ChildError } from "../processes/child-error.ts"
import { ExecError } from "../processes/far-side.ts"
import type { Executable, Program } from "../processes/program.ts"
import type { Storage } from "../storage/storage.ts"
import { decompressHead, decompressInto, type StartConsumer } from "../streams/decompress.ts"
import { lookThroughText, type TextFindings } from "../streams/look-through-text.ts"
import { findZstd } from "../streams/zstd.ts"

export type ReadThroughOptions = {
  readonly identities: readonly string[]
  /** Folders with client programs, searched first. */
  readonly clientFolders: readonly string[]
}

/**
 * Decrypts, decompresses and reads every object of a backup to its end, the main one by pg_restore, which makes
 * SQL of it for nobody, and holds the manifest against the table of contents. Gives what is wrong; rejects where that
 * can't be told, as without the right identity.
 */
export async function readThrough(
  storage: Storage,
  manifest: Manifest,
  { identities, clientFolders }: ReadThroughOptions,
  context: Context,
): Promise<Problem[]> {
  const { env, progress, signal } = context
  // What was imported is SQL, which no program of PostgreSQL has to read.
  const pgRestore = manifest.objects.some(({ kind }) => kind === "main")
    ? await findPgRestore(manifest, context, clientFolders)
    : { file: "pg_restore" }
  const zstd = await findZstd(env)
  const problems: Problem[] = []
  let doneBytes = 0
  const onBytes = (bytes: number) => {
    doneBytes += bytes
    progress.update({
      stage: `reading ${manifest.id} to its end`,
      doneBytes,
      totalBytes: storedBytes(manifest),
    })
  }
  for (const object of manifest.objects) {
    const expected = `${object.rawBytes} bytes that can be read to their end`
    const name = `${manifest.id} ${object.name}`
    const stored = openObject(storage, manifest, object, { identities, checkFirst: false, signal, onBytes })
    const reading = reader(object, pgRestore, manifest.source.encoding, env)
    try {
      const found = await decompressInto(stored, reading.start, {
        name,
        zstd,
        mostBytes: object.rawBytes,
        signal,
      })
      if (found !== object.rawBytes) problems.push({ object: object.name, expected, found: `${found} bytes` })
      else {
        problems.push(...(await reading.problems()))
        const head = openObject(storage, manifest, object, { identities, checkFirst: false, signal })
        if (object.kind === "main")
          problems.push(...manifestProblems((await decompressHead(head, readToc, name)).entries, manifest))
        else if (object.kind === "plain")
          problems.push(...plainProblems(await decompressHead(head, firstBytes, name), object, manifest))
      }
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof PgstowError) || !tellsOfContent(error)) throw error
      problems.push({ object: object.name, expected, found: messageOf(error) })
    }
  }
  return problems
}

async function firstBytes(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  let head = Buffer.alloc(0)
  for await (const chunk of chunks) {
    head = Buffer.concat([head, chunk])
    if (head.length >= headBytes) break
  }
  return head.subarray(0, headBytes)
}

/** What a restore would give to psql is SQL of pg_dump's, and all of the backup. */
function plainProblems(head: Buffer, { name }: ManifestObject, { objects }: Manifest): Problem[] {
  const problems: Problem[] = []
  if (!isPlainDump(head)) problems.push({ object: name, expected: "SQL of pg_dump", found: describe(head) })
  for (const object of objects)
    if (object.kind === "segment")
      problems.push({
        object: object.name,
        expected: "no rows beside the SQL",
        found: `rows of ${object.table}`,
      })
  return problems
}

/**
 * A program that did not run, was killed (the system is short of memory), or was not given all that it was to read,
 * says nothing of what that was.
 */
function tellsOfContent(error: PgstowError): boolean {
  if (error instanceof ExecError) return false
  if (error instanceof ChildError) return error.exitStatus !== undefined
  return error.kind === "damaged" || error.kind === "postgres"
}

async function findPgRestore(
  { source }: Manifest,
  context: Pick<Context, "env" | "prefix">,
  clientFolders: readonly string[],
): Promise<Executable> {
  const archiveMajor = Number.parseInt(source.clientVersion, 10)
  return chooseForRestore(await findClients(context, clientFolders), archiveMajor, archiveMajor).pgRestore
}

type Reading = {
  /** Starts a program that reads all that an object holds, and exits with 0 only where it makes sense. */
  readonly start: StartConsumer
  /** What it has found, once it has ended well. */
  readonly problems: () => Promise<Problem[]>
}

function reader(
  object: ManifestObject,
  pgRestore: Executable,
  encoding: string,
  environment: Context["env"],
): Reading {
  const { PATH, HOME, LANG } = environment
  const env = { PATH, HOME, LANG, LC_ALL: "C" }
  const nothing = () => Promise.resolve([])
  switch (object.kind) {
    case "main": {
      // From afar all of it would have to come back.
      const isLooked = encoding === "UTF8" && pgRestore.prefix === undefined
      const args = [isLooked ? "--file=-" : "--file=/dev/null"]
      const program = { ...pgRestore, args, env }
      return isLooked ? textReader(program, object.name) : { start: startReader(program), problems: nothing }
    }
    case "plain":
    case "globals":
      return { start: startReader({ file: "cat", args: [], env }), problems: nothing }
    case "segment":
      return encoding === "UTF8"
        ? textReader({ file: "cat", args: [], env }, object.name, object)
        : countingReader(object, env)
  }
}

function startReader(program: Program): StartConsumer {
  return (signal) => startChild(program, { stdin: "pipe", counted: "stdin", signal })
}

/** In COPY's text format a row is a line. */
function countingReader({ name, rows }: SegmentObject, env: Program["env"]): Reading {
  let counted: Promise<string> | undefined
  return {
    start: (signal) => {
      const child = startChild({ file: "wc", args: ["-l"], env }, { stdin: "pipe", stdout: "pipe", signal })
      counted = text(child.stdout)
      return child
    },
    problems: async () => {
      const found = Number(await counted)
      return found === rows ? [] : [{ object: name, expected: `${rows} rows`, found: `${found} rows` }]
    },
  }
}

/** Reads what a program makes of an object, which is to be text in UTF-8: SQL, or the rows of a segment. */
function textReader(program: Program, name: string, segment?: SegmentObject): Reading {
  let looked: Promise<TextFindings> | undefined
  return {
    start: (signal) => {
      const child = startChild(program, { stdin: "pipe", stdout: "pipe", signal })
      looked = lookThroughText(child.stdout)
      // Where it fails, the child says why.
      looked.catch(() => {})
      return child
    },
    problems: async () => {
      const { lines, invalid } = (await looked) ?? { lines: 0, invalid: undefined }
      const problems: Problem[] = []
      if (segment && lines !== segment.rows)
        problems.push({ object: name, expected: `${segment.rows} rows`, found: `${lines} rows` })
      if (invalid) {
        const where = segment
          ? `row ${invalid.line} of ${segment.schema}.${segment.table}`
          : `${invalid.near ?? `line ${invalid.line}`}`
        problems.push({
          object: name,
          expected: "text in UTF8, the encoding of the database",
          found: `bytes that are no such text, first in ${where}: a restore refuses them`,
        })
      }
      return problems
    },
  }
}
