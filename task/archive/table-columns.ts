const name = /"(?:[^"]|"")+"|[^\s".(),]+/.source
const head = new RegExp(`^CREATE (?:UNLOGGED )?TABLE (?:${name})\\.(?:${name}) \\(`)
const token = /"(?:[^"]|"")*"|'(?:[^']|'')*'|[()[\],]/g
const generated = /\bGENERATED ALWAYS AS \(/

/**
 * The columns that COPY takes of a table, in their order, from the CREATE TABLE that pg_dump wrote: without the
 * generated ones. Undefined where it does not have them all: of a table that inherits, or is of a type.
 */
export function tableColumns(definition: string): string[] | undefined {
  const begin = head.exec(definition)
  if (!begin) return undefined
  const items: string[] = []
  let depth = 0
  let from = begin[0].length
  for (const { 0: sign, index } of definition.matchAll(token)) {
    if (index < from) continue
    const ends = depth === 0 && (sign === "," || sign === ")")
    if (ends) {
      items.push(definition.slice(from, index).trim())
      from = index + 1
    }
    if (ends && sign === ")")
      return definition.slice(from).trimStart().startsWith("INHERITS")
        ? undefined
        : items.filter((item) => item !== "").flatMap(copiedColumn)
    if (sign === "(" || sign === "[") depth += 1
    if (sign === ")" || sign === "]") depth -= 1
  }
  return undefined
}

/** The column's name; nothing of a constraint, or of a generated column. */
function copiedColumn(item: string): string[] {
  const [word = ""] = /^(?:"(?:[^"]|"")*"|\S+)/.exec(item) ?? []
  const code = item.replaceAll(/"(?:[^"]|"")*"|'(?:[^']|'')*'/g, "''")
  // pg_dump quotes names that are words of SQL.
  if (["CONSTRAINT", "CHECK", "NOT"].includes(word) || generated.test(code)) return []
  return [word.startsWith('"') ? word.slice(1, -1).replaceAll('""', '"') : word]
}
