/** What is measured, each with the runs of its own. */
export const stages = ["backup", "restore", "limited", "memory", "trust"] as const
export type Stage = (typeof stages)[number]

/** One run of one pipeline. */
export type Run = {
  readonly stage: Stage
  /** The pipeline's. */
  readonly id: string
  readonly title: string
  /** From 1. */
  readonly round: number
  readonly wallSeconds: number
  readonly clientCpuSeconds: number
  readonly serverCpuSeconds: number
  readonly peakBytes: number
  /** What it left behind where backups are kept; null where it stores nothing. */
  readonly storedBytes: number | null
  /** Of the database, as `pg_dump -Fc -Z0` gives it out; 0 where none is read. */
  readonly rawBytes: number
  /** What else was measured. */
  readonly figures?: Figures
}

export type Figures = Readonly<Partial<Record<Figure, number>>>

/** In seconds, in bytes, or how many. */
export const figures = [
  "tables",
  "longestStatementSeconds",
  "locksBeyondAccessShare",
  "restoreSeconds",
  "startSeconds",
  "backups",
  "pageBytes",
  "readySeconds",
] as const
export type Figure = (typeof figures)[number]

/** The medians of a pipeline's runs. */
export type Summary = Omit<Run, "round"> & { readonly rounds: number }
