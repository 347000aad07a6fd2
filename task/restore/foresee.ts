import { type RestorePlan, rolesNeeded } from "../archive/plan-restore.ts"
import type { TocEntry } from "../archive/toc.ts"
import { formatCount, formatName, wrapText } from "../console/format.ts"
import type { Manifest } from "../core/manifest.ts"
import { identifier } from "../core/quote.ts"
import { PgstowError } from "../errors.ts"
import type { RoleSetting } from "../postgres/database-properties.ts"
import type { TargetServer } from "../postgres/target-server.ts"
import { extensionsThere } from "./extensions-there.ts"
import type { RestoreJobOptions } from "./options.ts"

/** What will fail of a restore, as far as that can be known before anything is made. */
export type Foreseen = {
  readonly kind: "usage" | "postgres"
  /** What will fail: "the event trigger audit". */
  readonly what: string
  /** Why, as part of a sentence: "the user app may not create databases". */
  readonly why: string
  /** Ways out, any of which is enough: flags, statements to ask somebody for, or words. */
  readonly waysOut: readonly string[]
}

/** What a restore is to do, for looking whether it can. */
export type Intention = {
  readonly plan: RestorePlan
  readonly manifest: Manifest
  readonly options: Pick<RestoreJobOptions, "owners" | "grants" | "tablespaces" | "locale">
  /** Whether the database to restore into is there. */
  readonly exists: boolean
  /** The major version of pg_restore. */
  readonly clientMajor: number
  /** The backup's roles that are made first. */
  readonly rolesToMake: readonly string[]
  /** The backup's libc locales that the server lacks. */
  readonly missingLocales: readonly string[]
  /** What is set for roles in the database, where that is wanted. */
  readonly roleSettings: readonly RoleSetting[]
  /** Of the parameters that the backup sets for roles and for the database, those that the user may not set. */
  readonly closedParameters: readonly string[]
  /** The roles whose default privileges may be set by the role that this is done as. */
  readonly defaultGivers: ReadonlySet<string>
}

/** Looks through all that is planned for what the server will refuse, the greatest hindrance first. */
export function foresee(intention: Intention, server: TargetServer): Foreseen[] {
  return [
    ...foreseeRole(intention, server),
    ...foreseeDatabase(intention, server),
    ...foreseeLocale(intention, server),
    ...foreseeCollations(intention, server),
    ...foreseeMissingRoles(intention, server),
    ...foreseeOwners(intention, server),
    ...foreseeDefaultPrivileges(intention, server),
    ...foreseeRoleSettings(intention, server),
    ...foreseeExtensions(intention, server),
    ...foreseeTablespaces(intention, server),
    ...foreseeGuarded(intention, server),
  ]
}

const fail = (what: string, why: string, waysOut: readonly string[]): Foreseen => ({
  kind: "postgres",
  what,
  why,
  waysOut,
})

function listed(names: readonly string[]): string {
  return names.map(formatName).join(", ")
}

/** The role that is to own all of it. */
function foreseeRole({ options: { owners } }: Intention, server: TargetServer): Foreseen[] {
  if (typeof owners === "string" || server.ownRoles.has(owners.role)) return []
  const role = formatName(owners.role)
  const what = `everything, as it is to belong to ${role}`
  if (!server.roles.has(owners.role))
    return [
      {
        kind: "usage",
        what,
        why: `the target has no role ${role}`,
        waysOut: ["--role with one that is there", `CREATE ROLE ${identifier(owners.role)};`],
      },
    ]
  return [fail(what, `the user may not act as the role ${role}`, grantsOf([owners.role], server))]
}

/** Statements that let the user, or another, act as these roles; none where that would make a superuser of it. */
function grantsOf(
  roles: readonly string[],
  { superusers, user, major }: TargetServer,
  grantee = user,
): string[] {
  const ordinary = roles.filter((role) => !superusers.has(role))
  if (ordinary.length === 0) return []
  const names = ordinary.map(identifier).join(", ")
  const how = major < 16 ? "" : " WITH INHERIT TRUE, SET TRUE"
  return [`GRANT ${names} TO ${identifier(grantee)}${how};`]
}

/** Whether a new database can be made, whatever goes into it. */
export function foreseeNewDatabase({ user, isSuperuser, mayCreateDatabases }: TargetServer): Foreseen[] {
  if (isSuperuser || mayCreateDatabases) return []
  return [
    fail("the new database", `the user ${formatName(user)} may not create databases`, [
      `ALTER ROLE ${identifier(user)} CREATEDB;`,
      "--into an empty database that somebody has made",
    ]),
  ]
}

function foreseeDatabase({ exists, plan, clientMajor }: Intention, server: TargetServer): Foreseen[] {
  const { user, major, isSuperuser, mayCreateDatabases, mayCreateInDatabase } = server
  // pg_restore sets transaction_timeout, which came with 17, and in one transaction it can't go on without.
  if (exists && clientMajor >= 17 && major < 17)
    return [
      fail(
        "everything",
        `pg_restore ${clientMajor} can't restore into PostgreSQL ${major} in one transaction`,
        ["leave --into out for a new database, and rename it or take from it what you need"],
      ),
    ]
  if (isSuperuser) return []
  if (!exists && !mayCreateDatabases) return foreseeNewDatabase(server)
  const schemas = plan.entries.filter(({ kind, name }) => kind === "SCHEMA" && name !== "public")
  if (!exists || mayCreateInDatabase || schemas.length === 0) return []
  return [
    fail(
      `the schemas ${listed(schemas.map(({ name }) => name))}`,
      `the user ${formatName(user)} may not create schemas in the database`,
      [`GRANT CREATE ON DATABASE … TO ${identifier(user)};`],
    ),
  ]
}

function foreseeLocale(
  { exists, manifest, options, missingLocales }: Intention,
  { major, encodings, hasIcu }: TargetServer,
): Foreseen[] {
  if (exists || options.locale === "default") return []
  const { encoding, localeProvider, locale, collate } = manifest.source
  const missing = [
    ...(encodings.has(encoding) ? [] : [`the target has no encoding ${formatName(encoding)}`]),
    ...missingLocales.map((name) => `the target has no locale ${formatName(name)}`),
    ...(localeProvider === "icu" && major < 15
      ? [`PostgreSQL ${major} has no databases with locales of ICU (${formatName(locale ?? collate)})`]
      : []),
    ...(localeProvider === "icu" && major >= 15 && !hasIcu
      ? [`the target is built without ICU, which the locale ${formatName(locale ?? collate)} is of`]
      : []),
    ...(localeProvider === "builtin" && !(major >= (builtinSince[locale ?? ""] ?? Number.POSITIVE_INFINITY))
      ? [`PostgreSQL ${major} has no builtin locale ${formatName(locale ?? collate)}`]
      : []),
  ]
  if (missing.length === 0) return []
  return [
    fail("the new database", missing.join(", and "), [
      "--locale default, where text may sort and compare otherwise",
      "another server that has it",
    ]),
  ]
}

/** Collations of their own, which indexes, columns and views name. */
function foreseeCollations({ plan }: Intention, { hasIcu }: TargetServer): Foreseen[] {
  const named = plan.entries.filter(
    ({ kind, definition }) => kind === "COLLATION" && /\bprovider = icu\b/.test(definition),
  )
  if (hasIcu || named.length === 0) return []
  const collations = listed(named.map(({ schema, name }) => `${schema}.${name}`))
  const [noun, them] = named.length === 1 ? ["the collation", "it"] : ["the collations", "them"]
  return [
    fail(
      `${noun} ${collations}, and what needs ${them}`,
      `the target is built without ICU, which ${noun} ${collations} ${named.length === 1 ? "is" : "are"} of`,
      ["another server, which is built with ICU"],
    ),
  ]
}

const builtinSince: Readonly<Record<string, number>> = { C: 17, "C.UTF-8": 17, PG_UNICODE_FAST: 18 }

function foreseeMissingRoles(
  { plan, manifest, options, rolesToMake, roleSettings }: Intention,
  { user, roles, isSuperuser, mayCreateRoles }: TargetServer,
): Foreseen[] {
  const keep = { owners: options.owners === "keep", grants: options.grants === "keep" }
  const needed = new Set([
    ...rolesNeeded(plan.entries, manifest.source.roles, keep),
    ...roleSettings.map(({ role }) => role),
  ])
  const missing = [...needed].filter((role) => !roles.has(role) && !rolesToMake.includes(role))
  const found: Foreseen[] = []
  if (rolesToMake.length > 0 && !isSuperuser && !mayCreateRoles)
    found.push(
      fail(`the roles ${listed(rolesToMake)}`, `the user ${formatName(user)} may not create roles`, [
        `ALTER ROLE ${identifier(user)} CREATEROLE;`,
        "leave --create-roles out, with --no-owner --no-acl",
      ]),
    )
  if (missing.length > 0)
    found.push(
      fail(
        "what belongs to them or is granted to them",
        `the target lacks ${missing.length === 1 ? "a role" : `${missing.length} roles`} that the backup names: ${listed(missing)}`,
        [
          ...(rolesToMake.length > 0 ? [] : ["--create-roles, which makes them as the backup has them"]),
          "--no-owner --no-acl",
          "--role ROLE --no-acl",
        ],
      ),
    )
  return found
}

/** What has no owner of its own, or is not given to it. */
const unowned = new Set(["ACL", "COMMENT", "SECURITY LABEL", "USER MAPPING", "DATABASE PROPERTIES"])
/** Of what takes more after it has been given away: rows, indexes, tables. */
const filled = new Set(["SCHEMA", "TABLE", "MATERIALIZED VIEW", "SEQUENCE"])

function foreseeOwners({ plan, options, exists, rolesToMake }: Intention, server: TargetServer): Foreseen[] {
  if (server.isSuperuser || options.owners !== "keep") return []
  const owned = plan.entries.filter(
    ({ kind, owner }) =>
      !unowned.has(kind) &&
      (kind !== "DEFAULT ACL" || options.grants === "keep") &&
      (kind !== "DATABASE" || !exists) &&
      // Of a database, that is whoever has made it.
      owner !== "pg_database_owner" &&
      server.roles.has(owner) &&
      !rolesToMake.includes(owner),
  )
  const ownersOf = (entries: readonly TocEntry[]) => [...new Set(entries.map(({ owner }) => owner))].sort()
  const foreign = ownersOf(owned.filter(({ owner }) => !server.ownRoles.has(owner)))
  const distant = ownersOf(
    owned.filter(
      ({ kind, owner }) =>
        filled.has(kind) && server.ownRoles.has(owner) && !server.inheritedRoles.has(owner),
    ),
  )
  const waysOut = (roles: readonly string[]) => [...grantsOf(roles, server), "--no-owner"]
  const user = formatName(server.user)
  return [
    ...(foreign.length === 0
      ? []
      : [
          fail(
            `what belongs to ${listed(foreign)}`,
            `the user ${user} may not act as ${foreign.length === 1 ? "the owner" : "the owners"} ${listed(foreign)}`,
            waysOut(foreign),
          ),
        ]),
    ...(distant.length === 0
      ? []
      : [
          fail(
            `rows, indexes and keys of what belongs to ${listed(distant)}`,
            `the user ${user} may act as ${listed(distant)}, but does not inherit the rights`,
            waysOut(distant),
          ),
        ]),
  ]
}

/** Default privileges stay those of their role, whoever all else belongs to. */
function foreseeDefaultPrivileges(
  { plan, options: { owners, grants }, rolesToMake, defaultGivers }: Intention,
  server: TargetServer,
): Foreseen[] {
  const actor = typeof owners === "string" ? server.user : owners.role
  if (grants !== "keep" || server.superusers.has(actor) || !server.roles.has(actor)) return []
  const givers = plan.entries.filter(({ kind }) => kind === "DEFAULT ACL").map(({ owner }) => owner)
  const foreign = [...new Set(givers)]
    .filter((role) => server.roles.has(role) && !defaultGivers.has(role) && !rolesToMake.includes(role))
    // Those of owners that the user can't act as are told with these.
    .filter((role) => owners !== "keep" || server.ownRoles.has(role))
    .sort()
  if (foreign.length === 0) return []
  const who = `the ${typeof owners === "string" ? "user" : "role"} ${formatName(actor)}`
  return [
    fail(
      `the default privileges of ${listed(foreign)}`,
      `${who} may not set default privileges of ${listed(foreign)}`,
      [...grantsOf(foreign, server, actor), "--no-acl"],
    ),
  ]
}

/** What is set for a role in the database is set by the user, whoever all else belongs to. */
function foreseeRoleSettings(
  { roleSettings, closedParameters, rolesToMake }: Intention,
  server: TargetServer,
): Foreseen[] {
  const { user, major, roles, superusers, administeredRoles, mayCreateRoles, isSuperuser } = server
  if (isSuperuser) return []
  const isClosed = ({ parameter }: RoleSetting) => closedParameters.includes(parameter)
  const isLocked = ({ role }: RoleSetting) => {
    if (!roles.has(role) || rolesToMake.includes(role) || role === user) return false
    return superusers.has(role) || !mayCreateRoles || (major >= 16 && !administeredRoles.has(role))
  }
  const named = (settings: readonly RoleSetting[], key: keyof RoleSetting) =>
    [...new Set(settings.map((one) => one[key]))].sort()
  // A hosted service gives its admins some of what only a superuser may set.
  const closed = server.isHostedAdmin ? [] : named(roleSettings.filter(isClosed), "parameter")
  const locked = named(roleSettings.filter(isLocked), "role")
  const ordinary = locked.filter((role) => !superusers.has(role))
  const leftOut = "--no-acl, which leaves out all grants and what is set for roles"
  const asSuperuser = "restore as a superuser"
  const name = formatName(user)
  return [
    ...(closed.length === 0
      ? []
      : [
          fail(
            `what is set of ${listed(closed)} for roles in the database`,
            `the user ${name} may not set the ${closed.length === 1 ? "parameter" : "parameters"} ${listed(closed)}`,
            [
              ...(major < 15
                ? []
                : [`GRANT SET ON PARAMETER ${closed.map(identifier).join(", ")} TO ${identifier(user)};`]),
              leftOut,
              asSuperuser,
            ],
          ),
        ]),
    ...(locked.length === 0
      ? []
      : [
          fail(
            `what is set for ${listed(locked)} in the database`,
            `the user ${name} may not change settings of ${listed(locked)}`,
            [
              ...(ordinary.length === 0
                ? []
                : [
                    [
                      ...(mayCreateRoles ? [] : [`ALTER ROLE ${identifier(user)} CREATEROLE;`]),
                      ...(major < 16
                        ? []
                        : [
                            `GRANT ${ordinary.map(identifier).join(", ")} TO ${identifier(user)} WITH ADMIN OPTION;`,
                          ]),
                    ].join(" "),
                  ]),
              leftOut,
              asSuperuser,
            ],
          ),
        ]),
  ]
}

/** Whether what is restored is made with a superuser's rights, or such of a hosted service that nobody can foresee. */
function mayDoAll({ options: { owners } }: Intention, server: TargetServer): boolean {
  if (typeof owners !== "string") return server.superusers.has(owners.role)
  return server.isSuperuser || server.isHostedAdmin
}

function foreseeExtensions(intention: Intention, server: TargetServer): Foreseen[] {
  const { extensions } = intention.plan
  const lacking = extensionsThere(
    extensions,
    intention.manifest.source.extensions,
    server.availableExtensions,
  ).missing
  const word = (names: readonly string[]) => (names.length === 1 ? "the extension" : "the extensions")
  const skip = (names: readonly string[]) => names.map((name) => `--skip-extension ${name}`).join(" ")
  const missing = extensions.filter((name) => !server.availableExtensions.has(name))
  const guarded = extensions.filter((name) => server.guardedExtensions.has(name))
  return [
    ...(lacking === undefined
      ? []
      : [
          fail(
            `${word(missing)} ${listed(missing)}, and what needs ${missing.length === 1 ? "it" : "them"}`,
            lacking,
            ["install it on the server", skip(missing)],
          ),
        ]),
    ...(guarded.length === 0 || mayDoAll(intention, server)
      ? []
      : [
          fail(
            `${word(guarded)} ${listed(guarded)}, and what needs ${guarded.length === 1 ? "it" : "them"}`,
            `only a superuser may create ${word(guarded)} ${listed(guarded)}`,
            [
              `a superuser's ${guarded.map((name) => `CREATE EXTENSION ${identifier(name)};`).join(" ")} in an empty database, and --into that`,
              skip(guarded),
            ],
          ),
        ]),
  ]
}

/** Those that the target lacks cost a warning. */
function foreseeTablespaces({ plan, options }: Intention, server: TargetServer): Foreseen[] {
  if (options.tablespaces === "none") return []
  const named = [...new Set(plan.entries.flatMap(({ tablespace }) => tablespace ?? []))]
  // One that is missing takes all of them out.
  if (named.some((name) => !server.tablespaces.has(name))) return []
  const closed = named.filter((name) => !server.openTablespaces.has(name))
  if (closed.length === 0) return []
  return [
    fail(
      `what lies in ${listed(closed)}`,
      `the user ${formatName(server.user)} may create nothing in ${closed.length === 1 ? "the tablespace" : "the tablespaces"} ${listed(closed)}`,
      [
        `GRANT CREATE ON TABLESPACE ${closed.map(identifier).join(", ")} TO ${identifier(server.user)};`,
        "--no-tablespaces",
      ],
    ),
  ]
}

/** Why only a superuser may make what an entry says, in words, and the flag that leaves it out, if there is one. */
function guardOf(
  { kind, definition }: TocEntry,
  { major, ownRoles }: TargetServer,
): { readonly noun: string; readonly flag?: string } | undefined {
  switch (kind) {
    case "EVENT TRIGGER":
      return { noun: "event trigger", flag: "--no-event-triggers" }
    case "FOREIGN DATA WRAPPER":
      return { noun: "foreign-data wrapper", flag: "--no-foreign-servers" }
    case "PUBLICATION":
      if (!/^CREATE PUBLICATION .* FOR ALL TABLES/m.test(definition)) return undefined
      return { noun: "publication for all tables", flag: "--no-publications" }
    case "PUBLICATION TABLES IN SCHEMA":
      return { noun: "publication of a schema", flag: "--no-publications" }
    case "SUBSCRIPTION":
      if (major >= 16 && ownRoles.has("pg_create_subscription")) return undefined
      return { noun: "subscription", flag: "--no-subscriptions" }
    case "PROCEDURAL LANGUAGE":
      return { noun: "language" }
    case "OPERATOR CLASS":
      return { noun: "operator class" }
    case "OPERATOR FAMILY":
      return { noun: "operator family" }
    case "ACCESS METHOD":
      return { noun: "access method" }
    case "TEXT SEARCH PARSER":
      return { noun: "text search parser" }
    case "TEXT SEARCH TEMPLATE":
      return { noun: "text search template" }
    case "CAST":
      return /\bWITHOUT FUNCTION\b/.test(definition) ? { noun: "cast" } : undefined
    case "FUNCTION":
    case "PROCEDURE": {
      const [, language] = /\n\s+LANGUAGE (c|internal)\b/.exec(definition) ?? []
      if (language === undefined) return undefined
      return { noun: `${kind.toLowerCase()} in ${language}` }
    }
    case "TYPE":
      return /^CREATE TYPE .* \(\n\s+INTERNALLENGTH\b/m.test(definition) ? { noun: "base type" } : undefined
    default:
      return undefined
  }
}

function foreseeGuarded(intention: Intention, server: TargetServer): Foreseen[] {
  if (mayDoAll(intention, server)) return []
  const found = intention.plan.entries.flatMap((entry) => {
    const guard = guardOf(entry, server)
    return guard ? [{ ...guard, name: entry.name }] : []
  })
  return [...Map.groupBy(found, ({ noun }) => noun)].map(([noun, entries]) => {
    const names = [...new Set(entries.map(({ name }) => formatName(name)))]
    const shown = names.slice(0, 5).join(", ")
    const more = names.length > 5 ? ` and ${names.length - 5} more` : ""
    const what = `the ${noun} ${shown}${more}`
    const flag = entries[0]?.flag
    return fail(
      what,
      noun === "subscription" && server.major >= 16
        ? `the user ${formatName(server.user)} may not create ${what}`
        : `only a superuser may create ${what}`,
      [
        ...(flag === undefined ? [] : [flag]),
        ...(noun === "subscription" && server.major >= 16
          ? [`GRANT pg_create_subscription TO ${identifier(server.user)};`]
          : ["restore as a superuser"]),
      ],
    )
  })
}

/** The failure of a restore that does not begin, since it could not come to a good end; undefined where it could. */
export function refusalOf(foreseen: readonly Foreseen[]): PgstowError | undefined {
  const [first, ...others] = foreseen
  if (!first) return undefined
  const anyway = "or go on regardless with --anyway."
  const waysOf = ({ waysOut }: Foreseen) => waysOut.map((way) => way.replace(/;$/, "")).join(", or ")
  if (others.length === 0)
    return new PgstowError(first.kind, first.why, { hint: `Options: ${waysOf(first)}, ${anyway}` })
  const numbered = (text: (one: Foreseen) => string) =>
    foreseen.map((one, index) => `(${index + 1}) ${text(one)}`).join("; ")
  return new PgstowError(
    foreseen.some(({ kind }) => kind === "usage") ? "usage" : "postgres",
    `${formatCount(foreseen.length, "thing")} would fail: ${numbered(({ why }) => why)}`,
    { hint: `Options: ${numbered(waysOf)}; ${anyway}` },
  )
}

/** One line for each thing that is foreseen to fail, with its ways out below; on a terminal, wrapped at its width. */
export function formatForeseen(foreseen: readonly Foreseen[], width = Number.POSITIVE_INFINITY): string[] {
  return foreseen.flatMap(({ what, why, waysOut }) => [
    ...wrapText(`  ${formatName(why)}: this keeps back ${formatName(what)}`, width, " ".repeat(6)),
    ...waysOut.flatMap((way) => wrapText(`    ${formatName(way)}`, width, " ".repeat(8))),
  ])
}
