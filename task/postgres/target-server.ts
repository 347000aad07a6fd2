import * as z from "zod"
import type { Session } from "./session.ts"

/** What a server has that a restore may need. */
export type TargetServer = {
  readonly roles: ReadonlySet<string>
  /** The roles that the session's user may act as. */
  readonly ownRoles: ReadonlySet<string>
  /** The extensions that CREATE EXTENSION would find, and which version it would make; null where none is named. */
  readonly availableExtensions: ReadonlyMap<string, string | null>
  readonly tablespaces: ReadonlySet<string>
  /** Those of the session's own database. */
  readonly installedExtensions: readonly string[]
  readonly isSuperuser: boolean
}

/** Looks at the session's server, and at its database for what is installed there. */
export async function inspectTarget(session: Session): Promise<TargetServer> {
  const names = async (query: string) =>
    z
      .array(z.object({ name: z.string() }))
      .parse(await session.query(query))
      .map(({ name }) => name)
  return {
    roles: new Set(await names("SELECT rolname AS name FROM pg_catalog.pg_roles")),
    ownRoles: new Set(
      await names(
        `SELECT rolname AS name FROM pg_catalog.pg_roles
          WHERE pg_catalog.pg_has_role(oid, '${session.serverMajor < 16 ? "MEMBER" : "SET"}')`,
      ),
    ),
    availableExtensions: new Map(
      available
        .parse(
          await session.query(
            "SELECT name, default_version AS version FROM pg_catalog.pg_available_extensions",
          ),
        )
        .map(({ name, version }) => [name, version]),
    ),
    tablespaces: new Set(await names("SELECT spcname AS name FROM pg_catalog.pg_tablespace")),
    installedExtensions: await names("SELECT extname AS name FROM pg_catalog.pg_extension"),
    isSuperuser:
      (
        await names(
          "SELECT rolname AS name FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolsuper",
        )
      ).length > 0,
  }
}

const available = z.array(z.object({ name: z.string(), version: z.string().nullable() }))
