import { joinToc } from "../archive/table-data.ts"
import type { Toc } from "../archive/toc.ts"
import type { Context } from "../context.ts"
import type { Manifest, ManifestObject } from "../core/manifest.ts"
import { restoredName } from "../core/restored-name.ts"
import { type Clients, chooseForRestore, newestClients } from "../postgres/clients.ts"
import type { Connection } from "../postgres/connection.ts"
import { openTarget } from "../postgres/target.ts"
import { databaseExists } from "../postgres/target-database.ts"
import type { Storage } from "../storage/storage.ts"
import type { Foreseen } from "./foresee.ts"
import { lookAhead } from "./look-ahead.ts"
import type { RestoreJobOptions } from "./options.ts"

/** A database that was not backed up yet. */
export type UnsavedSource = {
  readonly source: Manifest["source"]
  readonly functionPaths: Manifest["functionPaths"]
  /** Of a dump without rows. */
  readonly toc: Toc
  /** Where its backups are to be. Nothing is read there. */
  readonly storage: Storage
}

/** What would fail of a restore as it is by default: all of it, into a new database, with owners and grants. */
const asItWas: RestoreJobOptions = {
  identities: [],
  selection: undefined,
  owners: "keep",
  grants: "keep",
  tablespaces: "keep",
  clean: false,
  locale: "original",
  anyway: false,
  analyze: false,
  yes: false,
  ask: undefined,
}

/**
 * Foresees what a restore of a database into a server would fail of, before there is any backup of it: by what it is
 * made of. Changes nothing. Rejects as a restore that can't begin.
 */
export async function foreseeOfSource(
  { source, functionPaths, toc, storage }: UnsavedSource,
  installed: readonly Clients[],
  target: Connection,
  { env, signal, now }: Pick<Context, "env" | "signal" | "now">,
): Promise<{ readonly foreseen: readonly Foreseen[]; readonly notes: readonly string[] }> {
  const at = now().toISOString()
  const name = restoredName(source.database, now())
  const main: ManifestObject = { kind: "main", name: "main", sizeBytes: 0, rawBytes: 0, sha256: "" }
  const manifest: Manifest = {
    format: 1,
    database: source.database,
    id: "",
    writtenBy: "",
    startedAt: at,
    finishedAt: at,
    source,
    ...(functionPaths && { functionPaths }),
    snapshot: { time: at, lsn: null },
    compression: { algorithm: "zstd", level: 1 },
    encryption: { algorithm: "none" },
    objects: [main],
  }
  const joined = joinToc(toc, [])
  const opened = await openTarget(newestClients(installed), target, name, { env, signal })
  try {
    const archiveMajor = Number.parseInt(source.clientVersion, 10)
    const job = {
      storage,
      manifest,
      checkFirst: false,
      main,
      archive: joined.entries,
      joined,
      name,
      target: opened,
      connection: opened.connection,
      clients: chooseForRestore(installed, archiveMajor, opened.serverMajor),
      zstd: undefined,
      jobs: 1,
      options: asItWas,
    }
    const exists = await databaseExists(await opened.outside(), name)
    return await lookAhead(job, { exists, createRoles: false }, { signal })
  } finally {
    await opened.close()
  }
}
