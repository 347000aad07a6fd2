import { type ParseError, parse, printParseErrorCode, visit } from "jsonc-parser"
import { PgstowError } from "../errors.ts"

/**
 * Reads JSON that a person wrote. Throws a usage error that says where in `file` it is none, or has a name twice in one object;
 * never what stands there.
 */
export function parseJson(written: string, file: string): unknown {
  // Some editors put a byte order mark before a file.
  const text = written.replace(/^\uFEFF/, "")
  // As Windows' editors and its shell write it, unless they are told otherwise.
  if (text.includes("\0"))
    throw new PgstowError("usage", `${file} is not JSON in UTF-8`, { hint: "Save it as UTF-8." })
  const errors: ParseError[] = []
  const json: unknown = parse(text, errors, { disallowComments: true })
  const [first] = errors
  if (first !== undefined) {
    const problem = printParseErrorCode(first.error)
    throw new PgstowError(
      "usage",
      `${file} is not JSON: ${problems[problem] ?? "what stands there is none"}, ${placeOf(text, first.offset)}`,
      {
        hint: hints[problem] ?? "Correct what stands there, or just before it.",
      },
    )
  }
  // Whoever reads the file takes both for said, and JSON would pass over the first.
  const twice = nameGivenTwice(text)
  if (twice !== undefined)
    throw new PgstowError(
      "usage",
      `${file} has ${JSON.stringify(twice.name)} twice in one object, the second time in ${placeOf(text, twice.offset)}`,
      { hint: "Put both together, or leave one of them out." },
    )
  return json
}

function nameGivenTwice(text: string): { readonly name: string; readonly offset: number } | undefined {
  const found: { readonly name: string; readonly offset: number }[] = []
  const open: Set<string>[] = []
  visit(text, {
    onObjectBegin: () => void open.push(new Set()),
    onObjectProperty: (name, offset) => {
      const names = open.at(-1)
      if (names?.has(name)) found.push({ name, offset })
      names?.add(name)
    },
    onObjectEnd: () => void open.pop(),
  })
  return found[0]
}

function placeOf(text: string, offset: number): string {
  const before = text.slice(0, offset).split("\n")
  return `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`
}

const problems: Readonly<Record<string, string>> = {
  InvalidSymbol: "an unknown word",
  InvalidNumberFormat: "a number that is none",
  PropertyNameExpected: "the name of a setting is missing",
  ValueExpected: "a value is missing",
  ColonExpected: "a colon is missing",
  CommaExpected: "a comma is missing",
  CloseBraceExpected: "a } is missing",
  CloseBracketExpected: "a ] is missing",
  EndOfFileExpected: "something follows the end",
  InvalidCommentToken: "a comment",
  UnexpectedEndOfString: 'a " is missing',
  InvalidEscapeCharacter: "a \\ that escapes nothing",
}

const hints: Readonly<Record<string, string>> = {
  InvalidCommentToken: "JSON has no comments: remove it.",
  PropertyNameExpected: "Write names in double quotes, and no comma after the last one.",
  ValueExpected: "Write texts in double quotes, and no comma after the last value.",
}
