import type { Context } from "../context.ts"
import type { Expectation } from "../core/expectation.ts"
import { type Clients, newestClients } from "../postgres/clients.ts"
import { withDatabase } from "../postgres/connection.ts"
import { openSession } from "../postgres/session.ts"
import type { Target } from "../postgres/target.ts"
import { machine } from "../processes/machine.ts"
import type { Copy } from "../restore/restore.ts"
import { type Comparison, compareRestored } from "./compare.ts"
import { definitionsByReference, referenceName } from "./reference-database.ts"
import type { RestoredArchive } from "./restored.ts"

/**
 * Holds the database `name` of the target, which a copy of a backup was restored into, against what the backup says. May
 * leave another database behind, `referenceName(name)`.
 */
export async function compareDatabase(
  { manifest }: Copy,
  name: string,
  {
    archive,
    clients,
    target,
    expectations,
    jobs,
  }: {
    readonly archive: RestoredArchive | undefined
    readonly clients: readonly Clients[]
    readonly target: Target
    readonly expectations: readonly Expectation[]
    readonly jobs: number | "auto"
  },
  context: Context,
): Promise<Comparison> {
  const { env, signal } = context
  const connection = withDatabase(target.connection, name)
  const restored = {
    manifest,
    archive,
    session: await target.inside(name),
    openSession: () => openSession(newestClients(clients), connection, { env, signal }),
    jobs: jobs === "auto" ? machine().cores : jobs,
    connection,
    clients,
    context,
  }
  const reference = async () =>
    archive
      ? definitionsByReference(archive, manifest, {
          outside: await target.outside(),
          connection: target.connection,
          name: referenceName(name),
          clients,
          env,
          signal,
        })
      : []
  return compareRestored(restored, { expectations, reference })
}
