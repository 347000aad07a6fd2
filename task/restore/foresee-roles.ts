import { formatCount, formatName } from "../console/format.ts"
import { identifier } from "../core/quote.ts"
import type { GlobalsStatement } from "../postgres/parse-globals.ts"
import type { Session } from "../postgres/session.ts"
import { findClosedParameters, mayGrantParameters, type TargetServer } from "../postgres/target-server.ts"
import { concerns } from "./create-roles.ts"

/** What the server will refuse of the roles, and what would let the user do it; undefined where only a superuser may. */
type Refusal = { readonly sql: string; readonly ask?: string | undefined }

const mostTold = 20

/**
 * Sentences for what of the backup's roles the session's user, who may make roles and is no superuser, may not make as it
 * was. None of that fails a restore.
 */
export async function foreseeRoles(
  session: Session,
  statements: readonly GlobalsStatement[],
  server: TargetServer,
): Promise<string[]> {
  if (server.isSuperuser) return []
  const made = statements.flatMap((one) => (one.kind === "role" && !server.roles.has(one.role) ? [one] : []))
  const isMade = (role: string | null) => made.some((one) => one.role === role)
  const others = statements.flatMap((one) => (concerns(one, isMade) ? [one] : []))
  const grants = others.flatMap((one) => (one.kind === "parameter grant" ? [one] : []))
  const mayGrant = await mayGrantParameters(session, grants)
  const refusals = [
    ...made.flatMap((role) => rightsRefused(role, server)),
    ...others.flatMap((one) => (one.kind === "membership" ? membershipRefused(one, isMade, server) : [])),
    ...settingsRefused(
      others.flatMap((one) => (one.kind === "setting" ? [one] : [])),
      await findClosedParameters(
        session,
        others.flatMap((one) => (one.kind === "setting" ? [one.parameter] : [])),
      ),
      server,
    ),
    ...grants.filter((_, index) => !mayGrant[index]).map((one) => grantRefused(one, server)),
  ]
  const told = refusals.slice(0, mostTold).map(({ sql, ask }) => {
    const asked = ask === undefined ? "" : `ask for ${formatName(ask)}, or `
    return `--create-roles leaves out ${formatName(sql)}: ${asked}run it as a superuser afterwards`
  })
  const more = refusals.length - told.length
  return more > 0 ? [...told, `--create-roles leaves out ${formatCount(more, "more statement")}`] : told
}

/** Since 16, whoever makes roles can give what it has itself; before, only a superuser gives these two. */
function rightsRefused(
  { role, rights }: Extract<GlobalsStatement, { kind: "role" }>,
  { user, major, mayCreateDatabases, mayReplicate, bypassesRls }: TargetServer,
): Refusal[] {
  const own: Readonly<Record<string, boolean>> = {
    CREATEDB: mayCreateDatabases || major < 16,
    REPLICATION: mayReplicate && major >= 16,
    BYPASSRLS: bypassesRls && major >= 16,
    SUPERUSER: false,
  }
  return rights
    .filter((right) => own[right] === false)
    .map((right) => ({
      sql: `ALTER ROLE ${identifier(role)} ${right}`,
      ask: right === "SUPERUSER" || major < 16 ? undefined : `ALTER ROLE ${identifier(user)} ${right}`,
    }))
}

function membershipRefused(
  { role, sql }: Extract<GlobalsStatement, { kind: "membership" }>,
  isMade: (role: string) => boolean,
  { user, major, roles, superusers, administeredRoles }: TargetServer,
): Refusal[] {
  if (major < 16 && /\b(?:INHERIT|SET) (?:TRUE|FALSE)(?:,|$)/.test(sql)) return [{ sql }]
  if (isMade(role)) return []
  if (!roles.has(role) || superusers.has(role)) return [{ sql }]
  if (major < 16 || administeredRoles.has(role)) return []
  return [{ sql, ask: `GRANT ${identifier(role)} TO ${identifier(user)} WITH ADMIN OPTION` }]
}

function settingsRefused(
  settings: readonly Extract<GlobalsStatement, { kind: "setting" }>[],
  closed: readonly string[],
  { user, major }: TargetServer,
): Refusal[] {
  return settings
    .filter(({ parameter }) => closed.includes(parameter))
    .map(({ sql, parameter }) => ({
      sql,
      ask: major < 15 ? undefined : `GRANT SET ON PARAMETER ${identifier(parameter)} TO ${identifier(user)}`,
    }))
}

function grantRefused(
  { sql, parameter, privilege }: Extract<GlobalsStatement, { kind: "parameter grant" }>,
  { user, major }: TargetServer,
): Refusal {
  if (major < 15) return { sql }
  return {
    sql,
    ask: `GRANT ${privilege} ON PARAMETER ${identifier(parameter)} TO ${identifier(user)} WITH GRANT OPTION`,
  }
}
