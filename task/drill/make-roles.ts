import * as z from "zod"
import { identifier } from "../core/quote.ts"
import type { Session } from "../postgres/session.ts"
import { createRoles } from "../restore/create-roles.ts"
import type { OpenContentOptions } from "../restore/open-content.ts"
import type { Copy } from "../restore/restore.ts"

/** No role can have smuggled SQL into roles that were not written by this version. */
const unsafe = "pgstow 0.1.0"

/**
 * Makes the roles that a backup needs on a server that is thrown away: as the backup has them, and the others, such as those
 * of a hosted service, by their names alone.
 */
export async function makeRoles(
  { storage, manifest }: Copy,
  session: Session,
  options: OpenContentOptions,
): Promise<void> {
  const hasGlobals = manifest.objects.some(({ kind }) => kind === "globals")
  if (hasGlobals && manifest.writtenBy !== unsafe) await createRoles(storage, manifest, session, options)
  const there = new Set(
    z
      .array(z.object({ name: z.string() }))
      .parse(await session.query("SELECT rolname AS name FROM pg_catalog.pg_roles"))
      .map(({ name }) => name),
  )
  for (const role of manifest.source.roles)
    if (!there.has(role) && !role.startsWith("pg_")) await session.execute(`CREATE ROLE ${identifier(role)}`)
}
