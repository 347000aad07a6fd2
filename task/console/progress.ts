import stringWidth from "string-width"
import { formatBytes, formatDuration, formatName } from "./format.ts"
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
  /** How much of all the work is done, and how long the rest takes, where bytes are not all of it; asked as it is shown. */
  readonly estimate?: (() => Estimate) | undefined
}

export type Estimate = {
  /** From 0 to 1. */
  readonly share: number
  readonly secondsLeft: number
}

export type Progress = {
  update(update: ProgressUpdate): void
  /** Takes the line away. */
  clear(): void
}

const terminalEveryMs = 100
const logEveryMs = 60_000
/** What is at hand for longer is said with its time. */
const longMs = 5_000
/** So often the line moves though nothing was heard, so that nobody takes it for dead. */
const tickMs = 1_000

type Shown = { readonly update: ProgressUpdate; readonly detailSinceMs: number }

/** Shows progress as a line on a terminal, or as a log line every minute where there is none. */
export function openProgress(terminal: Terminal, log: Log, nowMs: () => number): Progress {
  let stage: { name: string; sinceMs: number; fromBytes: number } | undefined
  let latest: Shown | undefined
  let shownAtMs = 0
  let ticking: NodeJS.Timeout | undefined
  const show = () => {
    if (!latest || !stage) return
    const at = nowMs()
    if (at - shownAtMs < (terminal.interactive ? terminalEveryMs : logEveryMs)) return
    shownAtMs = at
    const { update, detailSinceMs } = latest
    const seconds = (at - stage.sinceMs) / 1000
    const bytesPerSecond = seconds > 0 ? (update.doneBytes - stage.fromBytes) / seconds : 0
    const lastsMs = at - detailSinceMs
    if (terminal.interactive)
      terminal.status(
        describeProgress(update, {
          bytesPerSecond,
          detailSeconds: lastsMs >= longMs ? lastsMs / 1000 : undefined,
          columns: terminal.columns() - 1,
        }),
      )
    else {
      const { doneBytes, totalBytes, detail, estimate } = update
      const { share, secondsLeft } = estimate?.() ?? {}
      log.info(update.stage, {
        doneBytes,
        totalBytes,
        bytesPerSecond: Math.round(bytesPerSecond),
        detail,
        detailSeconds: detail === undefined ? undefined : Math.round(lastsMs / 1000),
        percent: share === undefined ? undefined : Math.floor(100 * share),
        secondsLeft: secondsLeft === undefined ? undefined : Math.round(secondsLeft),
      })
    }
  }
  return {
    update: (update) => {
      const at = nowMs()
      if (stage?.name !== update.stage) {
        // What comes after another thing is not silent for longer than that.
        if (!stage) shownAtMs = at
        if (terminal.interactive) shownAtMs = 0
        stage = { name: update.stage, sinceMs: at, fromBytes: update.doneBytes }
      }
      const isSame = latest?.update.stage === update.stage && latest.update.detail === update.detail
      latest = { update, detailSinceMs: isSame && latest ? latest.detailSinceMs : at }
      ticking ??= setInterval(show, tickMs).unref()
      show()
    },
    clear: () => {
      clearInterval(ticking)
      ticking = undefined
      stage = undefined
      latest = undefined
      terminal.status("")
    },
  }
}

/** How a line is made: what was measured, and how wide it may be. */
export type ProgressLine = {
  readonly bytesPerSecond: number
  /** How long it has been at what is at hand; undefined where that is not worth saying. */
  readonly detailSeconds?: number | undefined
  readonly columns: number
}

/** One line: stage, share, bytes, rate, expected end, detail. Where it would be too long, the least goes first. */
export function describeProgress(update: ProgressUpdate, line: ProgressLine): string {
  const { stage, doneBytes, totalBytes, detail, estimate } = update
  const { bytesPerSecond, detailSeconds, columns } = line
  // A guessed total may be passed: then it says nothing any more.
  const ofBytes =
    totalBytes !== undefined && totalBytes > 0 && doneBytes <= totalBytes
      ? {
          share: doneBytes / totalBytes,
          secondsLeft: bytesPerSecond > 0 ? (totalBytes - doneBytes) / bytesPerSecond : undefined,
        }
      : undefined
  const known = estimate?.() ?? ofBytes
  const percent = known && `${Math.floor(100 * known.share)} %`
  const left = known?.secondsLeft === undefined ? undefined : `${formatDuration(known.secondsLeft)} left`
  const lasts = detailSeconds === undefined ? undefined : formatDuration(detailSeconds)
  const rate = bytesPerSecond > 0 ? `${formatBytes(bytesPerSecond)}/s` : undefined
  const build = (barWidth: number, withRate: boolean, words: number, withBytes = true) =>
    [
      shortened(formatName(stage), words),
      known && barWidth > 0 ? `${bar(known.share, barWidth)} ${percent}` : percent,
      withBytes || percent === undefined ? formatBytes(doneBytes) : undefined,
      withRate ? rate : undefined,
      left,
      detail === undefined ? undefined : shortened(formatName(detail), words),
      lasts,
    ]
      .filter((part) => part !== undefined && part !== "")
      .join("  ")
  const whole = Number.POSITIVE_INFINITY
  const candidates = [
    () => build(fullBar, true, whole),
    () => build(shortBar, true, whole),
    () => build(shortBar, false, whole),
    () => build(0, false, whole),
    ...[30, 24, 20, 16].map((words) => () => build(0, false, words)),
    ...[24, 20, 16, 12, 8].map((words) => () => build(0, false, words, false)),
  ]
  for (const candidate of candidates) {
    const text = candidate()
    if (stringWidth(text) <= columns) return text
  }
  return shortened(build(0, false, 8, false), columns)
}

const fullBar = 20
const shortBar = 10

function bar(share: number, width: number): string {
  const filled = Math.round(share * width)
  return "█".repeat(filled) + "░".repeat(width - filled)
}

const graphemes = new Intl.Segmenter("en")

/** At most so many columns of a text, with its middle left out. Both ends of a name may tell it from others. */
function shortened(text: string, columns: number): string {
  if (stringWidth(text) <= columns) return text
  const characters = Array.from(graphemes.segment(text), ({ segment }) => segment)
  const half = (columns - 1) / 2
  return `${within(characters, Math.floor(half))}…${within(characters.toReversed(), Math.ceil(half), true)}`
}

function within(characters: readonly string[], columns: number, isReversed = false): string {
  const taken: string[] = []
  let width = 0
  for (const character of characters) {
    width += stringWidth(character)
    if (width > columns) break
    taken.push(character)
  }
  return (isReversed ? taken.toReversed() : taken).join("")
}
