/** Where people, or a log collector, read what happens: standard error. */
export type Terminal = {
  /** Whether a person sits in front of it. */
  readonly interactive: boolean
  readonly colour: boolean
  /** Writes one line, above the status where there is one. */
  line(text: string): void
  /** Shows `text` as the last line until it is replaced; "" takes it away. Does nothing where nobody sits. */
  status(text: string): void
}

/** The stream of a terminal, as far as it is used here. */
type Output = {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

export function openTerminal(output: Output, env: Readonly<Record<string, string | undefined>>): Terminal {
  const interactive = output.isTTY === true && env.TERM !== "dumb"
  let shown = ""
  const show = (text: string) => {
    if (!interactive || text === shown) return
    shown = text
    output.write(`\r\x1b[K${text.slice(0, (output.columns || 80) - 1)}`)
  }
  return {
    interactive,
    colour: interactive && env.NO_COLOR === undefined,
    line: (text) => {
      const status = shown
      show("")
      output.write(`${text}\n`)
      show(status)
    },
    status: show,
  }
}
