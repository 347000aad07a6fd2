import { PgstowError } from "../errors.ts"

/** What a pattern of names means: regular expressions of PostgreSQL's, each for a whole name. */
export type NamePattern = {
  /** The database that the pattern names, as it is; undefined where it names none. */
  readonly database: string | undefined
  /** Undefined where the pattern names no schema: then of the relations, those are meant that the search_path shows. */
  readonly schema: string | undefined
  readonly name: string
}

/**
 * Reads a pattern of tables, with or without their schema, as pg_dump and psql do: processSQLNamePattern and
 * patternToSQLRegex in PostgreSQL's src/fe_utils/string_utils.c. Throws a usage error where it has too many dots.
 */
export function tablePattern(pattern: string): NamePattern {
  const parts = partsOf(pattern)
  const [name, schema, database] = parts.toReversed()
  if (name === undefined || parts.length > 3) throw tooManyDots(pattern, "database.schema.table")
  return { database: database?.literal, schema: schema?.regex, name: name.regex }
}

/** The same of schemas: `name` is theirs. */
export function schemaPattern(pattern: string): NamePattern {
  const parts = partsOf(pattern)
  const [name, database] = parts.toReversed()
  if (name === undefined || parts.length > 2) throw tooManyDots(pattern, "database.schema")
  return { database: database?.literal, schema: undefined, name: name.regex }
}

function tooManyDots(pattern: string, most: string): PgstowError {
  return new PgstowError("usage", `the pattern ${pattern} has too many dots`, {
    hint: `At most ${most} is a pattern. Put a name that has dots in double quotes: '"a.b"'.`,
  })
}

type Part = {
  readonly regex: string
  /** Without quotes, and with no sign that means others. */
  readonly literal: string
}

/** What stands between the dots that are not in quotes. */
function partsOf(pattern: string): Part[] {
  const parts: Part[] = []
  let [regex, literal, inQuotes] = ["", "", false]
  const end = () => {
    parts.push({ regex: `^(${regex})$`, literal })
    regex = ""
    literal = ""
  }
  const add = (meant: string, sign: string) => {
    regex += meant
    literal += sign
  }
  for (let at = 0; at < pattern.length; at++) {
    // By UTF-16 units: none of a surrogate pair is a sign that means anything.
    const sign = pattern.charAt(at)
    if (sign === '"') {
      if (inQuotes && pattern[at + 1] === '"') {
        add('"', '"')
        at++
      } else inQuotes = !inQuotes
    } else if (inQuotes) add(/[|*+?()[\]{}.^$\\]/.test(sign) ? `\\${sign}` : sign, sign)
    // PostgreSQL's lower case of names: of ASCII alone.
    else if (/[A-Z]/.test(sign)) add(sign.toLowerCase(), sign.toLowerCase())
    else if (sign === "*") add(".*", sign)
    else if (sign === "?") add(".", sign)
    else if (sign === ".") end()
    else if (sign === "$") add("\\$", sign)
    // Rather the name of an array's type than a class of characters.
    else if (sign === "[" && pattern[at + 1] === "]") add("\\[", sign)
    else add(sign, sign)
  }
  end()
  return parts
}
