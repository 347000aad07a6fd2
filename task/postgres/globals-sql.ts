import { identifier, literal } from "../core/quote.ts"
import type { Globals, Membership, ParameterGrant, Role } from "./globals.ts"
import { settingAssignment } from "./setting-assignment.ts"

/** SQL that makes them, for psql. It says nothing that PostgreSQL takes for granted, since that needs rights, too. */
export function globalsSql({ roles, memberships, parameterGrants }: Globals): string {
  const inOneDatabase = roles.flatMap((role) => settingStatements(role, ({ database }) => database !== null))
  const groups: readonly (readonly [string, readonly string[]])[] = [
    ["Roles", roles.flatMap(roleStatements)],
    ["Memberships", memberships.map(membershipStatement)],
    ["Rights on parameters", parameterGrants.map(parameterGrantStatement)],
    ["Settings of roles in one database, which must be there", inOneDatabase],
  ]
  const sections = groups
    .filter(([, statements]) => statements.length > 0)
    .map(([title, statements]) => `-- ${title}\n\n${statements.map((sql) => `${sql};\n`).join("")}`)
  return [preamble, ...sections].join("\n")
}

const preamble = `SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET default_transaction_read_only = off;
`

/** The role with its comment, its labels, and the settings that it has in every database. */
function roleStatements(role: Role): string[] {
  const name = identifier(role.name)
  const options = [
    role.superuser && "SUPERUSER",
    role.inherit || "NOINHERIT",
    role.createRole && "CREATEROLE",
    role.createDatabase && "CREATEDB",
    role.login && "LOGIN",
    role.replication && "REPLICATION",
    role.bypassRls && "BYPASSRLS",
    role.connectionLimit !== -1 && `CONNECTION LIMIT ${role.connectionLimit}`,
    role.validUntil !== null && `VALID UNTIL ${literal(role.validUntil)}`,
  ].filter((option) => typeof option === "string")
  return [
    [`CREATE ROLE ${name}`, ...options].join(" "),
    ...(role.comment === null ? [] : [`COMMENT ON ROLE ${name} IS ${literal(role.comment)}`]),
    ...role.labels.map(
      ({ provider, label }) =>
        `SECURITY LABEL FOR ${identifier(provider)} ON ROLE ${name} IS ${literal(label)}`,
    ),
    ...settingStatements(role, ({ database }) => database === null),
  ]
}

function settingStatements(
  { name, settings }: Role,
  where: (settings: Role["settings"][number]) => boolean,
): string[] {
  return settings.filter(where).flatMap(({ database, values }) => {
    const of = `ALTER ROLE ${identifier(name)}${database === null ? "" : ` IN DATABASE ${identifier(database)}`}`
    return values.flatMap((setting) => {
      const assignment = settingAssignment(setting)
      return assignment === undefined ? [] : [`${of} SET ${assignment}`]
    })
  })
}

function membershipStatement({ role, member, memberInherits, admin, inherit, set }: Membership): string {
  // By these words alone the statement is one for every version, where it says no more than any of them can.
  const options = [
    admin && "ADMIN OPTION",
    inherit !== null && inherit !== memberInherits && `INHERIT ${inherit ? "TRUE" : "FALSE"}`,
    set === false && "SET FALSE",
  ].filter((option) => option !== false)
  const grant = `GRANT ${identifier(role)} TO ${identifier(member)}`
  return options.length > 0 ? `${grant} WITH ${options.join(", ")}` : grant
}

function parameterGrantStatement({ parameter, privilege, grantee, grantable }: ParameterGrant): string {
  const to = grantee === null ? "PUBLIC" : identifier(grantee)
  return `GRANT ${privilege} ON PARAMETER ${identifier(parameter)} TO ${to}${grantable ? " WITH GRANT OPTION" : ""}`
}
