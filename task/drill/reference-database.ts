import type { TocEntry } from "../archive/toc.ts"
import type { Context } from "../context.ts"
import type { Manifest } from "../core/manifest.ts"
import { type Clients, chooseForRestore } from "../postgres/clients.ts"
import { type Connection, childEnv, withDatabase } from "../postgres/connection.ts"
import { createDatabase } from "../postgres/create-database.ts"
import { restoreHead } from "../postgres/pg-restore.ts"
import { openSession, type Session } from "../postgres/session.ts"
import { placeFile } from "../processes/place-file.ts"
import { makeMissingSchemas } from "../restore/make-missing-schemas.ts"
import { definitionsAmong } from "./compare-definitions.ts"
import { dumpDefinitions } from "./dump-definitions.ts"
import type { RestoredArchive } from "./restored.ts"

/**
 * What a server makes of a backup's definitions alone, as `dumpDefinitions` gives it: in a database `name` of its own,
 * which is the caller's to drop. What it refuses is not in there.
 */
export async function definitionsByReference(
  { joined, entries }: Pick<RestoredArchive, "joined" | "entries">,
  manifest: Manifest,
  {
    outside,
    connection,
    name,
    clients,
    env,
    signal,
  }: {
    /** With another database of the server. */
    readonly outside: Session
    readonly connection: Connection
    readonly name: string
    readonly clients: readonly Clients[]
  } & Pick<Context, "env" | "signal">,
): Promise<readonly TocEntry[]> {
  const { source } = manifest
  const archiveMajor = Number.parseInt(source.clientVersion, 10)
  const { serverMajor } = outside
  const chosen = chooseForRestore(clients, archiveMajor, serverMajor)
  const inside = withDatabase(connection, name)
  await createDatabase(outside, name, source, { choice: "original" })
  await makeSchemas(chosen, inside, { manifest, entries, env, signal })
  const head = await placeFile(
    joined.ownHead,
    { prefix: chosen.pgRestore.prefix, env: childEnv(inside, env) },
    signal,
  )
  try {
    await restoreHead(head, {
      clients: chosen,
      connection: inside,
      entries: definitionsAmong(entries).filter(({ kind }) => kind !== "SUBSCRIPTION"),
      owners: "keep",
      grants: "keep",
      tablespaces: "none",
      mode: "collect",
      env,
      signal,
    })
  } finally {
    await head.remove()
  }
  return dumpDefinitions(clients, inside, {
    serverMajor,
    archiveMajor,
    encoding: source.encoding,
    env,
    signal,
  })
}

async function makeSchemas(
  clients: Clients,
  inside: Connection,
  {
    manifest,
    entries,
    env,
    signal,
  }: { readonly manifest: Manifest; readonly entries: readonly TocEntry[] } & Pick<Context, "env" | "signal">,
): Promise<void> {
  const session = await openSession(clients, inside, { env, signal })
  try {
    await makeMissingSchemas(session, manifest, entries)
  } finally {
    await session.close()
  }
}

/** What the database is called that stands beside the one of a drill. */
export function referenceName(name: string): string {
  return `${name}_reference`
}
