import { identifier, literal } from "../core/quote.ts"
import { PgstowError } from "../errors.ts"
import type { ParameterGrant } from "./globals.ts"

/** What one statement of `globalsSql` says. `sql` is made from what was read, and is none of the text itself. */
export type GlobalsStatement =
  /** Those of `rights` need more than to make roles; each is an option of CREATE ROLE by itself. */
  | {
      readonly kind: "role"
      readonly role: string
      readonly options: readonly string[]
      readonly rights: readonly string[]
      readonly login: boolean
    }
  | { readonly kind: "comment" | "label"; readonly role: string; readonly sql: string }
  | { readonly kind: "setting"; readonly role: string; readonly parameter: string; readonly sql: string }
  /** To everyone, where the role is null. */
  | {
      readonly kind: "parameter grant"
      readonly role: string | null
      readonly parameter: string
      readonly privilege: ParameterGrant["privilege"]
      readonly sql: string
    }
  /** A setting in one database. */
  | {
      readonly kind: "database setting"
      readonly role: string
      readonly database: string
      readonly sql: string
    }
  | { readonly kind: "membership"; readonly role: string; readonly member: string; readonly sql: string }

/**
 * Reads the SQL that `globalsSql` has made, statement by statement. A backup holds it as text, and whoever can write to
 * the storage can have written it: only whole statements of these few kinds are let through, and what runs is put
 * together from their names and values. Throws a PgstowError "damaged" at anything else.
 */
export function parseGlobals(text: string): GlobalsStatement[] {
  const tokens = tokensOf(text)
  const statements: GlobalsStatement[] = []
  let from = 0
  for (const [at, token] of tokens.entries()) {
    if (token.kind !== "word" || token.text !== ";") continue
    const statement = statementOf(new Reader(tokens.slice(from, at)))
    if (statement) statements.push(statement)
    from = at + 1
  }
  if (from < tokens.length) throw unknownStatement()
  return statements
}

type Token = { readonly kind: "word" | "name" | "text"; readonly text: string }

const tokenPattern =
  /(?<space>\s+|--[^\n]*\n)|"(?<name>(?:[^"]|"")*)"|(?<escaped>E?)'(?<text>(?:[^'\\]|''|\\.)*)'|(?<word>-?\w+|[;,=])/suy

function tokensOf(text: string): Token[] {
  const tokens: Token[] = []
  tokenPattern.lastIndex = 0
  while (tokenPattern.lastIndex < text.length) {
    const groups = tokenPattern.exec(text)?.groups
    if (!groups) throw unknownStatement()
    const { name, escaped, text: value, word } = groups
    if (name !== undefined) tokens.push({ kind: "name", text: name.replaceAll('""', '"') })
    else if (word !== undefined) tokens.push({ kind: "word", text: word })
    else if (value !== undefined) {
      // As `literal` writes it: a backslash only with E before, and only doubled.
      if (/\\/.test(value.replaceAll("\\\\", "")) || (!escaped && value.includes("\\")))
        throw unknownStatement()
      tokens.push({ kind: "text", text: value.replaceAll("''", "'").replaceAll("\\\\", "\\") })
    }
  }
  return tokens
}

class Reader {
  readonly #tokens: readonly Token[]
  #at = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  get isAtEnd(): boolean {
    return this.#at === this.#tokens.length
  }

  /** Whether these words come next; takes them if so. */
  take(words: string): boolean {
    const wanted = words.split(" ")
    const fits = wanted.every((word, index) => {
      const token = this.#tokens[this.#at + index]
      return token?.kind === "word" && token.text === word
    })
    if (fits) this.#at += wanted.length
    return fits
  }

  name(): string {
    return this.#next("name")
  }

  text(): string {
    return this.#next("text")
  }

  number(): number {
    const word = this.#next("word")
    if (!/^\d{1,9}$/.test(word)) throw unknownStatement()
    return Number(word)
  }

  #next(kind: Token["kind"]): string {
    const token = this.#tokens[this.#at++]
    if (token?.kind !== kind) throw unknownStatement()
    return token.text
  }
}

function statementOf(reader: Reader): GlobalsStatement | undefined {
  const statement = anyStatement(reader)
  if (!reader.isAtEnd) throw unknownStatement()
  return statement
}

function anyStatement(reader: Reader): GlobalsStatement | undefined {
  if (reader.take("SET")) return preamble(reader)
  if (reader.take("CREATE ROLE")) return role(reader)
  if (reader.take("COMMENT ON ROLE")) {
    const [of, comment] = [reader.name(), after(reader, "IS", () => reader.text())]
    return { kind: "comment", role: of, sql: `COMMENT ON ROLE ${identifier(of)} IS ${literal(comment)}` }
  }
  if (reader.take("SECURITY LABEL FOR")) {
    const provider = reader.name()
    const of = after(reader, "ON ROLE", () => reader.name())
    const label = after(reader, "IS", () => reader.text())
    const sql = `SECURITY LABEL FOR ${identifier(provider)} ON ROLE ${identifier(of)} IS ${literal(label)}`
    return { kind: "label", role: of, sql }
  }
  if (reader.take("ALTER ROLE")) return setting(reader)
  if (reader.take("GRANT")) return grant(reader)
  throw unknownStatement()
}

/** What makes psql read the rest as it was meant: the session has it anyway. */
function preamble(reader: Reader): undefined {
  if (reader.take("client_encoding =") && reader.text() === "UTF8") return undefined
  if (reader.take("standard_conforming_strings = on")) return undefined
  if (reader.take("default_transaction_read_only = off")) return undefined
  throw unknownStatement()
}

/** To give these, one must have them, or be a superuser: by PostgreSQL's version. */
const rightsOfRoles = ["SUPERUSER", "CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS"]

function role(reader: Reader): GlobalsStatement {
  const name = reader.name()
  const options: string[] = []
  const rights: string[] = []
  let login = false
  while (!reader.isAtEnd) {
    const right = rightsOfRoles.find((word) => reader.take(word))
    if (right !== undefined) rights.push(right)
    else if (reader.take("LOGIN")) login = true
    else if (reader.take("NOINHERIT")) options.push("NOINHERIT")
    else if (reader.take("CONNECTION LIMIT")) options.push(`CONNECTION LIMIT ${reader.number()}`)
    else if (reader.take("VALID UNTIL")) options.push(`VALID UNTIL ${literal(reader.text())}`)
    else throw unknownStatement()
  }
  if (login) options.push("LOGIN")
  return { kind: "role", role: name, options, rights, login }
}

function setting(reader: Reader): GlobalsStatement {
  const of = reader.name()
  const database = reader.take("IN DATABASE") ? reader.name() : undefined
  const parameter = after(reader, "SET", () => reader.name())
  const values = [after(reader, "TO", () => literal(reader.text()))]
  while (reader.take(",")) values.push(literal(reader.text()))
  const where = database === undefined ? "" : ` IN DATABASE ${identifier(database)}`
  const sql = `ALTER ROLE ${identifier(of)}${where} SET ${identifier(parameter)} TO ${values.join(", ")}`
  return database === undefined
    ? { kind: "setting", role: of, parameter, sql }
    : { kind: "database setting", role: of, database, sql }
}

function grant(reader: Reader): GlobalsStatement {
  for (const privilege of ["SET", "ALTER SYSTEM"] as const) {
    if (!reader.take(`${privilege} ON PARAMETER`)) continue
    const parameter = reader.name()
    const to = after(reader, "TO", () => (reader.take("PUBLIC") ? null : reader.name()))
    const option = reader.take("WITH GRANT OPTION") ? " WITH GRANT OPTION" : ""
    const grantee = to === null ? "PUBLIC" : identifier(to)
    const sql = `GRANT ${privilege} ON PARAMETER ${identifier(parameter)} TO ${grantee}${option}`
    return { kind: "parameter grant", role: to, parameter, privilege, sql }
  }
  const of = reader.name()
  const member = after(reader, "TO", () => reader.name())
  const options: string[] = []
  if (reader.take("WITH"))
    do {
      const option = ["ADMIN OPTION", "INHERIT TRUE", "INHERIT FALSE", "SET FALSE"].find((words) =>
        reader.take(words),
      )
      if (option === undefined) throw unknownStatement()
      options.push(option)
    } while (reader.take(","))
  const suffix = options.length > 0 ? ` WITH ${options.join(", ")}` : ""
  return {
    kind: "membership",
    role: of,
    member,
    sql: `GRANT ${identifier(of)} TO ${identifier(member)}${suffix}`,
  }
}

function after<Value>(reader: Reader, words: string, read: () => Value): Value {
  if (!reader.take(words)) throw unknownStatement()
  return read()
}

function unknownStatement(): PgstowError {
  return new PgstowError("damaged", "the backup's roles hold something that pgstow did not write", {
    hint: "Read them before you run any of it: pgstow globals prints them. Make the roles by hand.",
  })
}
