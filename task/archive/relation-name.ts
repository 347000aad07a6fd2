import { PgstowError } from "../errors.ts"

/** The name of a table, a view or a sequence, as it is in the database: without quotes. */
export type RelationName = { readonly schema?: string | undefined; readonly name: string }

const part = /(?:"((?:[^"]|"")+)"|([^".]+))/.source
const pattern = new RegExp(`^(?:${part}\\.)?${part}$`)

/**
 * Reads `table`, `schema.table`, `"Odd.Schema"."t"`: a part that holds a dot or a quote stands in double quotes,
 * with a quote inside doubled. Nothing is folded to lower case, and every other character stands for itself.
 */
export function parseRelationName(text: string): RelationName {
  const match = pattern.exec(text)
  if (!match)
    throw new PgstowError("usage", `${JSON.stringify(text)} is no name of a table`, {
      hint: 'Write table or schema.table; put a part that holds a dot or a quote into double quotes: "odd.schema"."table".',
    })
  const [, quotedSchema, plainSchema, quotedName, plainName] = match
  const schema = unquote(quotedSchema) ?? plainSchema
  // One of the two matched.
  const name = unquote(quotedName) ?? plainName ?? ""
  return schema === undefined ? { name } : { schema, name }
}

/** The name as `parseRelationName` reads it. */
export function formatRelationName({ schema, name }: RelationName): string {
  return [schema, name]
    .filter((one) => one !== undefined)
    .map(quoteIfNeeded)
    .join(".")
}

/** A name in double quotes where it needs them. */
export function quoteIfNeeded(name: string): string {
  return /^[\p{L}_][\p{L}\p{N}_$]*$/u.test(name) ? name : `"${name.replaceAll('"', '""')}"`
}

function unquote(text: string | undefined): string | undefined {
  return text?.replaceAll('""', '"')
}
