import { type Figures, figures, type Run, type Stage, type Summary, stages } from "./run.ts"
import type { Simulation } from "./simulate.ts"
import { checkTargets, type Target } from "./targets.ts"

/** What `results.json` holds. */
export type Results = {
  readonly format: 1
  /** Of the run that measured the stage. What is compared with each other is of one stage, and so of one run. */
  readonly startedAt: Readonly<Partial<Record<Stage, string>>>
  readonly machine: {
    readonly cores: number
    readonly cpu: string
    readonly memoryBytes: number
    readonly system: string
    readonly node: string
    readonly postgres: string
    /** Of the programs that take part. */
    readonly programs: Readonly<Record<string, string>>
  }
  readonly settings: {
    readonly isQuick: boolean
    /** Of the raw dump, as asked for; each run has what it came to. */
    readonly bytes: number
    readonly rounds: number
    readonly limitedBytesPerSecond: number
    readonly server: Readonly<Record<string, string>>
  }
  readonly targets: readonly Target[]
  readonly summaries: readonly Summary[]
  readonly simulations: readonly Simulation[]
  readonly runs: readonly Run[]
}

/** The runs of each pipeline as one, in the order in which the pipelines first come. */
export function summarize(runs: readonly Run[]): Summary[] {
  const groups = Map.groupBy(runs, ({ stage, id }) => `${stage} ${id}`)
  return [...groups.values()].flatMap((group) => {
    const [first] = group
    if (!first) return []
    const { stage, id, title, rawBytes } = first
    const of = (value: (run: Run) => number) => median(group.map(value))
    return [
      {
        stage,
        id,
        title,
        rawBytes,
        rounds: group.length,
        wallSeconds: of((run) => run.wallSeconds),
        clientCpuSeconds: of((run) => run.clientCpuSeconds),
        serverCpuSeconds: of((run) => run.serverCpuSeconds),
        peakBytes: of((run) => run.peakBytes),
        storedBytes: first.storedBytes === null ? null : of((run) => run.storedBytes ?? Number.NaN),
        ...(first.figures === undefined ? {} : { figures: figuresOf(group) }),
      },
    ]
  })
}

/** The medians of what else was measured in every run. */
function figuresOf(group: readonly Run[]): Figures {
  return Object.fromEntries(
    figures.flatMap((name) => {
      const values = group.flatMap((run) => run.figures?.[name] ?? [])
      return values.length === group.length ? [[name, median(values)]] : []
    }),
  )
}

/** The results of an earlier run, but for the stages that a later one measured again. Throws where they differ in more. */
export function replaceStages(earlier: Results, later: Results): Results {
  const circumstances = ({ machine, settings }: Results) => JSON.stringify({ machine, settings })
  if (circumstances(later) !== circumstances(earlier))
    throw new Error("the earlier results are of another machine, other programs or other settings")
  const kept = earlier.runs.filter(({ stage }) => later.startedAt[stage] === undefined)
  const runs = [...kept, ...later.runs].toSorted((a, b) => stages.indexOf(a.stage) - stages.indexOf(b.stage))
  const summaries = summarize(runs)
  return {
    ...earlier,
    startedAt: { ...earlier.startedAt, ...later.startedAt },
    targets: checkTargets(summaries),
    summaries,
    runs,
  }
}

/** Of an even number of values, the middle between the two in the middle. Throws where there is none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const [low, high] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[Math.floor(sorted.length / 2)]]
  if (low === undefined || high === undefined) throw new RangeError("nothing has no median")
  return (low + high) / 2
}
