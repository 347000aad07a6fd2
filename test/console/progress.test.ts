import { execFileSync } from "node:child_process"
import { closeSync, constants, mkdtempSync, openSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import stringWidth from "string-width"
import { expect, onTestFinished, test, vi } from "vitest"
import { openLog } from "../../task/console/log.ts"
import { describeProgress, openProgress } from "../../task/console/progress.ts"
import { openTerminal } from "../../task/console/terminal.ts"

/** Somewhere to write to that keeps it. */
function screen(isTTY: boolean) {
  const written: string[] = []
  return { isTTY, columns: 200, written, write: (text: string) => written.push(text) }
}

function openAll(isTTY: boolean) {
  const output = screen(isTTY)
  const terminal = openTerminal(output, {})
  const log = openLog({ level: "info", terminal, now: () => new Date("2026-01-02T03:00:00Z") })
  const clock = { ms: 0 }
  return { output, terminal, log, clock, progress: openProgress(terminal, log, () => clock.ms) }
}

const mebibytes = (count: number) => count * 1024 * 1024

test("progress has its share, rate and expected end", () => {
  const update = {
    stage: "backing up orders",
    doneBytes: mebibytes(250),
    totalBytes: mebibytes(1000),
    detail: "main",
  }
  expect(describeProgress(update, { bytesPerSecond: mebibytes(50), columns: 200 })).toBe(
    "backing up orders  █████░░░░░░░░░░░░░░░ 25 %  250 MiB  50.0 MiB/s  15 s left  main",
  )
})

test("a total that was guessed too low is not spoken of any more", () => {
  const update = { stage: "backing up orders", doneBytes: mebibytes(250), totalBytes: mebibytes(200) }
  expect(describeProgress(update, { bytesPerSecond: mebibytes(50), columns: 200 })).toBe(
    "backing up orders  250 MiB  50.0 MiB/s",
  )
})

test("a terminal shows one line, ten times a second at most, and log lines stand above it", () => {
  const { output, log, clock, progress } = openAll(true)
  for (clock.ms = 0; clock.ms <= 1000; clock.ms += 10)
    progress.update({ stage: "verifying", doneBytes: clock.ms, totalBytes: 2000 })
  expect(output.written.length).toBeLessThanOrEqual(12)
  output.written.length = 0
  log.warn("slow")
  expect(output.written[0]).toBe("\r\x1b[K")
  expect(output.written[1]).toContain("warning: slow")
  expect(output.written[2]).toContain("verifying")
})

test("nothing is cut off at 80 columns: what matters least goes first, and long names lose their middle", () => {
  const update = {
    stage: "restoring into a_database_with_quite_a_long_name_restored_202601020300: rows and keys",
    doneBytes: mebibytes(250),
    totalBytes: mebibytes(1000),
    detail: "3 of 12, index 会社.注文_with_a_name_that_is_as_long_as_postgresql_lets_it_be_idx",
    estimate: () => ({ share: 0.5, secondsLeft: 75 }),
  }
  for (const columns of [200, 120, 100, 79, 60]) {
    const text = describeProgress(update, { bytesPerSecond: mebibytes(50), detailSeconds: 130, columns })
    expect(stringWidth(text)).toBeLessThanOrEqual(columns)
    expect(text).toContain("50 %")
    expect(text).toContain("1 min 15 s left")
    expect(text).toMatch(/2 min 10 s$/)
  }
  const short = describeProgress(update, { bytesPerSecond: mebibytes(50), columns: 79 })
  expect(short).toMatch(/^restoring.*….*keys {2}50 % {2}250 MiB {2}1 min 15 s left {2}3 of 12.*….*idx$/)
})

test("a line moves though nothing is heard, and says how long it has been at what is at hand", async () => {
  const { output, clock, progress } = openAll(true)
  progress.update({ stage: "restoring", doneBytes: 7, detail: "index a" })
  clock.ms = 61_000
  await vi.waitFor(() => expect(output.written.at(-1)).toContain("index a  1 min 1 s"), { timeout: 30_000 })
  progress.clear()
  const count = output.written.length
  await sleep(1_500)
  expect(output.written).toHaveLength(count)
})

test("without a terminal progress is a log line every minute, whatever the stages", () => {
  const { output, clock, progress } = openAll(false)
  for (clock.ms = 0; clock.ms <= 125_000; clock.ms += 1000)
    progress.update({
      stage: clock.ms < 90_000 ? "verifying" : "analyzing",
      doneBytes: clock.ms * 10,
      totalBytes: 2_000_000,
      estimate: () => ({ share: 0.375, secondsLeft: 9 }),
    })
  progress.clear()
  const lines = output.written.map((line): unknown => JSON.parse(line))
  expect(lines).toMatchObject([
    {
      level: "info",
      message: "verifying",
      doneBytes: 600_000,
      totalBytes: 2_000_000,
      bytesPerSecond: 10_000,
      percent: 37,
      secondsLeft: 9,
    },
    { level: "info", message: "analyzing", doneBytes: 1_200_000 },
  ])
})

test("the level decides what is logged", () => {
  const output = screen(false)
  const log = openLog({ level: "warn", terminal: openTerminal(output, {}), now: () => new Date(0) })
  for (const level of ["debug", "info", "warn", "error"] as const) log[level](level)
  const levels = output.written.map((line) => (JSON.parse(line) as { level: string }).level) // as openLog writes it
  expect(levels).toEqual(["warn", "error"])
})

test("a log file that is a pipe is not waited for: neither for somebody to read it, nor for room in it", () => {
  const folder = mkdtempSync(join(tmpdir(), "pgstow-log-"))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, "fifo")
  execFileSync("mkfifo", [file])
  const open = () =>
    openLog({ level: "info", file, terminal: openTerminal(screen(false), {}), now: () => new Date(0) })
  expect(open).toThrow(`the log file ${file} can't be written`)
  const reader = openSync(file, constants.O_RDWR | constants.O_NONBLOCK)
  const log = open()
  for (let line = 0; line < 3_000; line++) log.info("x".repeat(100))
  log.close()
  closeSync(reader)
})
