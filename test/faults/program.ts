import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { type ProcessInfo, processesOfSession } from "../support/processes.ts"

export type RunOptions = {
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  /** How long it may take before it counts as hanging, and is ended. 90 s by default. */
  readonly withinMs?: number
  /** Called as soon as it runs. */
  readonly onStart?: ((running: Running) => void) | undefined
  /** Looks at how much memory and time of the processors it takes. */
  readonly measure?: boolean
  /** Written to its standard input, which is empty by default. */
  readonly input?: string
}

export type Running = {
  readonly pid: number
  /** False once it has ended. */
  readonly isRunning: () => boolean
  readonly kill: (signal: NodeJS.Signals) => void
  /** The program and what it started, as far as they run now. */
  readonly processes: () => ProcessInfo[]
}

export type Ended = {
  /** Null where a signal ended it. */
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  readonly ms: number
  /** The most memory that it had itself, without what it started; 0 where nobody looked. */
  readonly peakBytes: number
  /** How long the processors worked for it, likewise. */
  readonly cpuMs: number
  /** What it started and left running, seconds after its end. */
  readonly left: readonly string[]
  /** It did not end by itself. */
  readonly hung: boolean
}

/** How long what a program started may outlive it. */
const leftWithinMs = 8_000

/** Runs a program of Node's in a session of its own, without a terminal, to its end. */
export async function runProgram(
  file: string,
  args: readonly string[],
  { env, cwd, withinMs = 90_000, onStart, input, measure = false }: RunOptions,
): Promise<Ended> {
  const startedAt = performance.now()
  const child = spawn(process.execPath, [file, ...args], {
    cwd,
    env: { PATH: process.env.PATH, HOME: "/nonexistent", AWS_EC2_METADATA_DISABLED: "true", ...env },
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    detached: true,
  })
  const { pid } = child
  if (pid === undefined) throw new Error("the program could not be started")
  const out: Buffer[] = []
  const errors: Buffer[] = []
  child.stdout?.on("data", (bytes: Buffer) => out.push(bytes))
  child.stderr?.on("data", (bytes: Buffer) => errors.push(bytes))
  child.stdin?.on("error", () => {}).end(input)
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()))
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()))

  let hung = false
  const patience = setTimeout(() => {
    hung = true
    killSession(pid)
  }, withinMs)
  let peakBytes = 0
  let cpuMs = 0
  const watching = measure
    ? setInterval(() => {
        peakBytes = Math.max(peakBytes, peakMemoryOf(pid))
        cpuMs = Math.max(cpuMs, cpuTimeOf(pid))
      }, 10)
    : undefined
  onStart?.({
    pid,
    isRunning: () => child.exitCode === null && child.signalCode === null,
    kill: (signal) => child.kill(signal),
    processes: () => processesOfSession(pid),
  })
  await exited
  clearTimeout(patience)
  clearInterval(watching)
  const ms = performance.now() - startedAt
  const left = await leftOf(pid)
  if (left.length > 0) killSession(pid)
  await closed
  return {
    exitCode: child.exitCode,
    signal: child.signalCode,
    stdout: Buffer.concat(out).toString(),
    stderr: Buffer.concat(errors).toString(),
    ms,
    peakBytes,
    cpuMs,
    left,
    hung,
  }
}

async function leftOf(session: number): Promise<string[]> {
  for (const startedAt = performance.now(); ; await sleep(20)) {
    const left = processesOfSession(session).map(({ pid, args }) => `${pid} ${args.join(" ")}`)
    if (left.length === 0 || performance.now() - startedAt > leftWithinMs) return left
  }
}

function killSession(session: number): void {
  for (const { pid } of processesOfSession(session)) {
    try {
      process.kill(pid, "SIGKILL")
    } catch {
      // It has just ended by itself.
    }
  }
}

/** The most memory that a running process has had so far, in bytes; 0 where it has ended. */
function peakMemoryOf(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readProc(pid, "status"))?.[1] ?? 0) * 1024
}

/** How long the processors have worked for a running process so far, in milliseconds; 0 where it has ended. */
function cpuTimeOf(pid: number): number {
  const [, user = 0, system = 0] = /\) \S(?: -?\d+){10} (\d+) (\d+) /.exec(readProc(pid, "stat")) ?? []
  // Linux tells it in hundredths of a second.
  return (Number(user) + Number(system)) * 10
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8")
  } catch {
    return ""
  }
}
