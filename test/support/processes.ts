import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import type { Program } from "../../task/processes/program.ts"

/** A program of `test/fixtures/programs`. */
export function fixture(name: string, ...args: (string | number)[]): Program {
  const file = join(import.meta.dirname, "../fixtures/programs", name)
  return { file, args: args.map(String), env: { PATH: process.env.PATH } }
}

export function isRunning(pid: number | undefined): boolean {
  if (pid === undefined) return false
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** A running process. */
export type ProcessInfo = { readonly pid: number; readonly name: string; readonly args: readonly string[] }

/** The running processes of a session (setsid), as Linux tells of them in /proc; none where there is no /proc. */
export function processesOfSession(session: number): ProcessInfo[] {
  return processes().filter((process) => process.session === session)
}

/** The running processes that have this text in their arguments. */
export function processesNaming(text: string): ProcessInfo[] {
  return processes().filter(({ args }) => args.some((arg) => arg.includes(text)))
}

function processes(): (ProcessInfo & { readonly session: number })[] {
  return pids().flatMap((pid) => {
    const stat = readProc(pid, "stat")
    const [, name = "", state, session] = /^\d+ \((.*)\) (\S) \d+ \d+ (\d+) /s.exec(stat) ?? []
    // A zombie has ended, and waits for its parent to notice.
    if (session === undefined || state === "Z") return []
    return [{ pid, name, session: Number(session), args: readProc(pid, "cmdline").split("\0").slice(0, -1) }]
  })
}

function pids(): number[] {
  try {
    return readdirSync("/proc").map(Number).filter(Number.isInteger)
  } catch {
    return []
  }
}

/** "" where the process has ended. */
function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8")
  } catch {
    return ""
  }
}

/** Whether a thread of a process waits for the other side of a FIFO, as far as Linux tells. */
export function waitsForFifo(pid: number): boolean {
  const threads = existsSync(`/proc/${pid}/task`) ? readdirSync(`/proc/${pid}/task`) : []
  return threads.some((thread) => readProc(pid, `task/${thread}/wchan`) === "wait_for_partner")
}
