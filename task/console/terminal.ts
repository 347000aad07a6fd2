import { formatName, wrapText } from "./format.ts"

export type Colour = "dim" | "yellow" | "red"

/** Where people, or a log collector, read what happens: standard error. */
export type Terminal = {
  /** Whether a person sits in front of it. */
  readonly interactive: boolean
  /**
   * Writes one line, whatever is in `text`, above the status where there is one; in a colour where there are any. For a
   * person it is wrapped at words.
   */
  line(text: string, colour?: Colour): void
  /** Shows `text` as the last line until it is replaced; "" takes it away. Does nothing where nobody sits. */
  status(text: string): void
  /** How wide it is. */
  columns(): number
}

/** The stream of a terminal, as far as it is used here. */
type Output = {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

type Environment = Readonly<Record<string, string | undefined>>

/** Whether it is a terminal of which nobody says that it has no colours (no-color.org). */
export function hasColours({ isTTY }: Pick<Output, "isTTY">, { TERM, NO_COLOR = "" }: Environment): boolean {
  return isTTY === true && TERM !== "dumb" && NO_COLOR === ""
}

/** Whether it is a terminal that shows characters of bars, as far as the locale tells. */
export function showsBars({ isTTY }: Pick<Output, "isTTY">, env: Environment): boolean {
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || ""
  return isTTY === true && env.TERM !== "dumb" && env.TERM !== "linux" && /utf-?8/i.test(locale)
}

const codes: Record<Colour, string> = { dim: "\x1b[2m", yellow: "\x1b[33m", red: "\x1b[31m" }

export function openTerminal(output: Output, env: Environment): Terminal {
  const interactive = output.isTTY === true && env.TERM !== "dumb"
  let shown = ""
  const isColoured = hasColours(output, env)
  const show = (text: string) => {
    if (!interactive || text === shown) return
    shown = text
    output.write(`\r\x1b[K${formatName(text).slice(0, (output.columns || 80) - 1)}`)
  }
  return {
    interactive,
    line: (text, colour) => {
      const status = shown
      const plain = formatName(text)
      const lines = interactive ? wrapText(plain, output.columns || 80, "  ") : [plain]
      show("")
      for (const each of lines)
        output.write(colour && isColoured ? `${codes[colour]}${each}\x1b[0m\n` : `${each}\n`)
      show(status)
    },
    status: show,
    columns: () => output.columns || 80,
  }
}
