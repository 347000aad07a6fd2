import type { Figure, Stage, Summary } from "./run.ts"

/** What is to be reached, beside what was. */
export type Target = {
  readonly title: string
  readonly goal: string
  readonly measured: string
  readonly isMet: boolean
}

const mebibyte = 1024 ** 2

type Bound = { readonly most: number } | { readonly least: number }
type Wanted = {
  readonly title: string
  readonly bound: Bound
  readonly unit: string
  readonly digits: number
  /** Undefined where what it needs was not measured. */
  readonly value: number | undefined
}

/** Every target whose pipelines were measured. */
export function checkTargets(summaries: readonly Summary[]): Target[] {
  const of = (stage: Stage, id: string) =>
    summaries.find((summary) => summary.stage === stage && summary.id === id)
  const ratio = (
    stage: Stage,
    over: string,
    under: string,
    value: (of: Summary) => number | null = ({ wallSeconds }) => wallSeconds,
  ) => {
    const [a, b] = [of(stage, over), of(stage, under)]
    const [top, bottom] = [a && value(a), b && value(b)]
    return top && bottom ? top / bottom : undefined
  }
  const stored = ({ storedBytes }: Summary) => storedBytes
  const peak = ({ peakBytes }: Summary) => peakBytes
  const pgstow = of("backup", "pgstow-2")
  const times = { unit: " ×", digits: 2 }
  const [doctor, drill, report] = [of("trust", "doctor"), of("trust", "drill"), of("trust", "report")]
  const figure = (summary: Summary | undefined, name: Figure) => summary?.figures?.[name] ?? Number.NaN
  const seconds = { unit: " s", digits: 2 }

  const wanted: readonly Wanted[] = [
    {
      title: "backup at 2 jobs: wall time against the floor's",
      bound: { most: 1 },
      ...times,
      value: ratio("backup", "pgstow-2", "floor"),
    },
    ...[
      ["Sentinel's pipeline", "sentinel", 4.5] as const,
      ["Emiti's", "emiti", 5] as const,
      ["pg_dump -Fc | age", "gzip-age", 3.4] as const,
    ].map(([title, id, least]) => ({
      title: `backup at 2 jobs: faster than ${title}`,
      bound: { least },
      ...times,
      value: ratio("backup", id, "pgstow-2"),
    })),
    ...[
      ["Sentinel's", "sentinel"] as const,
      ["Emiti's", "emiti"] as const,
      ["pg_dump -Fc | age's", "gzip-age"] as const,
    ].map(([title, id]) => ({
      title: `stored size against ${title}`,
      bound: { most: 1 },
      ...times,
      value: ratio("backup", "pgstow-2", id, stored),
    })),
    {
      title: "client CPU at 2 jobs, for each GB of raw dump",
      bound: { most: 6.5 },
      unit: " s",
      digits: 2,
      value: pgstow && pgstow.clientCpuSeconds / (pgstow.rawBytes / 1e9),
    },
    {
      title: "peak memory at 2 jobs",
      bound: { most: 320 },
      unit: " MiB",
      digits: 0,
      value: pgstow && pgstow.peakBytes / mebibyte,
    },
    {
      title: "peak memory at 2 jobs, ten times the data",
      bound: { most: 320 },
      unit: " MiB",
      digits: 0,
      value: (of("memory", "tenfold")?.peakBytes ?? Number.NaN) / mebibyte,
    },
    {
      title: "peak memory at ten times the data against the same at once",
      bound: { most: 1.1 },
      ...times,
      value: ratio("memory", "tenfold", "size", peak),
    },
    ...[[4, 3.6] as const, [8, 7] as const].map(([jobs, least]) => ({
      title: `rate-limited source: speed-up at ${jobs} jobs`,
      bound: { least },
      ...times,
      value: ratio("limited", "pgstow-1", `pgstow-${jobs}`),
    })),
    {
      title: "restore at 2 jobs: faster than psql < plain (Sentinel's)",
      bound: { least: 1.4 },
      ...times,
      value: ratio("restore", "sentinel", "pgstow-2"),
    },
    {
      title: "restore at 2 jobs: wall time against pg_restore -j2 from a file",
      bound: { most: 1 },
      ...times,
      value: ratio("restore", "pgstow-2", "file"),
    },
    { title: "doctor: wall time", bound: { most: 10 }, ...seconds, value: doctor?.wallSeconds },
    {
      title: "doctor: peak memory",
      bound: { most: 150 },
      unit: " MiB",
      digits: 0,
      value: doctor && doctor.peakBytes / mebibyte,
    },
    {
      title: "doctor: the longest statement on the server",
      bound: { most: 1 },
      ...seconds,
      value: figure(doctor, "longestStatementSeconds"),
    },
    {
      title: "doctor: locks beyond ACCESS SHARE",
      bound: { most: 0 },
      unit: "",
      digits: 0,
      value: figure(doctor, "locksBeyondAccessShare"),
    },
    {
      title: "drill: what follows the start of its server against the restore in it",
      bound: { most: 1.25 },
      ...times,
      value: drill && (drill.wallSeconds - figure(drill, "startSeconds")) / figure(drill, "restoreSeconds"),
    },
    { title: "report: wall time", bound: { most: 5 }, ...seconds, value: report?.wallSeconds },
    {
      title: "report: peak memory",
      bound: { most: 200 },
      unit: " MiB",
      digits: 0,
      value: report && report.peakBytes / mebibyte,
    },
    {
      title: "report: the page",
      bound: { most: 2 },
      unit: " MB",
      digits: 2,
      value: figure(report, "pageBytes") / 1e6,
    },
    {
      title: "report: until the page is interactive in Chromium",
      bound: { most: 1 },
      ...seconds,
      value: figure(report, "readySeconds"),
    },
  ]
  return wanted.flatMap(({ title, bound, unit, digits, value }) => {
    if (value === undefined || Number.isNaN(value)) return []
    const isMet = "most" in bound ? value <= bound.most : value >= bound.least
    const goal = "most" in bound ? `≤ ${bound.most}${unit}` : `≥ ${bound.least}${unit}`
    return [{ title, goal, measured: `${value.toFixed(digits)}${unit}`, isMet }]
  })
}
