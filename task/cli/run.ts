import { hostname } from "node:os"
import { createInterface } from "node:readline/promises"
import { setTimeout as wait } from "node:timers/promises"
import { type Command as CommanderCommand, CommanderError } from "commander"
import type { Ask, Command, CommandLine, Outcome, Report } from "../commands/command.ts"
import { databasesStored } from "../commands/databases-stored.ts"
import { formatCount, formatJson, formatText, wrapText } from "../console/format.ts"
import { type Log, openLog, type RecordingLog } from "../console/log.ts"
import { openProgress } from "../console/progress.ts"
import { hasColours, openTerminal, showsBars, type Terminal } from "../console/terminal.ts"
import type { Context } from "../context.ts"
import { codeOf, exitCodes, generalHints, messageOf, PgstowError, stackOf } from "../errors.ts"
import { adoptLegacyNames } from "../legacy/adopt-names.ts"
import { announce, failureEvents } from "../notify/announce.ts"
import { parseChannels } from "../notify/channel.ts"
import type { PgstowEvent } from "../notify/events.ts"
import { notify } from "../notify/notify.ts"
import { endChildren } from "../processes/child.ts"
import { prefixOf } from "../processes/exec-prefix.ts"
import { removeAbandonedFolders } from "../processes/temporary-folder.ts"
import { readSettings } from "../settings/config.ts"
import { databaseNamed, serverNamed } from "../settings/inputs.ts"
import { environmentOf, type PlannedRun, planRuns, type Surroundings } from "./plan-runs.ts"
import { makeProgram, programShape, type Typed } from "./program.ts"
import { runEach } from "./run-each.ts"

/** The world outside the program. */
export type Io = {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  /** Aborted with a PgstowError of kind "interrupted" or "terminated". */
  readonly signal: AbortSignal
  readonly now: () => Date
  /** What was wrong before the program began. */
  readonly problem?: PgstowError | undefined
}

/** The commands that connect to a server and report what came of it. */
const connecting = new Set(["backup", "restore"])

/** How long a command may wait at its end until its notifications are sent, in milliseconds. */
const tellMs = 10_000

/** Runs one command line (without `node` and the script) and returns its exit code. Never throws. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  const terminal = openTerminal(io.stderr, io.env)
  let lost: PgstowError | undefined
  io.stdout.on("error", (cause) => {
    // Whoever reads may stop before the end, as `head` does.
    if (codeOf(cause) !== "EPIPE")
      lost ??= new PgstowError("storage", "the output could not be written", {
        cause,
        hint: "Look at where standard output goes. What the command has done is done.",
      })
  })
  const exitCode = await runLine(args, io, terminal)
  await new Promise((resolve) => io.stdout.write("", resolve))
  if (!lost || exitCode !== 0) return exitCode
  const log = openLog({ level: "info", terminal, now: io.now })
  return reportFailure(lost, { json: false, debug: false }, io, log, terminal)
}

async function runLine(args: readonly string[], io: Io, terminal: Terminal): Promise<number> {
  if (args.length === 0 && terminal.interactive) {
    makeProgram(async () => {})
      .configureOutput({ writeOut: (text) => print(io, text) })
      .outputHelp()
    return exitCodes.usage
  }
  try {
    const asked = await parseLine(args, (text) => print(io, text))
    return asked ? await runCommand(asked.command, asked.typed, io, terminal) : 0
  } catch (error) {
    const log = openLog({ level: "info", terminal, now: io.now })
    return reportFailure(error, { json: args.includes("--json"), debug: false }, io, log, terminal)
  }
}

type Asked = { readonly command: Command; readonly typed: Typed }

/** What a command line asks for; undefined where it asked for help, which is then written. Throws usage errors. */
async function parseLine(
  args: readonly string[],
  writeOut: (text: string) => void,
): Promise<Asked | undefined> {
  const asked: Asked[] = []
  const program = makeProgram(async (command, typed) => {
    asked.push({ command, typed })
  })
  for (const command of [program, ...program.commands])
    command.configureOutput({ writeOut, writeErr: () => {} })
  try {
    await program.parseAsync([...args], { from: "user" })
  } catch (error) {
    if (!(error instanceof CommanderError && error.exitCode === 0)) throw usageError(error, program)
  }
  return asked[0]
}

/** Reads a command line that is to run later. */
async function readLine(args: readonly string[], surroundings: Surroundings): Promise<CommandLine> {
  const asked = await parseLine(args, () => {})
  if (asked === undefined)
    throw new PgstowError("usage", `${args.join(" ")} runs nothing`, { hint: "Name a command that does." })
  const { command, typed } = asked
  return { name: command.name, runs: await planRuns(command, typed, surroundings) }
}

/** Programs are ended here by groups and signals of POSIX, keys kept by modes of files, and folders written through to the disk. */
const notOnWindows = new PgstowError("usage", "pgstow does not run on Windows", {
  hint: "Run it in WSL 2, where it is a program for Linux, or in its container.",
})

async function runCommand(command: Command, typed: Typed, io: Io, terminal: Terminal): Promise<number> {
  const { json, debug } = typed.flags
  const output = { json: json === true, debug: debug === true }
  let log = openLog({ level: "info", terminal, now: io.now })
  try {
    if (process.platform === "win32" && command.anywhere !== true) throw notOnWindows
    if (io.problem) throw io.problem
    const { env, notes } = adoptLegacyNames(io.env)
    const { logLevel, logFile } = readSettings(typed.flags, env)
    log = openLog({ level: logLevel, file: logFile, terminal, now: io.now })
    for (const note of notes) log.warn(note)
    void tidyUp(log)
    const runs = await planRuns(command, typed, { env, log })
    const outcome = await performAll(command, runs, { env, log, output, io, terminal })
    reportOutcome(outcome, output.json, io, log, terminal)
    return outcome.failure ? reportFailure(outcome.failure, { ...output, json: false }, io, log, terminal) : 0
  } catch (error) {
    return reportFailure(whatEnded(error, io.signal), output, io, log, terminal)
  } finally {
    // Whatever failed: what still runs would keep the program from its end.
    await endChildren()
    log.close()
  }
}

/** What a command runs in. */
type Stage = Surroundings & {
  readonly log: RecordingLog
  readonly output: { readonly json: boolean; readonly debug: boolean }
  readonly io: Io
  readonly terminal: Terminal
}

/** Runs a command: once, or with a file of settings for each of its databases. */
async function performAll(command: Command, runs: readonly PlannedRun[], stage: Stage): Promise<Outcome> {
  const { env, log, output, io, terminal } = stage
  const progress = openProgress(terminal, log, () => performance.now())
  const contextOf = (run: PlannedRun): Context => ({
    env: environmentOf(run, env),
    prefix: prefixOf(run.settings.exec, run.settings.execTimeout, env),
    log,
    progress,
    signal: io.signal,
    now: io.now,
  })
  const report: Report = {
    result: (part) => {
      progress.clear()
      if (output.json) log.record(part.title, { result: part.result })
      else reportOutcome(part, false, io, log, terminal)
    },
    failure: (failure) => {
      progress.clear()
      reportFailure(failure, { ...output, json: false }, io, log, terminal)
    },
  }
  const perform = async (run: PlannedRun) => performOne(command, run, contextOf(run), report, stage)
  const [first] = runs
  if (first === undefined || first.entry === undefined || command.config?.runs !== "each")
    return perform(first ?? { settings: readSettings({}, env), flags: {}, args: [] })
  const all: PlannedRun[] = []
  for (const run of runs) all.push(...(await ofEachDatabase(run, command, contextOf(run))))
  return runEach(command, all, perform, { report, signal: io.signal, json: output.json })
}

/**
 * The run of a server, once for each of its databases that something is stored of. Never without a database: a command
 * would take that for all of the storage, and what is in there of others is not this entry's to judge, or to remove.
 */
async function ofEachDatabase(run: PlannedRun, command: Command, context: Context): Promise<PlannedRun[]> {
  const { entry } = run
  if (run.isServer !== true || entry === undefined) return [run]
  try {
    const names = await databasesStored(run.settings, entry.exclude, context)
    if (names.length > 0 || command.config?.mayFindNone === true)
      return names.map((database) => ({ ...run, flags: { ...run.flags, database } }))
    throw new PgstowError("notFound", "there is no backup of any database of this server", {
      hint: `Make them: pgstow backup --config ${run.settings.config ?? ""} ${entry.name}.`,
    })
  } catch (error) {
    context.signal.throwIfAborted()
    if (!(error instanceof PgstowError)) throw error
    return [{ ...run, flags: { ...run.flags, database: entry.name }, problem: error }]
  }
}

/** Runs a command once, and tells elsewhere what came of it. Rejects as the command does. */
async function performOne(
  command: Command,
  { settings, flags, args, problem }: PlannedRun,
  context: Context,
  report: Report,
  { env, log, io, terminal }: Stage,
): Promise<Outcome> {
  const { progress } = context
  const database = databaseNamed(settings, flags, env)
  const audience = { bus: settings.eventBus, channels: parseChannels(settings.notify), log }
  const server = connecting.has(command.name) ? serverNamed(settings, flags, env) : undefined
  const origin = { machine: hostname(), ...(server === undefined ? {} : { server }) }
  const beginningOver = new AbortController()
  // Only a healthcheck wants to know of it: a backup does not wait for that.
  const begun =
    command.name === "backup"
      ? notify({ type: "Backup Started", database }, audience.channels, {
          log,
          signal: beginningOver.signal,
        })
      : undefined
  const tell = async (events: readonly PgstowEvent[]) => {
    // Who stops the program does not wait for long, also where it is stopped while it tells.
    const endsAt = Date.now() + (io.signal.aborted ? 4_000 : tellMs)
    const enough = new AbortController()
    const stopSoon = () => void setTimeout(() => enough.abort(), 2_000).unref()
    if (!io.signal.aborted) io.signal.addEventListener("abort", stopSoon, { once: true })
    setTimeout(() => beginningOver.abort(), 1_000).unref()
    await begun
    const placed = events.map((event) => ({ ...event, ...origin }))
    await announce(placed, { ...audience, limitMs: endsAt - Date.now(), signal: enough.signal })
    io.signal.removeEventListener("abort", stopSoon)
  }
  const tellFailure = (failure: PgstowError) => tell(failureEvents(command.name, database, failure))
  const ending = new AbortController()
  const over = new AbortController()
  try {
    if (problem) throw problem
    const outcome = await command.run(
      {
        settings,
        flags,
        args,
        typed: new Set(Object.keys(flags)),
        ask: questioner(io, terminal),
        report,
        shape: programShape,
        read: (args, other = env) => readLine(args, { env: other, log }),
        width: io.stdout.isTTY ? io.stdout.columns || 80 : Number.POSITIVE_INFINITY,
        showsBars: showsBars(io.stdout, io.env),
        stdout: io.stdout,
      },
      {
        ...context,
        signal: AbortSignal.any([context.signal, ending.signal]),
        end: (reason) => ending.abort(reason),
        over: over.signal,
      },
    )
    progress.clear()
    if (outcome.events) await tell(outcome.events)
    else if (outcome.failure) await tellFailure(outcome.failure)
    return outcome
  } catch (error) {
    const failure = settings.tunnel === undefined ? error : await lossOr(error, ending.signal)
    await tellFailure(asFailure(whatEnded(failure, io.signal)))
    throw failure
  } finally {
    over.abort()
    progress.clear()
  }
}

/** Why a tunnel has ended, where it has: what went through it may notice that first. */
async function lossOr(error: unknown, ending: AbortSignal): Promise<unknown> {
  await wait(500, undefined, { signal: ending }).catch(() => {})
  return ending.aborted ? ending.reason : error
}

/** Removes what runs that were killed have left in the temporary folder. Nobody waits for it, or fails by it. */
async function tidyUp(log: Log): Promise<void> {
  try {
    const removed = await removeAbandonedFolders()
    if (removed > 0) log.debug(`removed ${formatCount(removed, "temporary folder")} of runs that were killed`)
  } catch (error) {
    log.debug(`the temporary folder could not be tidied: ${messageOf(error)}`)
  }
}

/** Writes an answer: the only way to standard output. */
function print(io: Io, text: string, paint?: (text: string) => string): void {
  const safe = formatText(text)
  io.stdout.write(paint && hasColours(io.stdout, io.env) ? paint(safe) : safe)
}

/** Asks on the terminal; undefined where nobody sits in front of one. Input that is at its end gives undefined. */
function questioner(io: Io, terminal: Terminal): Ask | undefined {
  if (!terminal.interactive || io.stdin.isTTY !== true) return undefined
  return async (question) => {
    terminal.status("")
    // A terminal of its own would take Ctrl-C, and the end of input that was there before it, for characters.
    const lines = createInterface({ input: io.stdin, output: io.stderr, terminal: false })
    // `question` itself waits for ever then.
    const atEnd = new Promise<undefined>((resolve) => {
      if (io.stdin.readableEnded) resolve(undefined)
      lines.once("close", () => resolve(undefined))
    })
    try {
      const answer = lines.question(wrapped(question, terminal.columns()), { signal: io.signal })
      const given = await Promise.race([answer, atEnd])
      if (given === undefined) terminal.line("")
      return given
    } finally {
      lines.close()
    }
  }
}

/** Lines for a person, broken at words; what is typed follows the last one. */
function wrapped(question: string, width: number): string {
  const lines = formatText(question).trimEnd().split("\n")
  const indentOf = (line: string) => `${/^ */.exec(line)?.[0] ?? ""}    `
  return `${lines.flatMap((line) => wrapText(line, width, indentOf(line))).join("\n")} `
}

function reportOutcome(outcome: Outcome, json: boolean, io: Io, log: RecordingLog, terminal: Terminal): void {
  const { title, result, text, paint, isAnswer, isWritten } = outcome
  if (isWritten) log.record(title, { result })
  else if (json || isAnswer || terminal.interactive) {
    if (json) print(io, `${formatJson(result, 2)}\n`)
    else print(io, `${text}\n`, paint)
    log.record(title, { result })
  } else log.info(title, { result })
}

/** Says what failed in one line and what to do in another, and returns the exit code. */
function reportFailure(
  error: unknown,
  output: { readonly json: boolean; readonly debug: boolean },
  io: Io,
  log: Log,
  terminal: Terminal,
): number {
  const failure = asFailure(error)
  const message = messageOf(failure).replaceAll(/\s*\n\s*/g, " ")
  const { kind, exitCode, hint = generalHints[kind] } = failure
  if (output.json) print(io, `${formatJson({ error: { kind, message, hint, exitCode } }, 2)}\n`)
  const stack = output.debug ? stackOf(error) : undefined
  log.error(message, { kind, hint, exitCode, stack })
  if (terminal.interactive) for (const line of [hint, ...(stack?.split("\n") ?? [])]) terminal.line(line)
  return exitCode
}

/** The signal, whatever it made fail first, unless that tells of the signal itself. */
function whatEnded(error: unknown, { aborted, reason }: AbortSignal): unknown {
  const tells = error instanceof PgstowError && reason instanceof PgstowError && error.kind === reason.kind
  return aborted && !tells ? reason : error
}

function asFailure(error: unknown): PgstowError {
  if (error instanceof PgstowError) return error
  if (isWithoutFolder(error))
    return new PgstowError("usage", "the working directory has been removed", {
      hint: "Change to a directory that exists, then run it again.",
    })
  return new PgstowError("unexpected", "something unexpected went wrong", {
    cause: error,
  })
}

/** Whether a relative path could not be made a full one. */
function isWithoutFolder(error: unknown): boolean {
  return error instanceof Error && "syscall" in error && error.syscall === "uv_cwd"
}

/** Commander's own words ("error: unknown option '--x'\n(Did you mean --y?)") as ours. */
function usageError(error: unknown, program: CommanderCommand): PgstowError {
  if (!(error instanceof CommanderError)) return asFailure(error)
  const given = program.args[0]
  const command = program.commands.find((one) => one.name() === given)
  const message =
    error.code === "commander.help"
      ? "no command was given"
      : error.message
          .replace(/^error: /, "")
          .replace(/\.$/, "")
          .replaceAll("\n", " ")
  const see = `See \`pgstow ${command ? `${given} ` : ""}--help\`.`
  const hint = [...(command ? otherNames(message, command) : []), see].join(" ")
  return new PgstowError("usage", message, { hint })
}

/** What names a database, for one command or another. */
const databaseFlags = ["--database", "--dbname", "--name"]

/** A sentence that says how a database is named, where that was tried by another command's flag. */
function otherNames(message: string, command: CommanderCommand): string[] {
  const [, flag = ""] = /^unknown option '(--[a-z-]+)/.exec(message) ?? []
  if (!databaseFlags.includes(flag)) return []
  const known = command.options.filter(({ long }) => databaseFlags.includes(long ?? ""))
  if (known.length === 0) return []
  return [`Here it is ${known.map(({ long, description }) => `${long} (${description})`).join(", or ")}.`]
}
