import { type Column, formatTable } from "../../task/console/format.ts"
import type { Results } from "./results.ts"
import type { Figure, Figures, Stage, Summary } from "./run.ts"
import { prices, type Simulation } from "./simulate.ts"

const titles: Readonly<Record<Stage, string>> = {
  backup: "Backup, server, client and S3 on the same machine",
  restore: "Restore into a new database, server, client and S3 on the same machine",
  limited: "Backup from a server that gives each connection a limited rate",
  memory: "Memory of a backup",
  trust: "What says that backups work",
}

/** By which pipeline the others of a stage are measured. */
const references: Readonly<Record<Exclude<Stage, "trust">, string>> = {
  backup: "floor",
  restore: "file",
  limited: "pgstow-1",
  memory: "size",
}

const right = (...names: string[]): Column[] => names.map((title) => ({ title, flush: "right" }))

/** All that was measured, for a terminal. */
export function formatResults({ machine, settings, summaries, simulations, targets }: Results): string {
  const { cores, cpu, memoryBytes, system, node, postgres } = machine
  const gibibytes = Math.round(memoryBytes / 1024 ** 3)
  const parts = [
    [
      `${cores} cores (${cpu}), ${gibibytes} GiB, ${system}; PostgreSQL ${postgres}, Node ${node}; medians of`,
      `${settings.rounds} ${settings.rounds === 1 ? "round" : "rounds"}; the server with fsync off, by TLS.`,
    ].join(" "),
    ...Map.groupBy(summaries, ({ stage }) => stage)
      .entries()
      .map(([stage, group]) => `${titles[stage]}\n${formatStage(stage, group)}`),
    `A database of 1 TB, by the code that plans backups (nothing was run)\n${formatSimulations(simulations)}`,
    `Targets\n${formatTable(
      [
        { title: "" },
        { title: "target", flush: "right" },
        { title: "measured", flush: "right" },
        { title: "" },
      ],
      targets.map(({ title, goal, measured, isMet }) => [title, goal, measured, isMet ? "met" : "NOT MET"]),
    )}`,
  ]
  if (settings.isQuick)
    parts.push("This was --quick: one round on little data. It proves that the bench runs, and nothing else.")
  return parts.join("\n\n")
}

function formatStage(stage: Stage, group: readonly Summary[]): string {
  if (stage === "trust") return formatTrust(group)
  const reference = group.find(({ id }) => id === references[stage])?.wallSeconds
  const columns = [
    { title: "" },
    ...right("wall s", "ratio", "raw MB/s", "client CPU s", "a GB", "server CPU s", "peak MiB", "stored MB"),
  ]
  const rows = group.map((summary) => {
    const { title, wallSeconds, clientCpuSeconds, serverCpuSeconds, peakBytes, storedBytes, rawBytes } =
      summary
    return [
      title,
      wallSeconds.toFixed(1),
      reference === undefined ? "" : (wallSeconds / reference).toFixed(2),
      (rawBytes / 1e6 / wallSeconds).toFixed(0),
      clientCpuSeconds.toFixed(1),
      (clientCpuSeconds / (rawBytes / 1e9)).toFixed(1),
      serverCpuSeconds.toFixed(1),
      (peakBytes / 1024 ** 2).toFixed(0),
      storedBytes === null ? "" : (storedBytes / 1e6).toFixed(0),
    ]
  })
  return formatTable(columns, rows)
}

/** No two of these do the same. */
function formatTrust(group: readonly Summary[]): string {
  const columns = [
    { title: "" },
    ...right("wall s", "client CPU s", "server CPU s", "peak MiB"),
    { title: "" },
  ]
  return formatTable(
    columns,
    group.map((summary) => [
      summary.title,
      summary.wallSeconds.toFixed(1),
      summary.clientCpuSeconds.toFixed(1),
      summary.serverCpuSeconds.toFixed(1),
      (summary.peakBytes / 1024 ** 2).toFixed(0),
      formatFigures(summary.figures ?? {}),
    ]),
  )
}

const figureWords: Readonly<Record<Figure, (value: number) => string>> = {
  tables: (value) => `${value} tables`,
  longestStatementSeconds: (value) => `longest statement ${value.toFixed(2)} s`,
  locksBeyondAccessShare: (value) => `${value} locks beyond ACCESS SHARE`,
  restoreSeconds: (value) => `restore in it ${value.toFixed(1)} s`,
  startSeconds: (value) => `start of the server ${value.toFixed(1)} s`,
  backups: (value) => `${value} backups`,
  pageBytes: (value) => `page ${(value / 1e6).toFixed(2)} MB`,
  readySeconds: (value) => `interactive after ${value.toFixed(2)} s`,
}

function formatFigures(found: Figures): string {
  // The keys of a record with all of them are all of them.
  const names = Object.keys(figureWords) as Figure[]
  return names
    .flatMap((name) => {
      const value = found[name]
      return value === undefined ? [] : figureWords[name](value)
    })
    .join(", ")
}

function formatSimulations(simulations: readonly Simulation[]): string {
  const columns = right(
    "jobs",
    "objects",
    "largest MiB",
    "parts",
    "requests",
    "buffers MiB",
    "hours",
    "$ requests",
    "$ a month",
  )
  const rows = simulations.map((one) => [
    String(one.jobs),
    String(one.objects),
    (one.largestSegmentBytes / 1024 ** 2).toFixed(0),
    String(one.parts),
    String(one.requests),
    (one.buffersBytes / 1024 ** 2).toFixed(0),
    one.hours.toFixed(2),
    one.requestDollars.toFixed(2),
    one.storageDollarsPerMonth.toFixed(2),
  ])
  const [first] = simulations
  const assumed = first
    ? `assumed: ${first.connectionBytesPerSecond / 1e6} MB/s a connection, ${(first.storedShare * 100).toFixed(0)} % stored, ` +
      `$ ${prices.dollarsPerThousandPuts} for 1000 PUTs, $ ${prices.dollarsPerGigabyteMonth} a GB and month (S3 Standard, us-east-1, 2025)`
    : ""
  return `${formatTable(columns, rows)}\n${assumed}`
}
