/** Something that a function's text may name. */
export type Named = {
  readonly kind: "relation" | "type" | "routine" | "operator" | "configuration"
  readonly name: string
  readonly schema: string
  /** The oids of the types that it takes. */
  readonly takes: readonly number[]
  /** Whether PostgreSQL has one of this name, too, which is found first unless the types decide otherwise. */
  readonly isShared: boolean
}

/** What is to be found, by its kind and name: `relation codes`. */
export type NamesThere = ReadonlyMap<string, readonly Named[]>

export type RoutineText = {
  readonly language: string
  readonly body: string
  /** The oids of the types of its arguments. */
  readonly takes: readonly number[]
}

/** A routine that is called in a text: its name, and its schema where that stands there. */
export type Call = { readonly schema: string | undefined; readonly name: string }

/**
 * Finds what of `there` a routine's text names without a schema, and what it calls. By the words before and after a
 * name, since PostgreSQL keeps such a text as it is: what is put together while it runs is not found, and a name of
 * something else may be taken for one.
 */
export function namesLookedUp(
  { language, body, takes }: RoutineText,
  there: NamesThere,
): { readonly found: readonly Named[]; readonly calls: readonly Call[] } {
  const isSql = language === "sql" || language === "plpgsql"
  // Of other languages only what is within their quotes is SQL, and these may be of many kinds.
  const tokens = tokensOf(isSql ? body : body.replaceAll(/['"`]/g, " "))
  const runsStrings = language === "plpgsql" && tokens.some(({ text }) => text === "execute")
  const texts = runsStrings
    ? [tokens, ...tokens.filter(({ kind }) => kind === "string").map(({ text }) => tokensOf(text))]
    : [tokens]
  const uses = texts.flatMap(usesIn)
  const found = uses.flatMap(({ kinds, name, schema }) =>
    schema === undefined ? kinds.flatMap((kind) => there.get(`${kind} ${name}`) ?? []) : [],
  )
  const mayBeMeant = ({ kind, isShared, takes: wanted }: Named) =>
    !isShared || ((kind === "routine" || kind === "operator") && wanted.some((type) => takes.includes(type)))
  return {
    found: [...new Set(found.filter(mayBeMeant))],
    calls: uses.filter(({ kinds }) => kinds.includes("routine")),
  }
}

type Token = { readonly kind: "name" | "string" | "sign"; readonly text: string }

const tokenPattern =
  /--[^\n]*|\/\*[\s\S]*?\*\/|(?<escaped>[eE]'(?:[^'\\]|''|\\[\s\S])*')|'(?<string>(?:[^']|'')*)'|(?<dollar>\$(?:[\p{L}_][\p{L}\p{N}_]*)?\$)(?<dollarString>[\s\S]*?)\k<dollar>|"(?<quoted>(?:[^"]|"")+)"|(?<word>[\p{L}_][\p{L}\p{N}_$]*)|\d[\w.]*|\$\d+|(?<sign>::|:=|\.\.|[-+*/<>=~!@#%^&|`?]+|[^\s\w])/gu

/** Without comments; names as they are in the catalog, and strings without their quotes. */
function tokensOf(sql: string): Token[] {
  const tokens: Token[] = []
  for (const { groups = {} } of sql.matchAll(tokenPattern)) {
    const { escaped, string = escaped?.slice(2, -1), dollarString, quoted, word, sign } = groups
    if (word !== undefined) tokens.push({ kind: "name", text: word.toLowerCase() })
    else if (quoted !== undefined) tokens.push({ kind: "name", text: quoted.replaceAll('""', '"') })
    else if (string !== undefined) tokens.push({ kind: "string", text: string.replaceAll("''", "'") })
    else if (dollarString !== undefined) tokens.push({ kind: "string", text: dollarString })
    else if (sign !== undefined) tokens.push({ kind: "sign", text: sign })
  }
  return tokens
}

type Use = Call & { readonly kinds: readonly Named["kind"][] }

const beforeRelations = new Set(["from", "join", "only", "update", "table", "copy", "truncate"])
const endOfFrom = new Set(
  "where group order having limit offset window union intersect except into for loop returning set select".split(
    " ",
  ),
)
/** In their parentheses, FROM comes before no relation. */
const withOwnFrom = new Set(["extract", "substring", "trim", "overlay", "position", "date_part"])
const ofSequences = new Set(["nextval", "currval", "setval"])
const ofConfigurations =
  /^(?:to_tsvector|\w*to_tsquery|ts_headline|ts_lexize|ts_debug|json_to_tsvector|jsonb_to_tsvector)$/

/** What names things in a text, by where it stands. */
function usesIn(tokens: readonly Token[]): Use[] {
  const uses: Use[] = []
  // Common table expressions are found before any relation.
  const local = new Set(
    tokens.flatMap(({ kind, text }, at) =>
      kind === "name" && /^as (?:not |materialized )*\($/.test(wordsAt(tokens, at + 1, 4)) ? [text] : [],
    ),
  )
  const open: { readonly before: string; isInFrom: boolean }[] = [{ before: "", isInFrom: false }]
  let isInDeclare = false
  const word = (at: number) => (tokens[at]?.kind === "string" ? "" : (tokens[at]?.text ?? ""))
  for (const [at, { kind, text }] of tokens.entries()) {
    const inside = open.at(-1) ?? { before: "", isInFrom: false }
    const [before, last, next] = [word(at - 2), word(at - 1), word(at + 1)]
    if (kind === "string") {
      if (text.includes(".")) continue
      const name = text.toLowerCase()
      const caller = last === "(" ? before : ""
      if (ofSequences.has(caller) || (next === "::" && word(at + 2) === "regclass"))
        uses.push({ kinds: ["relation"], schema: undefined, name })
      if (ofConfigurations.test(caller) || (next === "::" && /^reg(config|dictionary)$/.test(word(at + 2))))
        uses.push({ kinds: ["configuration"], schema: undefined, name })
      continue
    }
    if (kind === "sign") {
      if (text === "(") open.push({ before: last, isInFrom: false })
      else if (text === ")" && open.length > 1) open.pop()
      else if (text === ";") inside.isInFrom = false
      else if (last !== ".") uses.push({ kinds: ["operator"], schema: undefined, name: text })
      continue
    }
    if (text === "declare") isInDeclare = true
    if (text === "begin") isInDeclare = false
    if (endOfFrom.has(text)) inside.isInFrom = false
    if (text === "from" && last !== "distinct" && !withOwnFrom.has(inside.before)) inside.isInFrom = true
    const schema = last === "." ? before : undefined
    if (next === "(") uses.push({ kinds: ["routine"], schema, name: text })
    if (schema !== undefined) continue
    if (next === ".") {
      if (word(at + 3) === "%" && word(at + 4) === "type")
        uses.push({ kinds: ["relation"], schema, name: text })
      continue
    }
    const isRelation =
      (beforeRelations.has(last) && (last !== "from" || inside.isInFrom)) ||
      (last === "into" && (before === "insert" || before === "merge")) ||
      (last === "," && inside.isInFrom) ||
      (last === "using" && inside.isInFrom) ||
      (next === "%" && word(at + 2) === "rowtype")
    const isType =
      last === "::" ||
      (last === "as" && inside.before === "cast") ||
      (isInDeclare &&
        (before === ";" ||
          before === "declare" ||
          (last === "constant" && /^[;]$|^declare$/.test(word(at - 3)))))
    if (isRelation && !local.has(text)) uses.push({ kinds: ["relation"], schema, name: text })
    if (isType) uses.push({ kinds: ["type", "relation"], schema, name: text })
  }
  return uses
}

function wordsAt(tokens: readonly Token[], from: number, count: number): string {
  const words = tokens.slice(from, from + count).map(({ text }) => text)
  const end = words.indexOf("(")
  return words.slice(0, end === -1 ? undefined : end + 1).join(" ")
}
