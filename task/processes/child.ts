import { type ChildProcess, type StdioOptions, spawn } from "node:child_process"
import type { Readable, Writable } from "node:stream"
import { text } from "node:stream/consumers"
import { PgstowError } from "../errors.ts"
import { type Behind, throughPrefix } from "./exec-prefix.ts"
import { type Counted, ExecError } from "./far-side.ts"

/** A program to run: its file, its arguments (no secrets: anyone may read them) and its environment. */
export type Program = {
  readonly file: string
  readonly args: readonly string[]
  /** The whole environment of the child; secrets may be here. */
  readonly env: Readonly<Record<string, string | undefined>>
}

export type ChildOptions = {
  /**
   * Ends the child: SIGTERM, and SIGKILL 5 s later where that did not help; behind a prefix, SIGTERM to the program
   * there before that. What it has started itself may go on and hold its pipes open: this side of them is closed
   * then.
   */
  readonly signal?: AbortSignal | undefined
  readonly stdin?: "ignore" | "pipe" | Readable
  readonly stdout?: "ignore" | "pipe" | Writable
  /** The stream that the other side of a prefix counts, so that `lost` can tell whether all of it came through. */
  readonly counted?: Counted | undefined
  /** Called with every line of stderr as it comes. */
  readonly onStderr?: ((line: string) => void) | undefined
  /** What `ended` rejects with instead, by who knows the program's words. */
  readonly explain?: ((failure: ChildError) => ChildError) | undefined
}

/** A running program. */
export type Child = {
  /** What the program is called in messages: the last part of its file. */
  readonly name: string
  readonly pid: number | undefined
  /** Writes to the child, where stdin is "pipe". */
  readonly stdin: Writable
  /** Reads from the child, where stdout is "pipe". Its end alone proves nothing: await `ended`. */
  readonly stdout: Readable
  /** The last 64 KiB of stderr so far. */
  stderr(): string
  kill(signal: NodeJS.Signals): void
  /** Ends it as the signal of its options does. */
  stop(): void
  /**
   * Resolves when the program has exited with 0 and its output is closed; rejects with a ChildError otherwise, or an
   * ExecError where a prefix did not run it.
   */
  readonly ended: Promise<void>
  /**
   * Why a stream that had so many bytes here did not come through the prefix as it was; undefined where it did, or
   * where there is no prefix and so nothing that could have lost any of it. To be asked when the child has ended.
   */
  lost(bytes: number): ExecError | undefined
}

/** A program that could not be started, exited with another code than 0, or was ended by a signal. */
export class ChildError extends PgstowError {
  readonly program: string
  readonly exitStatus: number | undefined
  readonly signal: NodeJS.Signals | undefined
  /** The last 64 KiB of what it wrote to stderr. */
  readonly stderr: string

  constructor(
    program: string,
    message: string,
    detail: {
      status?: number | undefined
      signal?: NodeJS.Signals | undefined
      stderr?: string
      cause?: unknown
      hint?: string | undefined
    },
  ) {
    const { cause, hint = detail.signal === "SIGKILL" ? killedHint : undefined } = detail
    super("postgres", message, { cause, hint })
    this.name = "ChildError"
    this.program = program
    this.exitStatus = detail.status
    this.signal = detail.signal
    this.stderr = detail.stderr ?? ""
  }

  /** "exited with 1", "was ended by SIGKILL". */
  get ending(): string {
    return endingOf(this.exitStatus, this.signal)
  }
}

const killedHint = "The system may have run out of memory: look into its log, and give it more."
const stderrKeepBytes = 64 * 1024
const killAfterMs = 5_000
const closeAfterMs = 500
const terminateAfterMs = 2_500

/** All children that run, by how to end them. */
const running = new Map<ChildProcess, () => void>()

/** Ends every child that still runs, and resolves when none does: for the end of the program. */
export async function endChildren(): Promise<void> {
  const ends = [...running].map(([child, stop]) => {
    const closed = new Promise((resolve) => child.once("close", resolve))
    stop()
    return closed
  })
  await Promise.all(ends)
}

/** Ends every child that still runs, and waits for none: for who wants no more of the program. */
export function killChildren(): void {
  for (const child of running.keys()) child.kill("SIGKILL")
}

/**
 * Starts a program, through the prefix of PGSTOW_EXEC where its environment has one. Give another child's `stdin` as
 * `stdout` and the two are joined by the operating system: what flows between them never passes through Node. That end
 * is then closed here, so that the reader sees the writer's end.
 */
export function startChild(program: Program, options: ChildOptions = {}): Child {
  const { stdin = "ignore", stdout = "ignore", counted } = options
  const name = program.file.slice(program.file.lastIndexOf("/") + 1)
  const { file, args, env, behind } = throughPrefix(program, counted)
  const input = behind && stdin === "ignore" ? "pipe" : stdin
  const stdio: StdioOptions = [input, stdout, "pipe"]
  const child: ChildProcess = spawn(file, args, { stdio, env })
  if (behind) {
    // Where it can't be written, the program has ended, and `ended` says why.
    child.stdin?.on("error", () => {})
    child.stdin?.write(`${behind.firstLine}\n`)
    if (stdin === "ignore") child.stdin?.end()
  }

  let stderr = ""
  let partialLine = ""
  child.stderr?.setEncoding("utf8")
  const keep = (text: string) => {
    stderr = (stderr + text).slice(-stderrKeepBytes)
  }
  const hear = (line: string) => {
    const words = behind ? behind.farSide.otherThanOwn(line) : line
    if (words === undefined) return
    if (behind) keep(`${words}\n`)
    options.onStderr?.(words)
  }
  child.stderr?.on("data", (text: string) => {
    if (!behind) keep(text)
    if (!behind && !options.onStderr) return
    const lines = (partialLine + text).split(/\r?\n|\r/)
    partialLine = lines.pop() ?? ""
    for (const line of lines) hear(line)
  })

  const ended = new Promise<void>((resolve, reject) => {
    child.once("error", (cause: NodeJS.ErrnoException) => {
      if (child.pid !== undefined) return
      const missing = cause.code === "ENOENT"
      reject(
        new ChildError(
          name,
          missing
            ? `${file.slice(file.lastIndexOf("/") + 1)} is not installed (${file})`
            : `${name} could not be started`,
          {
            cause: missing ? undefined : cause,
          },
        ),
      )
    })
    child.once("close", (status, signal) => {
      if (partialLine !== "") hear(partialLine)
      const own = behind && (isLate || status === 0) ? farEnd(name, behind, isLate) : status
      if (own instanceof ExecError) return reject(own)
      if (own === 0) return resolve()
      const words = lastWords(stderr)
      const message = `${name} ${endingOf(own, signal)}${words === "" ? "" : `: ${words}`}`
      const failure = new ChildError(name, message, {
        status: own ?? undefined,
        signal: signal ?? undefined,
        stderr,
      })
      reject(options.explain?.(failure) ?? failure)
    })
  })
  // Whoever awaits `ended` hears of a failure; a failure before that is not an unhandled one.
  ended.catch(() => {})

  // The child has its own copy of these ends; ours would keep the other side waiting for ever.
  for (const end of [stdin, stdout]) if (typeof end !== "string") end.destroy()

  let isLate = false
  if (behind) {
    const start = setTimeout(() => {
      isLate = behind.farSide.pid() === undefined
      if (isLate) stop()
    }, behind.startsWithinSeconds * 1_000)
    child.once("close", () => clearTimeout(start))
  }

  let stopped = false
  const stop = () => {
    if (stopped) return
    stopped = true
    let timer: NodeJS.Timeout | undefined
    const after = (ms: number, step: () => void) => {
      clearTimeout(timer)
      timer = setTimeout(step, ms)
    }
    const terminate = () => {
      child.kill("SIGTERM")
      after(killAfterMs, () => child.kill("SIGKILL"))
    }
    const letGo = () => after(closeAfterMs, closePipes)
    child.once("close", () => clearTimeout(timer))
    const pid = behind?.farSide.pid()
    if (hasExited(child)) return letGo()
    child.once("exit", letGo)
    if (pid === undefined) return terminate()
    // Few prefixes hand signals on.
    killThere(program.env, pid)
    after(terminateAfterMs, terminate)
  }
  const closePipes = () => {
    for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe?.destroy()
  }
  if (child.pid !== undefined) running.set(child, stop)
  child.once("close", () => running.delete(child))
  if (options.signal?.aborted) stop()
  else options.signal?.addEventListener("abort", stop, { once: true })
  child.once("close", () => options.signal?.removeEventListener("abort", stop))

  return {
    name,
    pid: child.pid,
    get stdin() {
      if (!child.stdin) throw new TypeError(`${name} was started without a pipe for its input`)
      return child.stdin
    },
    get stdout() {
      if (!child.stdout) throw new TypeError(`${name} was started without a pipe for its output`)
      return child.stdout
    },
    stderr: () => stderr,
    kill: (signal) => child.kill(signal),
    stop,
    ended,
    lost: (bytes) => {
      if (!behind || !counted || behind.farSide.bytes() === bytes) return undefined
      return lostOnTheWay(name, behind.prefix, counted, bytes, behind.farSide.bytes())
    },
  }
}

function hasExited({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}

function endingOf(status: number | null | undefined, signal: NodeJS.Signals | null | undefined): string {
  return signal ? `was ended by ${signal}` : `exited with ${status}`
}

/** Ends a process behind a prefix, by another one that runs there. */
function killThere(environment: Program["env"], pid: number): void {
  const killer = { file: "sh", args: ["-c", 'kill "$1"', "sh", String(pid)], env: environment }
  const { file, args, env, behind } = throughPrefix(killer)
  const child = spawn(file, args, { stdio: ["pipe", "ignore", "ignore"], env })
  const limit = setTimeout(() => child.kill("SIGKILL"), terminateAfterMs)
  child.once("close", () => clearTimeout(limit))
  child.once("error", () => {}) // The prefix itself is ended next.
  child.stdin.on("error", () => {})
  child.stdin.end(`${behind?.firstLine}\n`)
}

/** The exit code of a program whose prefix exited with 0, or did not begin it in time: it alone says what became of it. */
function farEnd(
  name: string,
  { prefix, farSide, startsWithinSeconds }: Behind,
  isLate: boolean,
): number | ExecError {
  const status = farSide.status()
  if (status !== undefined) return status
  const how =
    farSide.pid() !== undefined
      ? `${prefix} ended, and how ${name} ended did not come through it`
      : isLate
        ? `${prefix} has not begun to run ${name} within ${startsWithinSeconds} s`
        : `${prefix} ended without having run ${name}`
  return new ExecError(how, {
    hint: `It must hand on input, output and errors as they are: try ${prefix} sh -c "echo hello >&2" by hand.`,
  })
}

function lostOnTheWay(
  name: string,
  prefix: string,
  counted: Counted,
  here: number,
  there: number | undefined,
): ExecError {
  const what = counted === "stdout" ? "the output" : "the input"
  const counts =
    there === undefined
      ? `its end is not known, after ${here} bytes`
      : counted === "stdout"
        ? `${name} wrote ${there} bytes, and ${here} came`
        : `${here} bytes were sent, and ${there} came`
  return new ExecError(`${what} of ${name} did not come through ${prefix} as it was: ${counts}`, {
    hint: "Its connection may have broken: try again, or connect to the server without it.",
    isCounted: there !== undefined,
  })
}

/** All that a program prints. Rejects as its `ended` does. */
export async function outputOf(program: Program, signal?: AbortSignal): Promise<string> {
  const child = startChild(program, { stdout: "pipe", signal })
  const output = text(child.stdout)
  // How it ended says more than that its output broke off.
  await Promise.allSettled([output, child.ended])
  await child.ended
  return output
}

/** The last lines of what a program said, on one line. */
function lastWords(stderr: string): string {
  return stderr
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .slice(-3)
    .join("; ")
}
