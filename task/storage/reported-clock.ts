/** A clock elsewhere, as far as it is known. */
export type ReportedClock = {
  /** What it said just now. */
  report(time: Date): void
  /** What it says now; undefined before its first report. */
  now(): Date | undefined
}

export function reportedClock(): ReportedClock {
  let last: { readonly time: number; readonly heardAt: number } | undefined
  return {
    report: (time) => {
      // This machine's own clock may be set meanwhile: only its count of elapsed time is of use here.
      if (!Number.isNaN(time.getTime())) last = { time: time.getTime(), heardAt: performance.now() }
    },
    now: () => last && new Date(last.time + performance.now() - last.heardAt),
  }
}
