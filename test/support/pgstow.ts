import { spawn } from "node:child_process"
import { resolve } from "node:path"

const script = resolve(import.meta.dirname, "../../task/main.ts")

export type Finished = { readonly exitCode: number | null; readonly stdout: string; readonly stderr: string }

export type Running = {
  readonly pid: number
  kill(signal: NodeJS.Signals): void
  /** What it has written to standard error so far. */
  stderr(): string
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
  const child = spawn(process.execPath, [script, ...args], {
    cwd: options.cwd ?? import.meta.dirname,
    env: { PATH: process.env.PATH, HOME: "/nonexistent", AWS_EC2_METADATA_DISABLED: "true", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  })
  let stdout = ""
  let stderr = ""
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text
  })
  const finished = new Promise<Finished>((done, fail) => {
    child.once("error", fail)
    child.once("close", (exitCode) => done({ exitCode, stdout, stderr }))
  })
  if (child.pid === undefined) throw new Error("the program could not be started")
  return { pid: child.pid, kill: (signal) => child.kill(signal), stderr: () => stderr, finished }
}

export function runPgstow(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  options: { readonly cwd?: string } = {},
): Promise<Finished> {
  return startPgstow(args, env, options).finished
}
