import { spawn } from "node:child_process"
import { constants } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"
import { inject } from "vitest"
import { type ProcessInfo, processesOfSession } from "./processes.ts"

export type Finished = { readonly exitCode: number | null; readonly stdout: string; readonly stderr: string }

export type Running = {
  readonly pid: number
  kill(signal: NodeJS.Signals): void
  /** Sends a signal to the program and to all that it started, as Ctrl-C in a terminal does. */
  killAll(signal: NodeJS.Signals): void
  /** The program and what it started, as far as they run now. */
  processes(): ProcessInfo[]
  /** What it has written to standard error so far. */
  stderr(): string
  /** Rejects where the program leaves something running that it started. */
  readonly finished: Promise<Finished>
}

/**
 * Starts the program as its user would, as a process of its own without a terminal. The environment is what is
 * given and the PATH, so that nothing of the tester's own settings gets in.
 */
export function startPgstow(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  options: { readonly cwd?: string } = {},
): Running {
  const child = spawn(process.execPath, [inject("program"), ...args], {
    cwd: options.cwd ?? import.meta.dirname,
    env: {
      PATH: process.env.PATH,
      HOME: "/nonexistent",
      AWS_EC2_METADATA_DISABLED: "true",
      NODE_COMPILE_CACHE: inject("compileCache"),
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
    // A session of its own, by which everything that it starts can be told.
    detached: true,
  })
  const { pid } = child
  if (pid === undefined) throw new Error("the program could not be started")
  let stdout = ""
  let stderr = ""
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text
  })
  const closed = new Promise<[status: number | null, signal: NodeJS.Signals | null]>((done, fail) => {
    child.once("error", fail)
    child.once("close", (...how) => done(how))
  })
  const finished = closed.then(async ([status, signal]): Promise<Finished> => {
    const left = await leftOf(pid)
    if (left.length > 0) throw new Error(`the program left behind: ${left.join("; ")}`)
    // As a shell has it.
    const exitCode = signal === null ? status : 128 + constants.signals[signal]
    return { exitCode, stdout, stderr }
  })
  return {
    pid,
    kill: (signal) => child.kill(signal),
    killAll: (signal) => process.kill(-pid, signal),
    processes: () => processesOfSession(pid),
    stderr: () => stderr,
    finished,
  }
}

export function runPgstow(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  options: { readonly cwd?: string } = {},
): Promise<Finished> {
  return startPgstow(args, env, options).finished
}

/** What goes on running of a session. What it killed takes a moment to be gone, and longer where others work too. */
async function leftOf(session: number): Promise<string[]> {
  for (const startedAt = performance.now(); ; await sleep(20)) {
    const left = processesOfSession(session).map(({ args }) => args.join(" "))
    if (left.length === 0 || performance.now() - startedAt > 1_000) return left
  }
}
