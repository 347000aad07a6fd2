import { closeSync, constants, openSync, writeSync } from "node:fs"
import { codeOf, PgstowError } from "../errors.ts"
import { formatJson } from "./format.ts"
import type { Colour, Terminal } from "./terminal.ts"

const { O_APPEND, O_CREAT, O_NONBLOCK, O_WRONLY } = constants

export const logLevels = ["debug", "info", "warn", "error"] as const
export type LogLevel = (typeof logLevels)[number]

/** Facts beside a message, for machines. Never secrets. */
export type LogFields = Readonly<Record<string, unknown>>
export type Log = Readonly<Record<LogLevel, (message: string, fields?: LogFields) => void>> & {
  close(): void
}

export type RecordingLog = Log & {
  /** Writes into the file alone, at level info, what is shown in another way. */
  record(message: string, fields: LogFields): void
}

/**
 * A log that writes to standard error, and to `file` where there is one.
 *
 * A terminal gets the message alone; anything else gets one JSON object a line:
 * `{"time":"…","level":"info","message":"…", …fields}`. The file always gets JSON.
 */
export function openLog(options: {
  readonly level: LogLevel
  readonly file?: string | undefined
  readonly terminal: Terminal
  readonly now: () => Date
}): RecordingLog {
  const { level, file, terminal, now } = options
  const fd = file === undefined ? undefined : openLogFile(file)

  const write = (own: LogLevel, show: boolean, message: string, fields: LogFields) => {
    if (logLevels.indexOf(own) < logLevels.indexOf(level)) return
    const json = formatJson({ time: now().toISOString(), level: own, message, ...fields })
    const { prefix, colour } = looks[own]
    if (show && terminal.interactive) terminal.line(prefix + message, colour)
    else if (show) terminal.line(json)
    if (fd !== undefined) writeLine(fd, json)
  }
  const at =
    (own: LogLevel) =>
    (message: string, fields: LogFields = {}) =>
      write(own, true, message, fields)
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    record: (message, fields) => write("info", false, message, fields),
    close: () => {
      if (fd !== undefined) closeSync(fd)
    },
  }
}

function openLogFile(file: string): number {
  try {
    // A FIFO that nobody reads would be waited for, and no signal could end that.
    return openSync(file, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o600)
  } catch (cause) {
    throw new PgstowError("usage", `the log file ${file} can't be written`, {
      cause,
      hint: "Give LOG_FILE a file in a folder that exists and that you may write to, or leave it out.",
    })
  }
}

/** Writes a line, but for one that a pipe has no room for: a log that nobody reads must not hold up a backup. */
function writeLine(fd: number, line: string): void {
  try {
    writeSync(fd, `${line}\n`)
  } catch (error) {
    if (codeOf(error) !== "EAGAIN") throw error
  }
}

/** What a message looks like on a terminal. */
const looks: Record<LogLevel, { readonly prefix: string; readonly colour?: Colour }> = {
  debug: { prefix: "", colour: "dim" },
  info: { prefix: "" },
  warn: { prefix: "warning: ", colour: "yellow" },
  error: { prefix: "error: ", colour: "red" },
}
