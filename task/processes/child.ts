import { type ChildProcess, spawn } from "node:child_process"
import type { Readable, Writable } from "node:stream"
import { text } from "node:stream/consumers"
import type { FailureKind } from "../errors.ts"
import { ChildError, endingOf } from "./child-error.ts"
import { type Behind, farEnd, lossOf, throughPrefix } from "./exec-prefix.ts"
import { type Counted, ExecError } from "./far-side.ts"
import type { Program } from "./program.ts"
import { stopperOf } from "./stop-child.ts"

export type ChildOptions = {
  /** Ends the child. */
  readonly signal?: AbortSignal | undefined
  readonly stdin?: "ignore" | "pipe" | Readable
  readonly stdout?: "ignore" | "pipe" | Writable
  /** The stream that the other side of a prefix counts, so that `lost` can tell whether all of it came through. */
  readonly counted?: Counted | undefined
  /** Called with every line of stderr as it comes. */
  readonly onStderr?: ((line: string) => void) | undefined
  /** Who runs it, where that is another than the user of this process: root alone can say so. */
  readonly user?: SystemUser | undefined
  /** Whether it has a session of its own, so that Ctrl-C in a terminal does not reach it. */
  readonly ownSession?: boolean
  /** The kind of its failure; without it, that of a program between a database and a storage. */
  readonly failureKind?: FailureKind | undefined
  /** What `ended` rejects with instead, by who knows the program's words. */
  readonly explain?: ((failure: ChildError) => ChildError) | undefined
}

/** A user of this system, by numbers. */
export type SystemUser = { readonly uid: number; readonly gid: number }

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

/** How a child ends with the program: `stop` lets it end what it does, `kill` does not. */
export type Ends = { readonly stop: () => void; readonly kill: () => void }

/** All children that run, by how to end them. */
const running = new Map<ChildProcess, Ends>()

/** Counts a child, however it was started, among those that end with the program. */
export function endWithProgram(child: ChildProcess, ends: Ends): void {
  if (child.pid !== undefined) running.set(child, ends)
  child.once("close", () => running.delete(child))
}

/** Ends every child that still runs, and resolves when none does: for the end of the program. */
export async function endChildren(): Promise<void> {
  const ends = [...running].map(([child, { stop }]) => {
    const closed = new Promise((resolve) => child.once("close", resolve))
    stop()
    return closed
  })
  await Promise.all(ends)
}

/** Kills every child that still runs, and waits for none: for a user who does not want to wait. */
export function killChildren(): void {
  for (const { kill } of running.values()) kill()
}

/**
 * Starts a program, through its prefix where it has one. Give another child's `stdin` as `stdout` and the two are
 * joined by the operating system: what flows between them never passes through Node. That end is then closed here, so
 * that the reader sees the writer's end.
 */
export function startChild(program: Program, options: ChildOptions = {}): Child {
  const { stdin = "ignore", stdout = "ignore", counted, signal } = options
  const { file, args, env, behind } = throughPrefix(program, counted)
  const input = behind && stdin === "ignore" ? "pipe" : stdin
  const child: ChildProcess = spawn(file, args, {
    stdio: [input, stdout, "pipe"],
    env,
    detached: options.ownSession ?? false,
    // It may have no right to be in this one.
    ...(options.user ? { ...options.user, cwd: "/" } : {}),
  })
  const name = nameOf(program.file)
  if (behind) sendFirstLine(child, behind, stdin === "ignore")
  const errors = hearErrors(child, behind, options.onStderr)
  const stop = stopperOf(child, program, behind)
  const isLate = behind ? stopWhereLate(child, behind, stop) : () => false
  const ended = endOf(child, { name, file, behind, errors, isLate }, options)
  // A failure before anybody awaits `ended` is not an unhandled one.
  ended.catch(() => {})

  // The child has its own copy of these ends; ours would keep the other side waiting for ever.
  for (const end of [stdin, stdout]) if (typeof end !== "string") end.destroy()
  endWithProgram(child, { stop, kill: () => child.kill("SIGKILL") })
  if (signal?.aborted) stop()
  else signal?.addEventListener("abort", stop, { once: true })
  child.once("close", () => signal?.removeEventListener("abort", stop))

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
    stderr: () => errors.text(),
    kill: (signal) => child.kill(signal),
    stop,
    ended,
    lost: (bytes) => (behind && counted ? lossOf(name, behind, counted, bytes) : undefined),
  }
}

function nameOf(file: string): string {
  return file.slice(file.lastIndexOf("/") + 1)
}

function sendFirstLine({ stdin }: ChildProcess, { firstLine }: Behind, isAll: boolean): void {
  // Where it can't be written, the program has ended, and `ended` says why.
  stdin?.on("error", () => {})
  stdin?.write(`${firstLine}\n`)
  if (isAll) stdin?.end()
}

const stderrKeepBytes = 64 * 1024

type Errors = {
  /** The last of what the program said. */
  text(): string
  /** To be called at the end, for what has no end of line. */
  end(): void
}

/** Listens to what the program says on stderr; what the far side of a prefix says for itself is not the program's. */
function hearErrors(
  { stderr }: ChildProcess,
  behind: Behind | undefined,
  onLine: ChildOptions["onStderr"],
): Errors {
  let kept = ""
  let partialLine = ""
  const keep = (text: string) => {
    kept = (kept + text).slice(-stderrKeepBytes)
  }
  const hear = (line: string) => {
    const words = behind ? behind.farSide.otherThanOwn(line) : line
    if (words === undefined) return
    if (behind) keep(`${words}\n`)
    onLine?.(words)
  }
  stderr?.setEncoding("utf8")
  stderr?.on("data", (text: string) => {
    if (!behind) keep(text)
    if (!behind && !onLine) return
    const lines = (partialLine + text).split(/\r?\n|\r/)
    partialLine = lines.pop() ?? ""
    for (const line of lines) hear(line)
  })
  return {
    text: () => kept,
    end: () => {
      if (partialLine !== "") hear(partialLine)
    },
  }
}

/** Stops a program that its prefix has not begun in time, and tells whether that was so. */
function stopWhereLate(child: ChildProcess, { prefix, farSide }: Behind, stop: () => void): () => boolean {
  let isLate = false
  const start = setTimeout(() => {
    isLate = farSide.pid() === undefined
    if (isLate) stop()
  }, prefix.startsWithinSeconds * 1_000)
  child.once("close", () => clearTimeout(start))
  return () => isLate
}

type Started = {
  readonly name: string
  /** What was started in fact. */
  readonly file: string
  readonly behind: Behind | undefined
  readonly errors: Errors
  readonly isLate: () => boolean
}

/** What `ended` is. */
function endOf(child: ChildProcess, started: Started, { failureKind, explain }: ChildOptions): Promise<void> {
  const { name, file, behind, errors, isLate } = started
  return new Promise<void>((resolve, reject) => {
    child.once("error", (cause: NodeJS.ErrnoException) => {
      if (child.pid !== undefined) return
      const isMissing = cause.code === "ENOENT"
      const message = isMissing
        ? `${nameOf(file)} is not installed (${file})`
        : `${name} could not be started`
      reject(new ChildError(name, message, { kind: failureKind, cause: isMissing ? undefined : cause }))
    })
    child.once("close", (status, signal) => {
      errors.end()
      const own = behind && (isLate() || status === 0) ? farEnd(name, behind, isLate()) : status
      if (own instanceof ExecError) return reject(own)
      if (own === 0) return resolve()
      const words = lastWords(errors.text())
      const message = `${name} ${endingOf(own, signal)}${words === "" ? "" : `: ${words}`}`
      const failure = new ChildError(name, message, {
        kind: failureKind,
        status: own ?? undefined,
        signal: signal ?? undefined,
        stderr: errors.text(),
      })
      reject(explain?.(failure) ?? failure)
    })
  })
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

/** All that a program prints. Rejects as its `ended` does. */
export async function outputOf(program: Program, signal?: AbortSignal): Promise<string> {
  const child = startChild(program, { stdout: "pipe", signal })
  const output = text(child.stdout)
  // How it ended says more than that its output broke off.
  await Promise.allSettled([output, child.ended])
  await child.ended
  return output
}
