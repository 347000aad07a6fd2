import { readFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import type { Finished, Running } from "./pgstow.ts"

const sampleMs = 100

/**
 * Waits for the program's end, and gives the most memory, in bytes, that it and all its children had in use at once:
 * proportional set sizes, so that what they share counts once. Linux only.
 */
export async function peakMemory(
  running: Running,
): Promise<{ readonly finished: Finished; readonly peakBytes: number }> {
  let over = false
  let peakBytes = 0
  const finished = running.finished.finally(() => {
    over = true
  })
  while (!over) {
    const sizes = running.processes().map(({ pid }) => residentBytes(pid))
    peakBytes = Math.max(
      peakBytes,
      sizes.reduce((sum, bytes) => sum + bytes, 0),
    )
    await Promise.race([sleep(sampleMs), finished])
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
