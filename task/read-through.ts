import { startChild } from "./child.ts"
import type { Context } from "./context.ts"
import type { Problem } from "./core/check.ts"
import { type Manifest, type ManifestObject, storedBytes } from "./core/manifest.ts"
import { messageOf, PgstowError } from "./errors.ts"
import { execVariable } from "./exec-prefix.ts"
import { openObject } from "./open-object.ts"
import { type Clients, chooseForRestore, findClients } from "./postgres/clients.ts"
import type { Storage } from "./storage/storage.ts"
import { decompressInto, type StartConsumer } from "./streams/decompress.ts"
import { findZstd } from "./streams/zstd.ts"

export type ReadThroughOptions = {
  readonly identities: readonly string[]
  /** Folders with client programs, searched first. */
  readonly clientFolders: readonly string[]
}

/**
 * Decrypts, decompresses and reads every object of a backup to its end, the main one by pg_restore, which makes
 * SQL of it for nobody. Gives what is wrong; rejects where that can't be told, as without the right identity.
 */
export async function readThrough(
  storage: Storage,
  manifest: Manifest,
  { identities, clientFolders }: ReadThroughOptions,
  { env, progress, signal }: Context,
): Promise<Problem[]> {
  const archiveMajor = Number.parseInt(manifest.source.clientVersion, 10)
  const clients = chooseForRestore(await findClients(env, clientFolders), archiveMajor, archiveMajor)
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
    const stored = openObject(storage, manifest, object, { identities, signal, onBytes })
    try {
      const found = await decompressInto(stored, reader(object, clients, env), { name, zstd, signal })
      if (found !== object.rawBytes) problems.push({ object: object.name, expected, found: `${found} bytes` })
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof PgstowError) || !["damaged", "postgres"].includes(error.kind)) throw error
      problems.push({ object: object.name, expected, found: messageOf(error) })
    }
  }
  return problems
}

/** A program that reads all that an object holds, and exits with 0 only where it makes sense. */
function reader(object: ManifestObject, clients: Clients, env: Context["env"]): StartConsumer {
  const {
    PATH,
    HOME,
    LANG,
    [execVariable]: exec,
  } = object.kind === "main" ? env : { ...env, [execVariable]: undefined }
  const program = {
    main: { file: clients.pgRestore, args: ["--file=/dev/null"] },
    plain: { file: "cat", args: [] },
    globals: { file: "cat", args: [] },
  }[object.kind]
  return (signal) =>
    startChild(
      { ...program, env: { PATH, HOME, LANG, LC_ALL: "C", [execVariable]: exec } },
      { stdin: "pipe", signal },
    )
}
