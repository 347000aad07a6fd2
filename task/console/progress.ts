import { formatBytes, formatDuration } from "./format.ts"
import type { Log } from "./log.ts"
import type { Terminal } from "./terminal.ts"

/** How far a long piece of work has come. */
export type ProgressUpdate = {
  /** What is being done, a few words: "backing up orders". */
  readonly stage: string
  readonly doneBytes: number
  /** All there is to do, where that is known or can be guessed. */
  readonly totalBytes?: number | undefined
  /** What is at hand: the name of a table. */
  readonly detail?: string | undefined
}

export type Progress = {
  update(update: ProgressUpdate): void
  /** Takes the line away. */
  clear(): void
}

const terminalEveryMs = 100
const logEveryMs = 30_000

/** Shows progress as a line on a terminal, or as a log line every 30 s where there is none. */
export function openProgress(terminal: Terminal, log: Log, nowMs: () => number): Progress {
  let stage: { name: string; sinceMs: number; fromBytes: number } | undefined
  let shownAtMs = 0
  return {
    update: (update) => {
      const at = nowMs()
      if (stage?.name !== update.stage) {
        stage = { name: update.stage, sinceMs: at, fromBytes: update.doneBytes }
        shownAtMs = terminal.interactive ? 0 : at
      }
      if (at - shownAtMs < (terminal.interactive ? terminalEveryMs : logEveryMs)) return
      shownAtMs = at
      const seconds = (at - stage.sinceMs) / 1000
      const bytesPerSecond = seconds > 0 ? (update.doneBytes - stage.fromBytes) / seconds : 0
      if (terminal.interactive) terminal.status(describeProgress(update, bytesPerSecond))
      else {
        const { doneBytes, totalBytes, detail } = update
        log.info(update.stage, { doneBytes, totalBytes, bytesPerSecond: Math.round(bytesPerSecond), detail })
      }
    },
    clear: () => {
      stage = undefined
      terminal.status("")
    },
  }
}

/** One line: stage, share, bytes, rate, expected end, detail. */
export function describeProgress(update: ProgressUpdate, bytesPerSecond: number): string {
  const { stage, doneBytes, totalBytes, detail } = update
  const parts = [stage]
  // A guessed total may be passed: then it says nothing any more.
  const known = totalBytes !== undefined && totalBytes > 0 && doneBytes <= totalBytes
  if (known) parts.push(`${bar(doneBytes / totalBytes)} ${Math.floor((100 * doneBytes) / totalBytes)} %`)
  parts.push(formatBytes(doneBytes))
  if (bytesPerSecond > 0) {
    parts.push(`${formatBytes(bytesPerSecond)}/s`)
    if (known) parts.push(`${formatDuration((totalBytes - doneBytes) / bytesPerSecond)} left`)
  }
  if (detail !== undefined) parts.push(detail)
  return parts.join("  ")
}

const barWidth = 20

function bar(share: number): string {
  const filled = Math.round(share * barWidth)
  return "█".repeat(filled) + "░".repeat(barWidth - filled)
}
