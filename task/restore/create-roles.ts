import { formatName } from "../console/format.ts"
import type { Manifest } from "../core/manifest.ts"
import { identifier } from "../core/quote.ts"
import { PgstowError } from "../errors.ts"
import { QueryError } from "../postgres/conversation.ts"
import { type GlobalsStatement, parseGlobals } from "../postgres/parse-globals.ts"
import type { Session } from "../postgres/session.ts"
import { inspectTarget } from "../postgres/target-server.ts"
import type { Storage } from "../storage/storage.ts"
import { refuseUnsafeGlobals } from "./cat.ts"
import { type OpenContentOptions, openContent } from "./open-content.ts"

/**
 * Makes those of a backup's roles that the session's server lacks: with their attributes, settings, memberships and
 * comments, and without passwords. Roles that are there stay as they are. A user that is no superuser becomes a member
 * of what it makes, to be able to restore what belongs to them.
 *
 * Resolves to what a person must know: which roles need a password, and what the server refused. Rejects where the
 * backup holds no roles, or none that are safe to make.
 */
export async function createRoles(
  storage: Storage,
  manifest: Manifest,
  session: Session,
  options: OpenContentOptions & {
    /** Hears which roles were made where this rejects after that. */
    readonly onStop?: (notices: readonly string[]) => void
  },
): Promise<string[]> {
  const statements = await readRoles(storage, manifest, options)
  const target = await inspectTarget(session)
  const missing = statements.flatMap((one) =>
    one.kind === "role" && !target.roles.has(one.role) ? [one] : [],
  )
  const made: (typeof missing)[number][] = []
  const refusals: string[] = []
  const attempt = async (sql: string): Promise<boolean> => {
    try {
      await session.execute(sql)
      return true
    } catch (error) {
      if (!(error instanceof QueryError)) throw error
      refusals.push(`refused: ${sql}: ${error.reason}`)
      return false
    }
  }
  const isMade = (role: string | null) => made.some((one) => one.role === role)
  try {
    for (const role of missing) {
      const name = identifier(role.role)
      // One right after another, so that one that the user may not give keeps back none of the others.
      if (!(await attempt([`CREATE ROLE ${name}`, ...role.options].join(" ")))) continue
      made.push(role)
      for (const right of role.rights) await attempt(`ALTER ROLE ${name} ${right}`)
      if (!target.isSuperuser)
        await attempt(
          `GRANT ${name} TO CURRENT_USER${session.serverMajor < 16 ? "" : " WITH INHERIT TRUE, SET TRUE"}`,
        )
    }
    for (const statement of statements) if (concerns(statement, isMade)) await attempt(statement.sql)
  } catch (error) {
    // They stay, and perhaps without all that they have in the backup.
    options.onStop?.(noticesOf(made, target.isSuperuser))
    throw error
  }
  return [...noticesOf(made, target.isSuperuser), ...refusals]
}

/** Whether a statement is about roles that are made. What is set for roles in one database comes with the database. */
export function concerns(
  statement: GlobalsStatement,
  isMade: (role: string | null) => boolean,
): statement is Exclude<GlobalsStatement, { readonly kind: "role" | "database setting" }> {
  if (statement.kind === "role" || statement.kind === "database setting") return false
  if (statement.kind === "membership") return isMade(statement.role) || isMade(statement.member)
  return isMade(statement.role)
}

function noticesOf(
  made: readonly Extract<GlobalsStatement, { readonly kind: "role" }>[],
  bySuperuser: boolean,
): string[] {
  if (made.length === 0) return []
  const names = (roles: typeof made) => roles.map(({ role }) => formatName(role)).join(", ")
  const logins = made.filter(({ login }) => login)
  const passwords = logins.map(({ role }) => `\\password ${identifier(role)}`).join(", ")
  const superusers = made.filter(({ rights }) => rights.includes("SUPERUSER"))
  return [
    `made the roles ${names(made)}`,
    ...(logins.length > 0
      ? [
          `without a password, which no backup has, are ${names(logins)}: set it in psql by ${formatName(passwords)}`,
        ]
      : []),
    ...(superusers.length > 0 ? [`superusers in the backup: ${names(superusers)}`] : []),
    ...(bySuperuser ? [] : [`the user of this restore is now a member of ${names(made)}`]),
  ]
}

const maxBytes = 64 * 1024 * 1024

/** The statements that make the backup's roles. Rejects where it holds none, or none that are safe to make. */
export async function readRoles(
  storage: Storage,
  manifest: Manifest,
  options: OpenContentOptions,
): Promise<GlobalsStatement[]> {
  const globals = manifest.objects.find(({ kind }) => kind === "globals")
  if (!globals)
    throw new PgstowError("usage", `backup ${manifest.id} holds no roles`, {
      hint: "Leave --create-roles out, and make them by hand.",
    })
  refuseUnsafeGlobals(manifest)
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of openContent(storage, manifest, globals, options)) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new PgstowError("damaged", `${manifest.id} ${globals.name} is too large`)
    chunks.push(chunk)
  }
  return parseGlobals(Buffer.concat(chunks).toString())
}
