import { spawn } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { peakMemory } from "../support/peak-memory.ts"
import { processesOfSession } from "../support/processes.ts"

/** What a run took. */
export type Measured = {
  readonly wallSeconds: number
  /** User and system time of all programs of the run, as far as they were waited for. */
  readonly clientCpuSeconds: number
  /** The same of the PostgreSQL server and all its processes meanwhile. */
  readonly serverCpuSeconds: number
  /** The most memory that the run's programs had in use at once (proportional set sizes, sampled). */
  readonly peakBytes: number
}

/** A bash script, which ends at its first failure, also in a pipe, and leaves nothing running. */
export type Script = {
  readonly script: string
  readonly env: Readonly<Record<string, string>>
  /** For files of the measurement; it must exist. */
  readonly folder: string
}

const stderrShown = 2_000

/**
 * Runs a script to its end and measures it. Rejects where it fails, with its last words; ends all that it started
 * where `signal` aborts. Linux only.
 */
export async function measure(
  { script, env, folder }: Script,
  options: { readonly serverFolder: string; readonly signal: AbortSignal },
): Promise<Measured> {
  const { serverFolder, signal } = options
  signal.throwIfAborted()
  const times = join(folder, "times")
  const serverBefore = serverCpuSeconds(serverFolder)
  const began = performance.now()
  const child = spawn("bash", ["-c", `trap 'times > "$BENCH_TIMES"' EXIT\nset -euo pipefail\n${script}`], {
    env: { ...env, BENCH_TIMES: times },
    stdio: ["ignore", "ignore", "pipe"],
    cwd: folder,
    // A session of its own, by which everything that it starts can be told.
    detached: true,
  })
  const { pid } = child
  if (pid === undefined) throw new Error("bash could not be started")
  const stop = () => {
    for (const { pid: one } of processesOfSession(pid)) kill(one)
  }
  signal.addEventListener("abort", stop)
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject).once("exit", resolve)
  })
  const wallSeconds = exited.then(() => (performance.now() - began) / 1000)
  const finished = Promise.all([exited, text(child.stderr), wallSeconds])
  try {
    const {
      finished: [exitCode, stderr, seconds],
      peakBytes,
    } = await peakMemory({ processes: () => processesOfSession(pid), finished })
    signal.throwIfAborted()
    if (exitCode !== 0) throw new Error(`exited with ${exitCode}: ${stderr.slice(-stderrShown).trim()}`)
    return {
      wallSeconds: seconds,
      clientCpuSeconds: secondsIn(await readFile(times, "utf8")),
      serverCpuSeconds: serverCpuSeconds(serverFolder) - serverBefore,
      peakBytes,
    }
  } finally {
    signal.removeEventListener("abort", stop)
    stop()
  }
}

/** The sum of what bash's `times` prints: the shell's own and its children's times. */
function secondsIn(times: string): number {
  const parts = [...times.matchAll(/(\d+)m([\d.]+)s/g)]
  if (parts.length !== 4) throw new Error(`bash does not say what time it took: ${times}`)
  return parts.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0)
}

/** By Linux's unit of /proc: USER_HZ is 100 on all machines that Node runs on. */
const ticksASecond = 100

/** What the server in a folder has used so far: itself, its processes that have ended, and those that run. */
function serverCpuSeconds(folder: string): number {
  const postmaster = Number(readFileSync(join(folder, "data/postmaster.pid"), "utf8").split("\n")[0])
  let ticks = 0
  for (const pid of readdirSync("/proc").map(Number).filter(Number.isInteger)) {
    const [parent, own, ofChildren] = cpuTicks(pid)
    if (pid === postmaster) ticks += own + ofChildren
    else if (parent === postmaster) ticks += own
  }
  return ticks / ticksASecond
}

/** The parent's id, and the ticks of a process and of its children that were waited for; zeros where it has ended. */
function cpuTicks(pid: number): readonly [parent: number, own: number, ofChildren: number] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    // After the name, which may hold anything: state, parent, … (proc_pid_stat(5)).
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    const at = (index: number) => Number(fields[index])
    return [at(1), at(11) + at(12), at(13) + at(14)]
  } catch {
    return [0, 0, 0]
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // It has just ended.
  }
}
