import { type ChildProcess, spawn } from "node:child_process"
import { type Behind, throughPrefix } from "./exec-prefix.ts"
import type { Program } from "./program.ts"

const killAfterMs = 5_000
const closeAfterMs = 500
const terminateAfterMs = 2_500

/**
 * What ends a running program: SIGTERM, and SIGKILL 5 s later where that did not help; behind a prefix, SIGTERM to
 * the program there before that. What it has started itself may go on and hold its pipes open: this side of them is
 * closed then.
 */
export function stopperOf(child: ChildProcess, program: Program, behind: Behind | undefined): () => void {
  let stopped = false
  return () => {
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
    const letGo = () => after(closeAfterMs, () => closePipes(child))
    child.once("close", () => clearTimeout(timer))
    const pid = behind?.farSide.pid()
    if (hasExited(child)) return letGo()
    child.once("exit", letGo)
    if (pid === undefined) return terminate()
    // Few prefixes hand signals on.
    killThere(program, pid)
    after(terminateAfterMs, terminate)
  }
}

function hasExited({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}

function closePipes({ stdin, stdout, stderr }: ChildProcess): void {
  for (const pipe of [stdin, stdout, stderr]) pipe?.destroy()
}

/** Ends a process where the program runs behind a prefix, by another one there. */
function killThere(program: Program, pid: number): void {
  const killer = { ...program, file: "sh", args: ["-c", 'kill "$1"', "sh", String(pid)] }
  const { file, args, env, behind } = throughPrefix(killer)
  const child = spawn(file, args, { stdio: ["pipe", "ignore", "ignore"], env })
  const limit = setTimeout(() => child.kill("SIGKILL"), terminateAfterMs)
  child.once("close", () => clearTimeout(limit))
  child.once("error", () => {}) // The prefix itself is ended next.
  child.stdin.on("error", () => {})
  child.stdin.end(`${behind?.firstLine}\n`)
}
