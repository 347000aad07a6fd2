import type { TocEntry } from "../archive/toc.ts"
import { identifier, literal } from "../core/quote.ts"
import type { Owners } from "./pg-restore.ts"

/** A statement about the database itself, and the entry that it comes from, as pg_restore would call it. */
export type PropertyStatement = { readonly entry: string; readonly sql: string }

/**
 * What pg_restore does only where it makes the database itself, under its old name: who owns it, who may use it,
 * its comment, settings of roles in it, limits. For the database `name`; in this order, from a session with any
 * database. Settings of the database (ALTER DATABASE … SET), and an owner that is not the old one, are not here: it
 * must be made with them.
 */
export function propertyStatements(
  entries: readonly TocEntry[],
  name: string,
  keep: { readonly owners: Owners; readonly grants: "keep" | "none" },
): PropertyStatement[] {
  const database = entries.find(({ kind }) => kind === "DATABASE")
  const [, oldName] = oldNamePattern.exec(database?.definition ?? "") ?? []
  if (!database || oldName === undefined) return []
  const statements = entries
    .filter((entry) => isProperty(entry, oldName, keep.grants))
    .flatMap(({ kind, name, definition }) =>
      splitStatements(definition).map((words) => ({ entry: `${kind} ${name}`, words })),
    )
    .filter(({ words }) => !startsWith(words, ["ALTER", "DATABASE", oldName, "SET"]))
    .filter(({ words }) => keep.grants === "keep" || !startsWith(words, ["ALTER", "ROLE"]))
    .map(({ entry, words }) => ({ entry, sql: renamed(words, oldName, identifier(name)).join(" ") }))
  if (keep.owners !== "keep") return statements
  const sql = `ALTER DATABASE ${identifier(name)} OWNER TO ${identifier(database.owner)}`
  return [...statements, { entry: `DATABASE ${database.name}`, sql }]
}

/** A parameter that is set for a role in the database. */
export type RoleSetting = { readonly role: string; readonly parameter: string }

/** What the entries say of roles in the database: `propertyStatements` has the statements. */
export function roleSettingsIn(entries: readonly TocEntry[]): RoleSetting[] {
  return entries
    .filter(({ kind }) => kind === "DATABASE PROPERTIES")
    .flatMap(({ definition }) => splitStatements(definition))
    .flatMap((words) => {
      const [alter, kind, role, , , , , parameter] = words
      if (alter !== "ALTER" || kind !== "ROLE" || role === undefined || parameter === undefined) return []
      return [{ role: nameOf(role), parameter: nameOf(parameter) }]
    })
}

function nameOf(word: string): string {
  return word.startsWith('"') ? word.slice(1, -1).replaceAll('""', '"') : word
}

const oldNamePattern = /^CREATE DATABASE ("(?:[^"]|"")*"|[^\s"]+) WITH TEMPLATE/

/** Tables, rules and whatever else may be called like a database; these kinds say what they are of. */
function isProperty({ kind, name }: TocEntry, oldName: string, grants: "keep" | "none"): boolean {
  if (kind === "DATABASE PROPERTIES") return true
  const isRemark = kind === "COMMENT" || kind === "SECURITY LABEL" || (kind === "ACL" && grants === "keep")
  return isRemark && name === `DATABASE ${oldName}`
}

/**
 * The words of each statement of a definition. pg_dump doubles quotes in quotes, and backslashes behind E'; it writes
 * no others. The texts come back so that they mean the same whatever `standard_conforming_strings` says, and no
 * backslash is left outside of them, which psql would take for a command.
 */
function splitStatements(definition: string): string[][] {
  const statements: string[][] = [[]]
  for (const [word] of definition.matchAll(/E?'(?:[^']|'')*'|"(?:[^"]|"")*"|;|[^\s;'"\\]+/g)) {
    if (word === ";") statements.push([])
    else statements.at(-1)?.push(/^E?'/.test(word) ? literal(textOf(word)) : word)
  }
  return statements.filter((words) => words.length > 0)
}

function textOf(quoted: string): string {
  const text = quoted.slice(quoted.indexOf("'") + 1, -1).replaceAll("''", "'")
  return quoted.startsWith("E") ? text.replaceAll("\\\\", "\\") : text
}

function startsWith(words: readonly string[], wanted: readonly string[]): boolean {
  return wanted.every((word, index) => words[index] === word)
}

/** The same of the database of another name, which stands after the first word DATABASE. */
function renamed(words: readonly string[], oldName: string, newName: string): string[] {
  const at = words.indexOf("DATABASE") + 1
  return words.map((word, index) => (at > 0 && index === at && word === oldName ? newName : word))
}
