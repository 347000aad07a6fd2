import { classOf, type RestoreError } from "./restore-errors.ts"

/** What pg_restore does just now: "INDEX", "orders_placed_at_idx". */
export type RestoreStep = {
  readonly stage: "dropping" | "schema" | "rows" | "indexes and constraints"
  readonly kind: string
  readonly object: string
}

/**
 * All that pg_restore said. Names and messages in it are the source's, with newlines and all: who made them could
 * have it seem to say anything in between, but neither before it comes to the first object nor at its end.
 */
export type RestoreOutput = {
  /** Every line that it marked as an error is in one of these; what only its own session lacks is a warning. */
  readonly errors: readonly RestoreError[]
  readonly warnings: readonly string[]
  /** How many errors it has counted at its end, having gone on in spite of them; undefined where it says none. */
  readonly counted: number | undefined
  /** How many of these only its own session lacks: settings that an older server does not know. */
  readonly ownCounted: number
}

export type RestoreOutputReader = {
  /** Takes the next line that `pg_restore --verbose` wrote to stderr. */
  readonly line: (line: string) => void
  readonly end: () => RestoreOutput
}

const prefix = "pg_restore: "
/** What it says of its own session, before it comes to the first object. */
const beforeObjects =
  /^(connecting to database for restore|executing SELECT pg_catalog\.set_config\('search_path', '', false\);|implied (data-only|no-schema) restore|while INITIALIZING:|(NOTICE|INFO|LOG): .*)$/
const countOfErrors = /^errors ignored on restore: ([1-9]\d*)$/
/** Of one error: a command may be as long as a table's rows. */
const maxErrorCharacters = 8_000

/**
 * Makes sense of what pg_restore writes to stderr. A message begins with "pg_restore: ", and what comes without
 * that belongs to the one before. `onStep` is called with each object that it comes to.
 */
export function readRestoreOutput(onStep?: (step: RestoreStep) => void): RestoreOutputReader {
  const errors: RestoreError[] = []
  const warnings: string[] = []
  let entry: Pick<RestoreError, "entry" | "dumpId"> = { entry: null }
  let stage: RestoreStep["stage"] = "schema"
  let unfinished: string | undefined
  let own = 0
  let hasBegun = false
  let lastMessage = ""

  const finish = () => {
    if (unfinished === undefined) return
    const error = parseError(unfinished, entry)
    unfinished = undefined
    if (hasBegun || !isOfOwnSession(error)) return void errors.push(error)
    own += 1
    warnings.push(`pg_restore went on without a setting: ${error.message}`)
  }

  return {
    line: (line) => {
      const message = line.startsWith(prefix) ? line.slice(prefix.length) : undefined
      lastMessage = message ?? lastMessage
      const continued = message?.startsWith("detail: ") ? message.slice("detail: ".length) : line
      if (message === undefined || continued !== line) {
        if (unfinished !== undefined && unfinished.length < maxErrorCharacters) unfinished += `\n${continued}`
        return
      }
      finish()
      const [, level, words = ""] = /^(error|warning|WARNING): +(.*)$/.exec(message) ?? []
      hasBegun ||= level === undefined && !beforeObjects.test(message)
      if (level === "error") unfinished = words
      else if (level === undefined && message.startsWith("while ")) entry = { entry: null }
      else if (level) warnings.push(words)
      else if (message.startsWith("from TOC entry ")) entry = entryIn(message)
      else {
        const step = stepOf(message, stage)
        stage = step?.stage ?? stage
        if (step) onStep?.(step)
      }
    },
    end: () => {
      finish()
      const [, count] = countOfErrors.exec(lastMessage.replace(/^warning: /, "")) ?? []
      const counted = count === undefined ? undefined : Number(count)
      if (counted !== undefined && counted - own !== errors.length)
        warnings.push(`pg_restore counted ${counted - own} errors, and ${errors.length} are reported here`)
      return {
        errors,
        warnings: warnings.filter((warning) => !countOfErrors.test(warning)),
        counted,
        ownCounted: own,
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

function entryIn(message: string): Pick<RestoreError, "entry" | "dumpId"> {
  const [, dumpId, entry = message] = /^from TOC entry (\d+); \d+ \d+ (.*)$/.exec(message) ?? []
  return { entry, dumpId: dumpId === undefined ? undefined : Number(dumpId) }
}

function parseError(text: string, of: Pick<RestoreError, "entry" | "dumpId">): RestoreError {
  const [said = "", ...commands] = text.trimEnd().split(/\nCommand was: /)
  const [, detail] = /\n((?:[A-Z]+(?: \d+)?: |\t).*)$/s.exec(said) ?? []
  const message = (detail === undefined ? said : said.slice(0, -detail.length)).trim()
  const ofEntry = /^(could not execute query|COPY failed|error returned by PQ)/.test(message)
  const [before = "", severity] = /^.*?(ERROR|FATAL|PANIC): +/s.exec(message) ?? []
  const words = message.slice(before.length).replace(/^could not execute query: /, "")
  return {
    class: classOf(words, severity, { detail, statement: commands[0] }),
    message: words,
    ...(ofEntry ? of : { entry: null }),
    detail: detail ?? null,
    statement: commands.length === 0 ? null : withoutSecrets(commands.join("\nCommand was: ")),
  }
}

/** User mappings and subscriptions have passwords in them. */
function withoutSecrets(statement: string): string {
  const at = statement.search(/\bpassword\b/i)
  return at === -1 ? statement : `${statement.slice(0, at)}…`
}
