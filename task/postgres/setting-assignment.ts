import { identifier, literal } from "../core/quote.ts"

/**
 * "name=value", as the catalog has it, for SET: `"name" TO 'value'`.
 * Undefined where the value should be a list of names and is none, which PostgreSQL itself does not follow.
 */
export function settingAssignment(setting: string): string | undefined {
  const at = setting.indexOf("=")
  const [parameter, value] = [setting.slice(0, at), setting.slice(at + 1)]
  const words = splitSetting(parameter.toLowerCase(), value)
  return words && `${identifier(parameter)} TO ${words.map(literal).join(", ")}`
}

/**
 * The parameters whose value is kept as a list of quoted names, which a statement must give one by one: given as
 * one text it would become one name. These are all that PostgreSQL 12 to 18 mark so (GUC_LIST_QUOTE), by
 * variable_is_guc_list_quote in its src/bin/pg_dump/dumputils.c; extensions can't have any. Of libraries and
 * folders, a name without quotes may have spaces in it; of others it means the same in lower case.
 */
const lists: ReadonlyMap<string, "names" | "files"> = new Map([
  ["local_preload_libraries", "files"],
  ["search_path", "names"],
  ["session_preload_libraries", "files"],
  ["shared_preload_libraries", "files"],
  ["temp_tablespaces", "names"],
  ["unix_socket_directories", "files"],
])

/**
 * The values that a parameter is set to, of what the catalog holds; undefined where that should be a list, and is
 * none. As SplitIdentifierString and SplitDirectoriesString in PostgreSQL's varlena.c read them.
 */
export function splitSetting(parameter: string, value: string): string[] | undefined {
  const kind = lists.get(parameter)
  if (!kind || value === "") return [value]
  const words: string[] = []
  for (let at = 0; ; at++) {
    at = pastSpaces(value, at)
    if (value[at] === '"') {
      const start = at + 1
      do at = value.indexOf('"', at + 1) + 1
      while (at > 0 && value[at] === '"')
      if (at === 0) return undefined
      words.push(value.slice(start, at - 1).replaceAll('""', '"'))
      at = pastSpaces(value, at)
    } else {
      const comma = value.indexOf(",", at)
      const word = value.slice(at, comma < 0 ? undefined : comma)
      const length = beforeSpaces(word)
      if (length === 0) return undefined
      if (kind === "files") words.push(word.slice(0, length))
      else if (pastWord(word) < length) return undefined
      else words.push(word.slice(0, length).replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase()))
      at += word.length
    }
    if (at === value.length) return words
    if (value[at] !== ",") return undefined
  }
}

// Loops, since a pattern takes quadratic time for some of what a stranger may have set.
const isSpace = (text: string, at: number) => at < text.length && " \t\n\v\f\r".includes(text.charAt(at))

function pastSpaces(text: string, from: number): number {
  let at = from
  while (isSpace(text, at)) at++
  return at
}

function pastWord(text: string): number {
  let at = 0
  while (at < text.length && !isSpace(text, at)) at++
  return at
}

function beforeSpaces(text: string): number {
  let end = text.length
  while (end > 0 && isSpace(text, end - 1)) end--
  return end
}
