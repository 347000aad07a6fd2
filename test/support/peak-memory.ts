import { readFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"

const sampleMs = 100
/** Looking into many gigabytes takes long, and stops the program meanwhile: then it is done less often. */
const mostTimeShare = 1 / 20

/** Processes that will have ended when `finished` settles. */
export type Observed<Result> = {
  processes(): readonly { readonly pid: number }[]
  readonly finished: Promise<Result>
}

/**
 * Waits for the program's end, and gives the most memory, in bytes, that it and all its children had in use at once:
 * proportional set sizes, so that what they share counts once. Linux only.
 */
export async function peakMemory<Result>(
  running: Observed<Result>,
): Promise<{ readonly finished: Result; readonly peakBytes: number }> {
  let over = false
  let peakBytes = 0
  const finished = running.finished.finally(() => {
    over = true
  })
  while (!over) {
    const began = process.cpuUsage()
    const sizes = running.processes().map(({ pid }) => residentBytes(pid))
    peakBytes = Math.max(
      peakBytes,
      sizes.reduce((sum, bytes) => sum + bytes, 0),
    )
    // Not what the clock says, which others who use the machine make go on.
    const { user, system } = process.cpuUsage(began)
    const tookMs = (user + system) / 1000
    await Promise.race([sleep(Math.max(sampleMs, tookMs / mostTimeShare)), finished])
  }
  return { finished: await finished, peakBytes }
}

/** 0 where the process has just ended. */
function residentBytes(pid: number): number {
  try {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")
    return Number(/^Pss: +(\d+) kB$/m.exec(rollup)?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}
