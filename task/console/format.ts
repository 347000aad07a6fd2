import stringWidth from "string-width"

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]

/** "0 B", "812 B", "1.4 MiB", "203 MiB": three digits at most. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1
  return `${value.toFixed(digits)} ${units[unit]}`
}

/** "0.4 s", "12 s", "3 min 5 s", "2 h 10 min". */
export function formatDuration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}

/** "25 min", "5 h", "12 days". */
export function ageInWords(hours: number): string {
  if (hours < 1) return `${Math.floor(hours * 60)} min`
  return hours < 48 ? `${Math.floor(hours)} h` : formatCount(Math.floor(hours / 24), "day")
}

/** From how many seconds on a rate can be told: what is shorter is mostly what it takes to begin and to end. */
const shortestMeasured = 0.1

/** How long so many bytes took, and how fast that is where it can be told: "12 s (102 MiB/s)", "0.0 s". */
export function formatSpeed(bytes: number, seconds: number): string {
  const duration = formatDuration(seconds)
  return seconds < shortestMeasured ? duration : `${duration} (${formatBytes(bytes / seconds)}/s)`
}

/** "+12 %", "-0.4 %", "=" where nothing changed; "+" where there was nothing before. */
export function formatChange(before: number, after: number): string {
  if (before === after) return "="
  if (before === 0) return "+"
  const percent = (100 * (after - before)) / before
  return `${percent > 0 ? "+" : ""}${percent.toFixed(Math.abs(percent) < 10 ? 1 : 0)} %`
}

/** "2026-01-02 03:00:00 UTC". */
export function formatTime(time: Date): string {
  return `${time.toISOString().slice(0, 19).replace("T", " ")} UTC`
}

/** "1 backup", "3 backups". */
export function formatCount(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`
}

/**
 * How many objects of each kind there are, by pg_dump's names for kinds (descriptions in a table of contents): "27 tables",
 * "9 foreign keys".
 */
export function formatKinds(counts: Readonly<Record<string, number>>): string[] {
  return Object.entries(counts).map(([kind, count]) => {
    const noun = plainKinds[kind] ?? kind.toLowerCase()
    if (count === 1 || noun.endsWith("data")) return `${count} ${noun}`
    const plural = /[^aeiou]y$/.test(noun)
      ? noun.replace(/y$/, "ies")
      : `${noun}${/(x|s|ch|sh)$/.test(noun) ? "es" : "s"}`
    return `${count} ${plural}`
  })
}

/** Those that say little as they are, or don't end in a noun. */
const plainKinds: Readonly<Record<string, string>> = {
  ACL: "grant",
  "DEFAULT ACL": "default grant",
  "FK CONSTRAINT": "foreign key",
  "SEQUENCE OWNED BY": "owned sequence",
  "BLOB METADATA": "large object",
}

/** All that could move or turn text on a terminal: control characters, line separators, directions of writing. */
const unsafe = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

/** A name that anyone may have chosen, or any other text, as a part of one line: what is unsafe is made visible. */
export function formatName(name: string): string {
  return name.replaceAll(unsafe, escaped)
}

/** Text of several lines, with all that is unsafe made visible but the ends of the lines. */
export function formatText(text: string): string {
  return text.replaceAll(unsafe, (character) => (character === "\n" ? character : escaped(character)))
}

/** JSON that no terminal takes for more than text, by `indent` spaces where it is for people too. */
export function formatJson(value: unknown, indent?: number): string {
  return formatText(JSON.stringify(value, null, indent))
}

/** As JSON has it. By itself it escapes only some of these. */
function escaped(character: string): string {
  return character < " "
    ? JSON.stringify(character).slice(1, -1)
    : `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
}

/** A column of a table; numbers are flush right. */
export type Column = { readonly title: string; readonly flush?: "right" }

/**
 * Rows of cells below their titles, two spaces between the columns. A cell is one line, whatever is in it.
 *
 * @param width the columns of the terminal: a row that is wider takes several lines, broken between cells, and a cell
 * that is wider than all of them is broken between words
 */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width = Number.POSITIVE_INFINITY,
): string {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => row.map(formatName))]
  const widths = columns.map((_, index) => Math.max(...cells.map((row) => stringWidth(row[index] ?? ""))))
  const lines = foldedAt(widths, width)
  const padded = (row: readonly string[], index: number) => {
    const cell = row[index] ?? ""
    const space = " ".repeat((widths[index] ?? 0) - stringWidth(cell))
    return columns[index]?.flush === "right" ? space + cell : cell + space
  }
  const textOf = (row: readonly string[], indexes: readonly number[], indent: string) =>
    (indent + indexes.map((index) => padded(row, index)).join(gap)).trimEnd()
  return cells
    .flatMap((row) =>
      lines.flatMap((indexes, line) => {
        const indent = line === 0 ? "" : gap
        return wrapText(textOf(row, indexes, indent), width, `${indent}${gap}`)
      }),
    )
    .filter((line) => line !== "")
    .join("\n")
}

const gap = "  "

/** Which columns go into which line of a row, so that each line but those of one column fits into `width`. */
function foldedAt(widths: readonly number[], width: number): readonly (readonly number[])[] {
  const lines: number[][] = [[]]
  let used = 0
  for (const [index, own] of widths.entries()) {
    const line = lines.at(-1)
    if (line === undefined || (line.length > 0 && used + gap.length + own > width)) {
      lines.push([index])
      used = gap.length + own
    } else {
      used += own + (line.length > 0 ? gap.length : 0)
      line.push(index)
    }
  }
  return lines
}

/**
 * A line as lines of at most `width` columns, all but the first begin with `indent`. It is broken at spaces alone, and
 * not within what is to be copied as it is: a command between backticks, a name between quotes.
 */
export function wrapText(text: string, width: number, indent: string): string[] {
  if (stringWidth(text) <= width) return [text]
  const whole = text.replaceAll(/`[^`]*`|"[^"]*"/g, (span) =>
    stringWidth(indent + span) <= width ? span.replaceAll(" ", kept) : span,
  )
  const lines: string[] = []
  let line = ""
  // The spaces that a line begins with are no place to break it.
  for (const word of whole.trimStart().split(" ")) {
    const start = lines.length === 0 ? (/^ */.exec(text)?.[0] ?? "") : indent
    const longer = line === "" ? start + word : `${line} ${word}`
    if (line !== "" && stringWidth(longer) > width) {
      lines.push(line.trimEnd())
      line = indent + word
    } else line = longer
  }
  return [...lines, line.trimEnd()].map((each) => each.replaceAll(kept, " "))
}

/** Stands for a space that is no place to break a line; one column wide, and nobody's character. */
const kept = "\ue000"
