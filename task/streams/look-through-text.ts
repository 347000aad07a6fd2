import { isUtf8 } from "node:buffer"

export type TextFindings = {
  readonly lines: number
  /** Where the first bytes are that are not UTF-8: the line, from 1 on, and the table whose rows they are among, as SQL names it. */
  readonly invalid: { readonly line: number; readonly near: string | undefined } | undefined
}

const newline = 0x0a

/** Counts the lines of a text, and finds the first that is not UTF-8. In a script of pg_dump it knows the tables. */
export async function lookThroughText(stream: AsyncIterable<Buffer>): Promise<TextFindings> {
  let lines = 0
  let invalid: TextFindings["invalid"]
  let near: string | undefined
  let held: Buffer = Buffer.alloc(0)
  const take = (text: Buffer) => {
    if (invalid === undefined && !isUtf8(text)) {
      const at = invalidLineIn(text)
      invalid = { line: lines + at.line, near: tableIn(text.subarray(0, at.offset)) ?? near }
    }
    near = tableIn(text) ?? near
    for (let at = text.indexOf(newline); at !== -1; at = text.indexOf(newline, at + 1)) lines += 1
  }
  for await (const chunk of stream) {
    const end = chunk.lastIndexOf(newline) + 1
    if (end === 0 && held.length + chunk.length < mostHeldBytes) {
      held = Buffer.concat([held, chunk])
      continue
    }
    // A line may be of any length: it is cut where a character begins.
    const cut = end === 0 ? startOfCharacter(chunk) : end
    take(Buffer.concat([held, chunk.subarray(0, cut)]))
    held = Buffer.from(chunk.subarray(cut))
  }
  take(held)
  return { lines, invalid }
}

const mostHeldBytes = 1024 * 1024

/** Near the end, where a character of UTF-8 may begin. */
function startOfCharacter(bytes: Buffer): number {
  for (let at = bytes.length - 1; at >= Math.max(0, bytes.length - 4); at--)
    if ((bytes[at] ?? 0) >> 6 !== 2) return at
  return bytes.length
}

function invalidLineIn(text: Buffer): { readonly line: number; readonly offset: number } {
  let line = 1
  let from = 0
  for (let at = text.indexOf(newline); at !== -1; at = text.indexOf(newline, from)) {
    if (!isUtf8(text.subarray(from, at))) break
    from = at + 1
    line += 1
  }
  return { line, offset: from }
}

/** The table of the last COPY that begins there. */
function tableIn(text: Buffer): string | undefined {
  const at = text.lastIndexOf("COPY ")
  if (at === -1) return undefined
  const end = text.indexOf(newline, at)
  const [, table] =
    /^COPY (.+?) \(.*\) FROM stdin;$/.exec(text.toString("utf8", at, end === -1 ? text.length : end)) ?? []
  return table
}
