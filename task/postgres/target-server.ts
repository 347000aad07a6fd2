import * as z from "zod"
import { literal } from "../core/quote.ts"
import { QueryError } from "./conversation.ts"
import type { ParameterGrant } from "./globals.ts"
import { isProviderRole } from "./provider-role.ts"
import type { Session } from "./session.ts"

/** What a server has that a restore may need, and what the session's user may do there. */
export type TargetServer = {
  readonly major: number
  readonly user: string
  readonly roles: ReadonlySet<string>
  readonly superusers: ReadonlySet<string>
  /** The roles that the session's user may act as. */
  readonly ownRoles: ReadonlySet<string>
  /** The roles that the user may grant to others. */
  readonly administeredRoles: ReadonlySet<string>
  /** The extensions that CREATE EXTENSION would find, and which version it would make; null where none is named. */
  readonly availableExtensions: ReadonlyMap<string, string | null>
  /** The roles whose rights the user has without acting as them. */
  readonly inheritedRoles: ReadonlySet<string>
  /** Those of them that only a superuser may create. */
  readonly guardedExtensions: ReadonlySet<string>
  readonly tablespaces: ReadonlySet<string>
  /** Those of them that the user may put something into. */
  readonly openTablespaces: ReadonlySet<string>
  readonly encodings: ReadonlySet<string>
  /** Whether it knows locales of ICU. */
  readonly hasIcu: boolean
  /** Those of the session's own database, and its schemas. */
  readonly installedExtensions: readonly string[]
  readonly schemas: ReadonlySet<string>
  readonly isSuperuser: boolean
  /** Whether a hosted service has made the user an admin: it may do some of what PostgreSQL keeps for superusers. */
  readonly isHostedAdmin: boolean
  readonly mayCreateDatabases: boolean
  readonly mayCreateRoles: boolean
  readonly mayReplicate: boolean
  readonly bypassesRls: boolean
  /** Whether the user may make schemas in the session's own database. */
  readonly mayCreateInDatabase: boolean
}

const userRow = z.tuple([
  z.object({
    user: z.string(),
    rolsuper: z.boolean(),
    rolcreatedb: z.boolean(),
    rolcreaterole: z.boolean(),
    rolreplication: z.boolean(),
    rolbypassrls: z.boolean(),
    create: z.boolean(),
    icu: z.boolean(),
  }),
])

// The collation "unicode" is there without ICU, too.
const userQuery = `
  SELECT current_user AS user, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls,
         pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS create,
         EXISTS (SELECT FROM pg_catalog.pg_collation WHERE collprovider = 'i' AND collname <> 'unicode') AS icu
    FROM pg_catalog.pg_roles WHERE rolname = current_user`

/** Looks at the session's server, and at its database for what is installed there. */
export async function inspectTarget(session: Session): Promise<TargetServer> {
  const names = async (query: string) =>
    z
      .array(z.object({ name: z.string() }))
      .parse(await session.query(query))
      .map(({ name }) => name)
  const rolesWhere = async (condition: string) =>
    new Set(await names(`SELECT rolname AS name FROM pg_catalog.pg_roles WHERE ${condition}`))
  const [user] = userRow.parse(await session.query(userQuery))
  const ownRoles = await rolesWhere(
    `pg_catalog.pg_has_role(oid, '${session.serverMajor < 16 ? "MEMBER" : "SET"}')`,
  )
  return {
    major: session.serverMajor,
    user: user.user,
    roles: await rolesWhere("true"),
    superusers: await rolesWhere("rolsuper"),
    ownRoles,
    administeredRoles: await rolesWhere("pg_catalog.pg_has_role(oid, 'MEMBER WITH ADMIN OPTION')"),
    inheritedRoles: await rolesWhere("pg_catalog.pg_has_role(oid, 'USAGE')"),
    guardedExtensions: new Set(
      await names(
        `SELECT name FROM pg_catalog.pg_available_extensions e
           JOIN pg_catalog.pg_available_extension_versions v USING (name)
          WHERE v.version = e.default_version AND v.superuser AND NOT v.trusted`,
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
    openTablespaces: new Set(
      await names(
        `SELECT spcname AS name FROM pg_catalog.pg_tablespace
          WHERE pg_catalog.has_tablespace_privilege(oid, 'CREATE')`,
      ),
    ),
    encodings: new Set(
      await names(
        `SELECT pg_catalog.pg_encoding_to_char(i) AS name FROM pg_catalog.generate_series(0, 41) i`,
      ),
    ),
    hasIcu: user.icu,
    installedExtensions: await names("SELECT extname AS name FROM pg_catalog.pg_extension"),
    schemas: new Set(await names("SELECT nspname AS name FROM pg_catalog.pg_namespace")),
    isSuperuser: user.rolsuper,
    isHostedAdmin: !user.rolsuper && [...ownRoles].some(isProviderRole),
    mayCreateDatabases: user.rolcreatedb,
    mayCreateRoles: user.rolcreaterole,
    mayReplicate: user.rolreplication,
    bypassesRls: user.rolbypassrls,
    mayCreateInDatabase: user.create,
  }
}

const available = z.array(z.object({ name: z.string(), version: z.string().nullable() }))

/**
 * Those of some parameters that the session's user may not set for roles and databases: what only superusers may set,
 * and what the server does not know, unless that was granted.
 */
export async function findClosedParameters(
  session: Session,
  parameters: readonly string[],
): Promise<string[]> {
  if (parameters.length === 0) return []
  const names = literal(JSON.stringify([...new Set(parameters)]))
  const isGranted = session.serverMajor >= 15 ? "pg_catalog.has_parameter_privilege(name, 'SET')" : "false"
  const rows = await session.query(`
    SELECT name
      FROM pg_catalog.json_array_elements_text(${names}) AS name, pg_catalog.pg_roles
     WHERE rolname = current_user AND NOT rolsuper AND NOT ${isGranted}
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_settings s
                        WHERE pg_catalog.lower(s.name) = pg_catalog.lower(name.name) AND s.context IN ('user', 'backend'))
     ORDER BY 1`)
  return z
    .array(z.object({ name: z.string() }))
    .parse(rows)
    .map(({ name }) => name)
}

/** Whether the session's user may grant these rights on parameters, which PostgreSQL has from 15 on; in their order. */
export async function mayGrantParameters(
  session: Session,
  rights: readonly Pick<ParameterGrant, "parameter" | "privilege">[],
): Promise<boolean[]> {
  if (rights.length === 0 || session.serverMajor < 15) return rights.map(() => false)
  const rows = await session.query(`
    SELECT pg_catalog.has_parameter_privilege(one ->> 'parameter', pg_catalog.concat(one ->> 'privilege', ' WITH GRANT OPTION')) AS may
      FROM pg_catalog.json_array_elements(${literal(JSON.stringify(rights))}) WITH ORDINALITY AS rights (one, number)
     ORDER BY number`)
  return z
    .array(z.object({ may: z.boolean() }))
    .parse(rows)
    .map(({ may }) => may)
}

/** The roles whose default privileges `role` may set. */
export async function findDefaultGivers(session: Session, role: string): Promise<ReadonlySet<string>> {
  const rights = session.serverMajor < 16 ? "MEMBER" : "USAGE"
  const rows = await session.query(`
    SELECT r.rolname AS name FROM pg_catalog.pg_roles r, pg_catalog.pg_roles u
     WHERE u.rolname = ${literal(role)} AND pg_catalog.pg_has_role(u.oid, r.oid, '${rights}')`)
  return new Set(
    z
      .array(z.object({ name: z.string() }))
      .parse(rows)
      .map(({ name }) => name),
  )
}

/** Those of some libc locales that the server's machine lacks. What is asked for is forgotten at once. */
export async function findMissingLocales(session: Session, locales: readonly string[]): Promise<string[]> {
  const missing: string[] = []
  for (const locale of new Set(locales)) {
    try {
      // CREATE DATABASE asks the same library; this setting is for every user to try, and of one statement here.
      await session.query(`SELECT pg_catalog.set_config('lc_time', ${literal(locale)}, true) AS name`)
    } catch (error) {
      if (!(error instanceof QueryError)) throw error
      missing.push(locale)
    }
  }
  return missing
}
