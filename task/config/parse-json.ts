import { type ParseError, parse, printParseErrorCode } from "jsonc-parser"
import { PgstowError } from "../errors.ts"

/** Reads JSON that a person wrote. Throws a usage error that says where in `file` it is none; never what stands there. */
export function parseJson(text: string, file: string): unknown {
  const errors: ParseError[] = []
  // Some editors put a byte order mark before a file.
  const json: unknown = parse(text.replace(/^\uFEFF/, ""), errors, { disallowComments: true })
  const [first] = errors
  if (first === undefined) return json
  const before = text.slice(0, first.offset).split("\n")
  const place = `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`
  const problem = printParseErrorCode(first.error)
  throw new PgstowError(
    "usage",
    `${file} is not JSON: ${problems[problem] ?? "what stands there is none"}, ${place}`,
    {
      hint: hints[problem] ?? "Correct what stands there, or just before it.",
    },
  )
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
