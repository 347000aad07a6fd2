import * as z from "zod"
import { formatCount } from "../console/format.ts"
import type { TablePatterns } from "../core/table-patterns.ts"
import type { ChosenTables } from "../postgres/chosen-tables.ts"
import { countHidden, type Hidden } from "../postgres/unread-rows.ts"
import type { Finding } from "./finding.ts"
import { listed } from "./listed.ts"
import type { Check, Looking } from "./looking.ts"

/** What the role that backs up lacks. Names are as SQL writes them. */
export type Rights = {
  readonly role: string
  readonly isSuperuser: boolean
  readonly serverMajor: number
  readonly schemas: readonly string[]
  readonly relations: readonly Relation[]
  readonly largeObjects: { readonly count: number; readonly some: readonly number[] }
  readonly hidden: Hidden
}

export type Relation = {
  readonly schema: string
  readonly name: string
  readonly kind: "table" | "sequence"
  readonly isReadable: boolean
  /** Whether row-level security would show this role fewer rows than there are. */
  readonly isFiltered: boolean
}

/** By the tables that are in the backup, and whether it is of the whole database but for them. */
export function rightsChecks(chosen: ChosenTables, patterns: TablePatterns): readonly Check[] {
  return [
    {
      area: "rights",
      about: "rights",
      find: async (looking) => rightsFindings(await readRights(looking, chosen, patterns)),
    },
  ]
}

const roleRow = z.object({ role: z.string(), isSuperuser: z.boolean(), subject: z.string() })
const schemaRow = z.object({ schema: z.string() })
const relationRow = z.object({
  schema: z.string(),
  name: z.string(),
  kind: z.enum(["table", "sequence"]),
  isReadable: z.boolean(),
  isFiltered: z.boolean(),
})
const largeObjectsRow = z.object({ count: z.int(), some: z.array(z.int()) })

/** Tables of extensions are theirs, but for those whose rows are the user's. */
const notOfExtension = `
  (NOT EXISTS (SELECT FROM pg_depend d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
   OR EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig)))`

const own = (schema: string) => `${schema} !~ '^pg_' AND ${schema} <> 'information_schema'`

const relationsQuery = ({ isIn, hasRows }: ChosenTables) => `
  SELECT * FROM (
    SELECT quote_ident(n.nspname) AS schema, format('%I.%I', n.nspname, c.relname) AS name,
           CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
           CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
                          ELSE has_table_privilege(c.oid, 'SELECT') END AS "isReadable",
           c.relkind = 'r' AND c.relrowsecurity AND row_security_active(c.oid) AND ${hasRows} AS "isFiltered"
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't' AND ${own("n.nspname")} AND ${notOfExtension}
       AND ${isIn}
     ORDER BY n.nspname, c.relname) AS relation
   WHERE NOT "isReadable" OR "isFiltered"`

const schemasQuery = ({ isIn }: ChosenTables) => `
  SELECT quote_ident(n.nspname) AS schema FROM pg_namespace n
   WHERE ${own("n.nspname")} AND NOT has_schema_privilege(n.oid, 'USAGE')
     AND EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'S') AND ${notOfExtension}
                   AND ${isIn})
   ORDER BY n.nspname`

/** Before 18 no function tells whether a large object may be read. */
const largeObjectsQuery = (serverMajor: number) => `
  SELECT count(*)::int AS count,
         coalesce((array_agg(m.oid::bigint ORDER BY m.oid))[1:${namedAtMost + 1}], '{}') AS some
    FROM pg_largeobject_metadata m
   WHERE current_setting('lo_compat_privileges') = 'off' AND NOT ${
     serverMajor >= 18
       ? "has_largeobject_privilege(m.oid, 'SELECT')"
       : `(pg_has_role(m.lomowner, 'USAGE') OR EXISTS (
             SELECT FROM aclexplode(m.lomacl) a
              WHERE a.privilege_type = 'SELECT'
                AND CASE a.grantee WHEN 0 THEN true ELSE pg_has_role(a.grantee, 'USAGE') END))`
   }`

async function readRights(
  { rows, serverMajor, session }: Looking,
  chosen: ChosenTables,
  { tables, schemas: chosenSchemas }: TablePatterns,
): Promise<Rights> {
  const [who] = await rows(
    roleRow,
    `SELECT quote_ident(current_user) AS role, rolsuper AS "isSuperuser", current_database() AS subject
       FROM pg_roles WHERE rolname = current_user`,
  )
  if (who === undefined || who.isSuperuser)
    return {
      role: who?.role ?? "",
      isSuperuser: true,
      serverMajor,
      schemas: [],
      relations: [],
      largeObjects: { count: 0, some: [] },
      hidden: { subscriptions: 0, mappings: 0 },
    }
  const schemas = await rows(schemaRow, schemasQuery(chosen))
  // Of chosen tables alone, pg_dump has neither large objects nor subscriptions with them.
  const isAll = tables.length === 0 && chosenSchemas.length === 0
  const [largeObjects] = isAll ? await rows(largeObjectsRow, largeObjectsQuery(serverMajor)) : []
  return {
    role: who.role,
    isSuperuser: false,
    serverMajor,
    schemas: schemas.map(({ schema }) => schema),
    relations: await rows(relationRow, relationsQuery(chosen)),
    largeObjects: largeObjects ?? { count: 0, some: [] },
    hidden: isAll ? await countHidden(session) : { subscriptions: 0, mappings: 0 },
  }
}

/** More are not named one by one. */
const namedAtMost = 20

/** What a backup by this role would fail of, or go without. */
export function rightsFindings(rights: Rights): Finding[] {
  const { role, isSuperuser, schemas, relations } = rights
  if (isSuperuser) return []
  const unreadable = relations.filter(({ isReadable }) => !isReadable)
  const filtered = relations.filter(({ isReadable, isFiltered }) => isReadable && isFiltered)
  return [
    ...(schemas.length === 0 ? [] : [schemasFinding(rights)]),
    ...[...Map.groupBy(unreadable, ({ kind, schema }) => `${kind} ${schema}`).values()].map((some) =>
      relationsFinding(some, rights),
    ),
    ...largeObjectsFindings(rights),
    ...(filtered.length === 0 ? [] : [filterFinding(filtered, role)]),
    ...hiddenFindings(rights),
  ]
}

/** One grant in place of many, where the server has it. */
function allAtOnce({ role, serverMajor }: Rights): string {
  return serverMajor >= 14
    ? ` GRANT pg_read_all_data TO ${role}; does for all schemas, tables and sequences, future ones too.`
    : ""
}

function schemasFinding(rights: Rights): Finding {
  const { role, schemas } = rights
  const which = schemas.length === 1 ? "the schema" : "the schemas"
  return {
    check: "rights.schemas",
    severity: "error",
    subject: role,
    what: `the role may not use ${which} ${listed(schemas)}`,
    why: `A backup reads every table, and ends where it may not.${allAtOnce(rights)}`,
    fix: `GRANT USAGE ON SCHEMA ${schemas.join(", ")} TO ${role};`,
  }
}

function relationsFinding(relations: readonly Relation[], rights: Rights): Finding {
  const [first] = relations
  const { kind = "table", schema = "" } = first ?? {}
  const names = relations.map(({ name }) => name)
  const KIND = kind === "table" ? "TABLE" : "SEQUENCE"
  const which =
    names.length > namedAtMost ? `ALL ${KIND}S IN SCHEMA ${schema}` : `${KIND} ${names.join(", ")}`
  return {
    check: kind === "table" ? "rights.tables" : "rights.sequences",
    severity: "error",
    subject: rights.role,
    what: `the role may not read ${formatCount(names.length, kind)} of the schema ${schema}: ${listed(names)}`,
    why: `A backup reads every table and sequence, and ends where it may not.${allAtOnce(rights)}`,
    fix: `GRANT SELECT ON ${which} TO ${rights.role};`,
  }
}

function largeObjectsFindings({ role, largeObjects: { count, some } }: Rights): Finding[] {
  if (count === 0) return []
  const all = `DO $$ BEGIN EXECUTE (SELECT 'GRANT SELECT ON LARGE OBJECT ' || string_agg(oid::text, ', ') || ' TO ' || ${quoted(role)} FROM pg_largeobject_metadata); END $$;`
  return [
    {
      check: "rights.large-objects",
      severity: "error",
      subject: role,
      what: `the role may not read ${formatCount(count, "large object")}: ${listed(some.map(String))}${count > some.length ? ", …" : ""}`,
      why: "A backup reads every large object, and ends where it may not. pg_read_all_data does not cover them: a role that owns them, or a superuser, backs up new ones without further grants.",
      fix: count > namedAtMost ? all : `GRANT SELECT ON LARGE OBJECT ${some.join(", ")} TO ${role};`,
    },
  ]
}

/** Within dollar quotes, and there in a string. */
function quoted(role: string): string {
  return `'${role.replaceAll("'", "''")}'`
}

function filterFinding(tables: readonly Relation[], role: string): Finding {
  const names = tables.map(({ name }) => name)
  return {
    check: "rights.row-security",
    severity: "error",
    subject: role,
    what: `row-level security hides rows of ${formatCount(names.length, "table")} from the role: ${listed(names)}`,
    why: "A backup of what a policy shows would not be all of it, so it ends with an error. pg_read_all_data does not change that. Where nobody may grant BYPASSRLS, back up as the tables' owner, unless they have FORCE ROW LEVEL SECURITY.",
    fix: `ALTER ROLE ${role} BYPASSRLS;`,
  }
}

/** No grant shows these to pg_dump. */
function asSuperuser(role: string): string {
  return `ALTER ROLE ${role} SUPERUSER; -- or --username with a role that is one`
}

function hiddenFindings({ role, hidden: { subscriptions, mappings } }: Rights): Finding[] {
  return [
    ...(subscriptions === 0
      ? []
      : [
          {
            check: "rights.subscriptions",
            severity: "warning",
            subject: role,
            what: `the role may not read ${formatCount(subscriptions, "subscription")}`,
            why: "pg_dump leaves subscriptions out for everyone but a superuser, so they are not in the backup.",
            fix: asSuperuser(role),
          } satisfies Finding,
        ]),
    ...(mappings === 0
      ? []
      : [
          {
            check: "rights.user-mappings",
            severity: "warning",
            subject: role,
            what: `the role may not read the options of ${formatCount(mappings, "user mapping")}`,
            why: "Foreign tables need them after a restore, the passwords in them above all, and they would be missing in the backup.",
            fix: asSuperuser(role),
          } satisfies Finding,
        ]),
  ]
}
