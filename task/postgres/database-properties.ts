import type { TocEntry } from "../archive/toc.ts"
import { identifier } from "../core/quote.ts"
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
  const [, oldName] = /^CREATE DATABASE (.+) WITH TEMPLATE/s.exec(database?.definition ?? "") ?? []
  if (!database || oldName === undefined) return []
  const statements = entries
    .filter(
      (entry) =>
        entry.kind === "DATABASE PROPERTIES" ||
        (entry.name === `DATABASE ${oldName}` && (entry.kind !== "ACL" || keep.grants === "keep")),
    )
    .flatMap(({ kind, name, definition }) => splitStatements(definition).map((sql) => ({ kind, name, sql })))
    .filter(({ sql }) => !sql.startsWith(`ALTER DATABASE ${oldName} SET `))
    .filter(({ sql }) => keep.grants === "keep" || !sql.startsWith("ALTER ROLE "))
    .map(({ kind, name: of, sql }) => ({
      entry: `${kind} ${of}`,
      sql: sql.replace(`DATABASE ${oldName} `, () => `DATABASE ${identifier(name)} `),
    }))
  if (keep.owners !== "keep") return statements
  const sql = `ALTER DATABASE ${identifier(name)} OWNER TO ${identifier(database.owner)}`
  return [...statements, { entry: `DATABASE ${database.name}`, sql }]
}

/** The statements of a definition. pg_dump doubles quotes in quotes, and escapes them in no other way. */
function splitStatements(definition: string): string[] {
  const statements = definition.match(/(?:'(?:[^']|'')*'|"(?:[^"]|"")*"|[^;'"])+/g) ?? []
  return statements.map((statement) => statement.trim()).filter((statement) => statement !== "")
}
