import * as z from "zod"
import type { TocEntry } from "../archive/toc.ts"
import { identifier, literal } from "../core/quote.ts"
import { QueryError } from "../postgres/conversation.ts"
import type { Session } from "../postgres/session.ts"
import type { RestoreJob } from "./job.ts"

/**
 * Lets the owners of what is planned create in the schemas that there are by now, until the function that this resolves to
 * is called. PostgreSQL asks for that right where a user who is no superuser gives something away. The source's own
 * grants come last; and in `public` nobody has it from the start, since PostgreSQL 15. Whoever has it by those grants
 * keeps it.
 *
 * https://www.postgresql.org/docs/current/sql-altertable.html, OWNER TO
 */
export async function lendCreate(
  { target, options }: Pick<RestoreJob, "target" | "options">,
  entries: readonly TocEntry[],
  database: string,
): Promise<() => Promise<void>> {
  const wanted = options.owners === "keep" ? ownersBySchema(entries) : []
  if (wanted.length === 0) return async () => {}
  const lacking = z.array(lendable).parse(await findLacking(await target.inside(database), wanted))
  const lent: Lendable[] = []
  for (const one of lacking)
    if (await mayChange(await target.inside(database), `GRANT ${rightOf(one)} TO ${identifier(one.role)}`))
      lent.push(one)
  await target.leave()
  return async () => {
    for (const one of lent)
      if (!mayCreateBy(entries, one))
        await mayChange(await target.inside(database), `REVOKE ${rightOf(one)} FROM ${identifier(one.role)}`)
  }
}

const lendable = z.object({ schema: z.string(), role: z.string() })
type Lendable = z.infer<typeof lendable>

function rightOf({ schema }: Lendable): string {
  return `CREATE ON SCHEMA ${identifier(schema)}`
}

/** Who is to own something in which schema. */
function ownersBySchema(entries: readonly TocEntry[]): Lendable[] {
  const found = new Map<string, Lendable>()
  for (const { kind, schema, owner } of entries)
    if (schema && owner !== "" && kind !== "ACL")
      found.set(JSON.stringify([schema, owner]), { schema, role: owner })
  return [...found.values()]
}

/**
 * The names are the archive's, and are no more than a guess where that is not in UTF-8: one that the database has no
 * characters for is not asked for.
 */
async function findLacking(session: Session, wanted: readonly Lendable[]): Promise<unknown> {
  try {
    return await session.query(lackingAmong(wanted))
  } catch (error) {
    if (!(error instanceof QueryError)) throw error
    const plain = wanted.filter(({ schema, role }) => /^[ -~]*$/.test(schema + role))
    return plain.length > 0 ? session.query(lackingAmong(plain)) : []
  }
}

/** A superuser may give everything to everybody, and needs none of this. */
function lackingAmong(wanted: readonly Lendable[]): string {
  const pairs = wanted.map(({ schema, role }) => `(${literal(schema)}, ${literal(role)})`)
  return `
    SELECT n.nspname AS schema, r.rolname AS role
      FROM (VALUES ${pairs.join(", ")}) AS wanted (schema, role)
           JOIN pg_catalog.pg_namespace n ON n.nspname = wanted.schema
           JOIN pg_catalog.pg_roles r ON r.rolname = wanted.role
     WHERE NOT pg_catalog.has_schema_privilege(r.oid, n.oid, 'CREATE')
       AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)`
}

/** Who may not give or take the right is refused what needs it, too, and told then. */
async function mayChange(session: Session, statement: string): Promise<boolean> {
  try {
    await session.execute(statement)
    return true
  } catch (error) {
    if (!(error instanceof QueryError)) throw error
    return false
  }
}

/** Whether the schema's own grants give the right, as pg_dump writes them. */
function mayCreateBy(entries: readonly TocEntry[], { schema, role }: Lendable): boolean {
  const acls = entries.filter(
    (entry) =>
      entry.kind === "ACL" &&
      nameOf(entry.name.slice("SCHEMA ".length)) === schema &&
      entry.name.startsWith("SCHEMA "),
  )
  return acls.some(({ definition }) =>
    [...definition.matchAll(grantPattern)].some(
      ([, rights = "", grantee = ""]) => /\b(ALL|CREATE)\b/.test(rights) && nameOf(grantee) === role,
    ),
  )
}

const grantPattern = /^GRANT ([A-Z, ]+) ON SCHEMA (?:"(?:[^"]|"")*"|\S+) TO ("(?:[^"]|"")*"|[^\s;]+)/gm

function nameOf(quoted: string): string {
  return quoted.startsWith('"') ? quoted.slice(1, -1).replaceAll('""', '"') : quoted
}
