import * as z from "zod"
import { QueryError } from "./conversation.ts"
import { isProviderRole } from "./provider-role.ts"
import type { Session } from "./session.ts"

/** What belongs to a server's roles rather than to one database: never a password, nor a hosted service's own roles. */
export type Globals = {
  readonly roles: readonly Role[]
  readonly memberships: readonly Membership[]
  /** Rights on the server's parameters; there are none before PostgreSQL 15. */
  readonly parameterGrants: readonly ParameterGrant[]
}

export type Role = {
  readonly name: string
  readonly superuser: boolean
  readonly inherit: boolean
  readonly createRole: boolean
  readonly createDatabase: boolean
  readonly login: boolean
  readonly replication: boolean
  readonly bypassRls: boolean
  /** -1 is none. */
  readonly connectionLimit: number
  /** As PostgreSQL reads it: ISO 8601, "infinity", or null where the password never ends. */
  readonly validUntil: string | null
  readonly comment: string | null
  readonly labels: readonly { readonly provider: string; readonly label: string }[]
  readonly settings: readonly {
    /** Null where they hold in every database. */
    readonly database: string | null
    /** As the catalog has them: "work_mem=9MB". */
    readonly values: readonly string[]
  }[]
}

/** Whoever granted it, and however often: what all of that comes to. */
export type Membership = {
  readonly role: string
  readonly member: string
  /** Whether the member, as a role, inherits by default. */
  readonly memberInherits: boolean
  readonly admin: boolean
  /** Null before PostgreSQL 16, which knows it of the member alone. */
  readonly inherit: boolean | null
  /** Null before PostgreSQL 16, where every member may become the role. */
  readonly set: boolean | null
}

export type ParameterGrant = {
  readonly parameter: string
  readonly privilege: "SET" | "ALTER SYSTEM"
  /** Null is everyone. */
  readonly grantee: string | null
  readonly grantable: boolean
}

/**
 * Reads them within the session's transaction, by what every user may read. What can't be had in UTF-8 is left
 * out, and `onWarning` is called.
 */
export async function readGlobals(
  session: Session,
  onWarning: (message: string) => void = () => {},
): Promise<Globals> {
  let isComplete = true
  const read = async <T extends z.ZodType>(row: T, query: string): Promise<z.output<T>[]> => {
    const found = await readableRows(session, query)
    isComplete &&= found.isComplete
    return z.array(row).parse(found.rows)
  }
  const roles = await read(roleRow, rolesQuery)
  const memberships = await read(membershipRow, membershipsQuery)
  const parameterGrants = session.serverMajor >= 15 ? await read(parameterGrantRow, parameterGrantsQuery) : []
  if (!isComplete)
    onWarning("some roles, or what is set for them, can't be read as UTF-8: they are left out of the backup")
  return {
    roles: roles.filter(({ name }) => !isProviderRole(name)),
    memberships: memberships.filter(({ member }) => !isProviderRole(member)),
    parameterGrants: parameterGrants.filter(({ grantee }) => grantee === null || !isProviderRole(grantee)),
  }
}

/**
 * The rows of a query that are text in UTF-8, and whether these are all. Names of roles and databases are in the
 * encoding of whatever database they were made from, and the server's conversion fails on some of them in another.
 */
async function readableRows(
  session: Session,
  query: string,
): Promise<{ rows: readonly unknown[]; isComplete: boolean }> {
  const attempt = async (sql: string) => {
    await session.execute("SAVEPOINT readable")
    try {
      return await session.query(sql)
    } finally {
      await session.execute("ROLLBACK TO SAVEPOINT readable")
      await session.execute("RELEASE SAVEPOINT readable")
    }
  }
  try {
    const all = await attempt(query)
    const rows = all.filter((row) => !JSON.stringify(row).includes("\uFFFD"))
    return { rows, isComplete: rows.length === all.length }
  } catch (error) {
    if (!(error instanceof QueryError) || !untranslatable.has(error.sqlstate)) throw error
    const inAscii = `SELECT * FROM (${query}) AS read WHERE read::text !~ '[^[:ascii:]]'`
    return { rows: await attempt(inAscii), isComplete: false }
  }
}

/** PostgreSQL's untranslatable_character and character_not_in_repertoire. */
const untranslatable: ReadonlySet<string> = new Set(["22P05", "22021"])

const list = <T extends z.ZodType>(item: T) =>
  z
    .array(item)
    .nullable()
    .transform((items) => items ?? [])

const roleRow = z.object({
  name: z.string(),
  superuser: z.boolean(),
  inherit: z.boolean(),
  createRole: z.boolean(),
  createDatabase: z.boolean(),
  login: z.boolean(),
  replication: z.boolean(),
  bypassRls: z.boolean(),
  connectionLimit: z.int(),
  validUntil: z.string().nullable(),
  comment: z.string().nullable(),
  labels: list(z.object({ provider: z.string(), label: z.string() })),
  settings: list(z.object({ database: z.string().nullable(), values: z.array(z.string()) })),
})

// A hosted service lets nobody read pg_authid, where the passwords are. The roles pg_… are there on every server.
const rolesQuery = `
  SELECT r.rolname AS name, r.rolsuper AS superuser, r.rolinherit AS inherit, r.rolcreaterole AS "createRole",
         r.rolcreatedb AS "createDatabase", r.rolcanlogin AS login, r.rolreplication AS replication,
         r.rolbypassrls AS "bypassRls", r.rolconnlimit AS "connectionLimit", r.rolvaliduntil AS "validUntil",
         shobj_description(r.oid, 'pg_authid') AS comment,
         (SELECT json_agg(json_build_object('provider', l.provider, 'label', l.label)
                                     ORDER BY l.provider)
            FROM pg_catalog.pg_shseclabel l
           WHERE l.objoid = r.oid AND l.classoid = 'pg_catalog.pg_authid'::regclass) AS labels,
         (SELECT json_agg(json_build_object('database', d.datname, 'values', s.setconfig)
                                     ORDER BY d.datname NULLS FIRST)
            FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
           WHERE s.setrole = r.oid AND (s.setdatabase = 0 OR d.oid IS NOT NULL)) AS settings
    FROM pg_catalog.pg_roles r WHERE r.rolname !~ '^pg_' ORDER BY 1`

const membershipRow = z.object({
  role: z.string(),
  member: z.string(),
  memberInherits: z.boolean(),
  admin: z.boolean(),
  inherit: z.boolean().nullable(),
  set: z.boolean().nullable(),
})

// The columns inherit_option and set_option are there since PostgreSQL 16, with a row for each grantor.
const membershipsQuery = `
  SELECT g.rolname AS role, m.rolname AS member, m.rolinherit AS "memberInherits",
         bool_or(a.admin_option) AS admin,
         bool_or((to_jsonb(a) ->> 'inherit_option')::boolean) AS inherit,
         bool_or((to_jsonb(a) ->> 'set_option')::boolean) AS set
    FROM pg_catalog.pg_auth_members a
    JOIN pg_catalog.pg_roles g ON g.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member
   WHERE NOT (g.rolname ~ '^pg_' AND m.rolname ~ '^pg_') GROUP BY 1, 2, 3 ORDER BY 1, 2`

const parameterGrantRow = z.object({
  parameter: z.string(),
  privilege: z.enum(["SET", "ALTER SYSTEM"]),
  grantee: z.string().nullable(),
  grantable: z.boolean(),
})

// What the role has that made the cluster (10), it has on every server.
const parameterGrantsQuery = `
  SELECT p.parname AS parameter, a.privilege_type AS privilege, r.rolname AS grantee,
         bool_or(a.is_grantable) AS grantable
    FROM pg_catalog.pg_parameter_acl p CROSS JOIN LATERAL aclexplode(p.paracl) a
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
   WHERE a.grantee <> 10 AND (a.grantee = 0 OR r.oid IS NOT NULL) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`
