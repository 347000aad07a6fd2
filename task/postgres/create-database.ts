import { identifier, literal } from "../core/quote.ts"
import { messageOf, PgstowError } from "../errors.ts"
import { QueryError } from "./conversation.ts"
import type { SourceDatabase } from "./server.ts"
import type { Session } from "./session.ts"
import { settingAssignment } from "./setting-assignment.ts"
import { checkDatabaseName } from "./target-database.ts"

/** What a database is made like: this much of a manifest's source. */
export type OriginalDatabase = Pick<
  SourceDatabase,
  "encoding" | "localeProvider" | "collate" | "ctype" | "locale" | "icuRules" | "settings"
>

/** `original`: encoding and locale as they were. `default`: what the target gives to a new database. */
export type LocaleChoice = "original" | "default"

/** A setting of the original that the target did not take, and why. */
export type RefusedSetting = { readonly setting: string; readonly reason: string }

/**
 * Makes an empty database like `original`, its settings (ALTER DATABASE … SET) included, and resolves to those
 * that the target refused, which are no failure: it may lack an extension, or the right to set them. It belongs to
 * `owner`, or to the user.
 *
 * The session is one with another database of the same server. Rejects with a PgstowError where the name is
 * taken, the user may not create databases, or the target does not have the locale.
 */
export async function createDatabase(
  session: Session,
  name: string,
  original: OriginalDatabase,
  {
    choice = "original",
    owner,
  }: { readonly choice?: LocaleChoice; readonly owner?: string | undefined } = {},
): Promise<RefusedSetting[]> {
  checkDatabaseName(name)
  const locale = choice === "original" ? localeClauses(original, session.serverMajor) : []
  const clauses = [
    ...(owner === undefined ? [] : [`OWNER ${identifier(owner)}`]),
    "TEMPLATE template0",
    ...locale,
  ]
  try {
    await session.execute([`CREATE DATABASE ${identifier(name)}`, ...clauses].join(" "))
  } catch (cause) {
    throw explained(cause, name, original, choice)
  }
  const refused: RefusedSetting[] = []
  for (const setting of original.settings) {
    const assignment = settingAssignment(setting)
    if (assignment === undefined) {
      refused.push({ setting, reason: "its value should be a list of names, and is none" })
      continue
    }
    try {
      await session.execute(`ALTER DATABASE ${identifier(name)} SET ${assignment}`)
    } catch (error) {
      if (!(error instanceof QueryError)) throw error
      refused.push({ setting, reason: messageOf(error) })
    }
  }
  return refused
}

/** The syntax came bit by bit: providers with 15, rules for ICU with 16, the builtin provider with 17. */
function localeClauses(original: OriginalDatabase, major: number): string[] {
  const { localeProvider, locale, icuRules } = original
  const since = { libc: 0, icu: 15, builtin: 17 }[localeProvider] ?? Number.POSITIVE_INFINITY
  if (major < since || (icuRules !== null && major < 16))
    throw new PgstowError(
      "postgres",
      `PostgreSQL ${major} has no databases with ${icuRules === null ? "" : "rules for "}the ${localeProvider} locale ${locale}`,
      { hint: localeHint },
    )
  return [
    ["ENCODING", original.encoding],
    ...(major < 15 ? [] : [["LOCALE_PROVIDER", localeProvider]]),
    ["LC_COLLATE", original.collate],
    ["LC_CTYPE", original.ctype],
    ...(locale === null ? [] : [[localeProvider === "icu" ? "ICU_LOCALE" : "BUILTIN_LOCALE", locale]]),
    ...(icuRules === null ? [] : [["ICU_RULES", icuRules]]),
  ].map(([clause, value = ""]) => `${clause} ${literal(value)}`)
}

const localeHint =
  "Restore to a server that has it, or take the target's own encoding and locale with --locale default: text may then sort and compare otherwise."

/** What refuses a locale: it is not known, does not go with the encoding, or not with how the server was built. */
const ofLocale: ReadonlySet<string> = new Set(["42809", "22023", "0A000"])

function explained(cause: unknown, name: string, original: OriginalDatabase, choice: LocaleChoice): unknown {
  if (!(cause instanceof QueryError)) return cause
  const fail = (what: string, hint: string) => new PgstowError("postgres", what, { cause, hint })
  const database = `could not create the database ${JSON.stringify(name)}`
  if (cause.sqlstate === "42P04") return fail(database, "Choose another name, or drop the database first.")
  if (cause.sqlstate === "42501")
    return fail(
      database,
      "Let the user create databases (ALTER ROLE … CREATEDB), and be a member of the role that is to own them.",
    )
  if (cause.sqlstate === "57014")
    return fail(
      `${database}: ${cause.reason}`,
      "Raise statement_timeout and lock_timeout of the user, and see what else keeps the server busy.",
    )
  if (choice === "default" || !ofLocale.has(cause.sqlstate))
    return fail(`${database}: ${cause.reason}`, "Look into the server's log.")
  const { localeProvider, locale, collate, encoding } = original
  return fail(
    `${database} with the ${localeProvider} locale ${locale ?? collate} and ${encoding}`,
    localeHint,
  )
}
