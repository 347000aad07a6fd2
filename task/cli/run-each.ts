import type { Command, Outcome, Report } from "../commands/command.ts"
import { formatCount, formatName } from "../console/format.ts"
import { messageOf, PgstowError } from "../errors.ts"
import type { PlannedRun } from "./plan-runs.ts"

type Ended = {
  readonly name: string
  readonly outcome: Outcome | undefined
  readonly failure: PgstowError | undefined
}

/**
 * Runs a command for each database of a file of settings, one after another, and reports what comes of each. One that
 * fails does not stop the others; the outcome has the kind of the first failure, where there is one that is more than
 * doctor's warnings.
 */
export async function runEach(
  command: Command,
  runs: readonly PlannedRun[],
  perform: (run: PlannedRun) => Promise<Outcome>,
  { report, signal, json }: { readonly report: Report; readonly signal: AbortSignal; readonly json: boolean },
): Promise<Outcome> {
  const ended: Ended[] = []
  for (const run of runs) {
    const name = nameOf(run)
    const one = await attempt(name, run, perform, signal)
    const { outcome, failure } = one
    if (outcome?.isWritten !== true && outcome !== undefined)
      report.result({ ...outcome, text: headed(name, outcome, runs.length) })
    if (failure && runs.length > 1) report.failure(failure)
    ended.push(one)
  }
  const good = ended.filter(({ failure }) => failure === undefined).length
  const title = `${command.name}: ${good} of ${formatCount(ended.length, "database")}`
  return {
    title,
    result: {
      databases: ended.map(({ name, outcome, failure }) => ({
        database: name,
        result: outcome?.result ?? null,
        error: failure
          ? { kind: failure.kind, message: messageOf(failure), hint: failure.hint ?? null }
          : null,
      })),
    },
    text: title,
    isAnswer: false,
    // Of one database, its own outcome has said all.
    isWritten: runs.length === 1 && !json,
    failure: failureOf(ended),
    // Each run has told its own.
    events: [],
  }
}

async function attempt(
  name: string,
  run: PlannedRun,
  perform: (run: PlannedRun) => Promise<Outcome>,
  signal: AbortSignal,
): Promise<Ended> {
  try {
    const outcome = await perform(run)
    return { name, outcome, failure: outcome.failure && named(name, outcome.failure) }
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof PgstowError)) throw error
    return { name, outcome: undefined, failure: named(name, error) }
  }
}

function nameOf({ entry, flags, settings }: PlannedRun): string {
  const { database } = flags
  return typeof database === "string" ? database : (settings.name ?? entry?.name ?? "")
}

function named(name: string, { kind, message, cause, hint }: PgstowError): PgstowError {
  return new PgstowError(kind, `${formatName(name)}: ${message}`, { cause, hint })
}

/** An answer does not say of itself which database it is about. */
function headed(name: string, { text, isAnswer }: Outcome, of: number): string {
  return isAnswer && of > 1 ? `${formatName(name)}:\n${text}\n` : text
}

function failureOf(ended: readonly Ended[]): PgstowError | undefined {
  const failed = ended.filter(({ failure }) => failure !== undefined)
  const failures = failed.flatMap(({ failure }) => failure ?? [])
  // Whoever lives with warnings must not pass over an error behind them.
  const first = failures.find(({ kind }) => kind !== "warnings") ?? failures[0]
  if (!first) return undefined
  if (ended.length === 1) return first
  const names = failed.map(({ name }) => formatName(name)).join(", ")
  const others = failed.length < ended.length ? " The others are as they should be." : ""
  return new PgstowError(
    first.kind,
    `${failed.length} of ${formatCount(ended.length, "database")} failed: ${names}`,
    { hint: `What was wrong with each is said above.${others}` },
  )
}
