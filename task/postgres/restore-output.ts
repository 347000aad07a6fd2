import { classOf, type RestoreError } from "./restore-errors.ts"

/** What pg_restore does just now: "INDEX", "orders_placed_at_idx". */
export type RestoreStep = {
  readonly stage: "dropping" | "schema" | "rows" | "indexes and constraints"
  readonly kind: string
  readonly object: string
}

/** All that pg_restore said. */
export type RestoreOutput = {
  /** Every line that it marked as an error is in one of these; what only its own session lacks is a warning. */
  readonly errors: readonly RestoreError[]
  readonly warnings: readonly string[]
  /** It met errors, and went on to the end of its work in spite of them. */
  readonly wentOn: boolean
}

export type RestoreOutputReader = {
  /** Takes the next line that `pg_restore --verbose` wrote to stderr. */
  readonly line: (line: string) => void
  readonly end: () => RestoreOutput
}

const prefix = "pg_restore: "
/** Of one error: a command may be as long as a table's rows. */
const maxErrorCharacters = 8_000

/**
 * Makes sense of what pg_restore writes to stderr. A message begins with "pg_restore: ", and what comes without
 * that belongs to the one before. `onStep` is called with each object that it comes to.
 */
export function readRestoreOutput(onStep?: (step: RestoreStep) => void): RestoreOutputReader {
  const errors: RestoreError[] = []
  const warnings: string[] = []
  let entry: string | null = null
  let stage: RestoreStep["stage"] = "schema"
  let counted: number | undefined
  let unfinished: string | undefined

  const finish = () => {
    if (unfinished !== undefined) errors.push(parseError(unfinished, entry))
    unfinished = undefined
  }

  return {
    line: (line) => {
      const message = line.startsWith(prefix) ? line.slice(prefix.length) : undefined
      const continued = message?.startsWith("detail: ") ? message.slice("detail: ".length) : line
      if (message === undefined || continued !== line) {
        if (unfinished !== undefined && unfinished.length < maxErrorCharacters) unfinished += `\n${continued}`
        return
      }
      finish()
      const [, level, words = ""] = /^(error|warning|WARNING): +(.*)$/.exec(message) ?? []
      if (level === "error") unfinished = words
      else if (words.startsWith("errors ignored on restore: ")) counted = Number.parseInt(words.slice(27), 10)
      else if (level) warnings.push(words)
      else if (message.startsWith("while ")) entry = null
      else if (message.startsWith("from TOC entry "))
        entry = message.replace(/^from TOC entry \d+; \d+ \d+ /, "")
      else {
        const step = stepOf(message, stage)
        stage = step?.stage ?? stage
        if (step) onStep?.(step)
      }
    },
    end: () => {
      finish()
      if (counted !== undefined && counted !== errors.length)
        warnings.push(`pg_restore counted ${counted} errors, and ${errors.length} are reported here`)
      const own = errors.filter(isOfOwnSession)
      return {
        errors: errors.filter((error) => !own.includes(error)),
        warnings: [
          ...warnings,
          ...own.map(({ message }) => `pg_restore went on without a setting: ${message}`),
        ],
        wentOn: counted !== undefined,
      }
    },
  }
}

/** A setting that pg_restore makes for its own session, and an older server does not know: transaction_timeout. */
function isOfOwnSession(error: RestoreError): boolean {
  return (
    error.class === "unknown-setting" &&
    error.entry === null &&
    /^SET \w+ = \w+;$/.test(error.statement ?? "")
  )
}

function stepOf(message: string, stage: RestoreStep["stage"]): RestoreStep | undefined {
  // A name that has a newline in it goes on in the next line.
  const data = /^processing data for table "(.*?)"?$/.exec(message)
  if (data?.[1] !== undefined) return { stage: "rows", kind: "TABLE DATA", object: data[1] }
  const sequence = /^executing SEQUENCE SET (.*)$/.exec(message)
  if (sequence?.[1] !== undefined) return { stage: "rows", kind: "SEQUENCE SET", object: sequence[1] }
  const largeObject = /^restoring large object with OID (\d+)/.exec(message)
  if (largeObject?.[1] !== undefined) return { stage: "rows", kind: "LARGE OBJECT", object: largeObject[1] }
  const [, verb, kind, object] = /^(creating|dropping) ([A-Z][A-Z ]*[A-Z]) "?(.*?)"?$/.exec(message) ?? []
  if (kind === undefined || object === undefined) return undefined
  if (verb === "dropping") return { stage: "dropping", kind, object }
  return {
    stage: stage === "rows" ? "indexes and constraints" : stage === "dropping" ? "schema" : stage,
    kind,
    object,
  }
}

function parseError(text: string, entry: string | null): RestoreError {
  const [said = "", ...commands] = text.trimEnd().split(/\nCommand was: /)
  const [, detail] = /\n((?:[A-Z]+(?: \d+)?: |\t).*)$/s.exec(said) ?? []
  const message = (detail === undefined ? said : said.slice(0, -detail.length)).trim()
  const ofEntry = /^(could not execute query|COPY failed|error returned by PQ)/.test(message)
  const words = message.replace(/^.*?(ERROR|FATAL|PANIC): +/s, "").replace(/^could not execute query: /, "")
  return {
    class: classOf(words),
    message: words,
    entry: ofEntry ? entry : null,
    detail: detail ?? null,
    statement: commands.length === 0 ? null : withoutSecrets(commands.join("\nCommand was: ")),
  }
}

/** User mappings and subscriptions have passwords in them. */
function withoutSecrets(statement: string): string {
  const at = statement.search(/\bpassword\b/i)
  return at === -1 ? statement : `${statement.slice(0, at)}…`
}
