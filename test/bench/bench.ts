// Measures pgstow beside what else there is, on a real PostgreSQL: `npm run bench -- --help`.
import { execFileSync } from "node:child_process"
import { mkdir, readFile, statfs, writeFile } from "node:fs/promises"
import { availableParallelism, cpus, release, tmpdir, totalmem, type } from "node:os"
import { dirname, join } from "node:path"
import { parseArgs } from "node:util"
import { formatBytes, formatDuration } from "../../task/console/format.ts"
import { type Bed, makeBed, serverSettings, throwAwaySettings } from "./bed.ts"
import { plot } from "./plot.ts"
import { formatResults } from "./report.ts"
import { type Results, replaceStages, summarize } from "./results.ts"
import { type Run, type Stage, stages } from "./run.ts"
import { simulate } from "./simulate.ts"
import {
  backupStage,
  fillSource,
  limitedStage,
  memoryStage,
  type Recorder,
  restoreStage,
  roundsOf,
  runsOf,
  type Sizes,
} from "./stages.ts"
import { checkTargets } from "./targets.ts"
import { trustStage } from "./trust.ts"

const help = `npm run bench [-- OPTIONS]

  --size GB        of the raw dump that is backed up and restored (1)
  --rounds N       how often each pipeline runs (5)
  --only STAGES    of ${stages.join(",")}
  --into FILE      the results.json of an earlier run, in which these stages take the place of its own
  --quick          0.07 GB, one round, to see that all of it runs: its figures say nothing
  --out FOLDER     for results.json and results.svg (test/bench for a full run, otherwise dist/bench)

It takes all of the machine: run it where nothing else runs. Linux only.`

const { values } = parseArgs({
  options: {
    size: { type: "string" },
    rounds: { type: "string" },
    only: { type: "string" },
    into: { type: "string" },
    quick: { type: "boolean", default: false },
    out: { type: "string" },
    help: { type: "boolean", default: false },
  },
})
const isQuick = values.quick
const sizes: Sizes = {
  bytes: positive("--size", values.size ?? (isQuick ? "0.07" : "1")) * 1e9,
  rounds: Math.ceil(positive("--rounds", values.rounds ?? (isQuick ? "1" : "5"))),
  // At eight streams far less than two cores can do, and long enough that beginning and end hardly count.
  limitedBytesPerSecond: 12e6,
  limitedBytes: isQuick ? 0.06e9 : 1.5e9,
  tables: isQuick ? 300 : 5_000,
  backups: isQuick ? 40 : 1_000,
}
const chosen = stagesOf(values.only)
const isFull = !isQuick && chosen.length === stages.length
const out =
  values.out ??
  (values.into ? dirname(values.into) : join(import.meta.dirname, isFull ? "." : "../../dist/bench"))

const interruption = new AbortController()
const began = performance.now()
if (values.help) console.log(help)
else await main()

async function main(): Promise<void> {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => interruption.abort(new Error("interrupted")))
  try {
    // What can't be read is to be told of now.
    const earlier = values.into === undefined ? undefined : await readResults(values.into)
    const measured = await bench()
    const results = earlier ? replaceStages(earlier, measured) : measured
    await mkdir(out, { recursive: true })
    await writeFile(join(out, "results.json"), `${JSON.stringify(results, undefined, 2)}\n`)
    await writeFile(join(out, "results.svg"), plot(results.summaries))
    console.log(`\n${formatResults(results)}\n`)
    say(
      `${formatDuration((performance.now() - began) / 1000)} in all; written: ${out}/results.json, results.svg`,
    )
  } catch (error) {
    say(`the bench failed: ${interruption.signal.aborted ? "interrupted" : describe(error)}`)
    process.exitCode = interruption.signal.aborted ? 130 : 1
  }
}

async function bench(): Promise<Results> {
  const startedAt = new Date().toISOString()
  await checkRoom()
  await using bed = await makeBed(interruption.signal)
  say(`PostgreSQL ${bed.server.version}, ${bed.server.binDir}`)
  const runs: Run[] = []
  const recorder = recordInto(runs)
  // What is read at a limited rate comes first: the disk then has less to hold.
  if (chosen.includes("limited")) await limitedStage(bed, sizes, recorder)
  if (chosen.some((stage) => stage !== "limited")) {
    const rawBytes = await fillSource(bed, sizes.bytes, recorder)
    if (chosen.includes("backup")) await backupStage(bed, sizes, rawBytes, recorder)
    if (chosen.includes("restore")) await restoreStage(bed, sizes, rawBytes, recorder)
    if (chosen.includes("memory")) await memoryStage(bed, sizes, rawBytes, recorder)
    if (chosen.includes("trust")) await trustStage(bed, sizes, rawBytes, recorder)
  }
  const summaries = summarize(runs.toSorted((a, b) => stages.indexOf(a.stage) - stages.indexOf(b.stage)))
  const pgstow = summaries.find(({ stage, id }) => stage === "backup" && id === "pgstow-2")
  const storedShare = pgstow?.storedBytes ? pgstow.storedBytes / pgstow.rawBytes : 0.25
  return {
    format: 1,
    startedAt: Object.fromEntries(chosen.map((stage) => [stage, startedAt])),
    machine: machine(bed),
    settings: {
      isQuick,
      bytes: sizes.bytes,
      rounds: sizes.rounds,
      limitedBytesPerSecond: sizes.limitedBytesPerSecond,
      server: { ...throwAwaySettings, ...serverSettings },
    },
    targets: checkTargets(summaries),
    summaries,
    simulations: [2, 4, 8].map((jobs) =>
      simulate({ bytes: 1e12, storedShare, connectionBytesPerSecond: 100e6, jobs }),
    ),
    runs,
  }
}

async function readResults(file: string): Promise<Results> {
  // It is what we wrote.
  return JSON.parse(await readFile(file, "utf8")) as Results
}

function recordInto(runs: Run[]): Recorder {
  const total = chosen.reduce((sum, stage) => sum + runsOf[stage] * roundsOf(stage, sizes), 0)
  const timed = async <Result>(title: string, work: () => Promise<Result>): Promise<Result> => {
    interruption.signal.throwIfAborted()
    process.stderr.write(`${title} … `)
    const start = performance.now()
    try {
      const result = await work()
      say(formatDuration((performance.now() - start) / 1000))
      return result
    } catch (cause) {
      say("failed")
      throw new Error(title, { cause })
    }
  }
  return {
    step: timed,
    run: async (run, work) => {
      const title = `[${runs.length + 1}/${total}] ${run.stage}, round ${run.round} of ${roundsOf(run.stage, sizes)}: ${run.title}`
      runs.push({ ...run, ...(await timed(title, work)) })
    },
  }
}

/** Of the bytes of a raw dump: the database with its indexes, and what each stage has beside it, measured and rounded up. */
async function checkRoom(): Promise<void> {
  const { bytes, limitedBytes } = sizes
  const beside: Readonly<Record<Stage, number>> = {
    backup: bytes,
    restore: 3.5 * bytes,
    limited: 1.8 * limitedBytes,
    memory: 17 * bytes,
    trust: 3 * bytes,
  }
  const walBytes = 5e9
  await hasRoom(tmpdir(), 1.5 * bytes + Math.max(...chosen.map((stage) => beside[stage])) + walBytes)
  if (!chosen.includes("backup")) return
  await hasRoom("/dev/shm", 1.2 * bytes)
  // Emiti holds the dump in memory, and what it makes of it, while the page cache is to hold the database.
  const neededBytes = 5 * bytes
  if (process.availableMemory() < neededBytes)
    throw new Error(
      `${formatBytes(neededBytes)} of memory are needed, and ${formatBytes(process.availableMemory())} are free: choose a smaller --size`,
    )
}

async function hasRoom(folder: string, neededBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  if (bavail * bsize < neededBytes)
    throw new Error(
      `${formatBytes(neededBytes)} are needed in ${folder}, and ${formatBytes(bavail * bsize)} are free: ` +
        "choose a smaller --size, leave stages out with --only, or name another folder in TMPDIR",
    )
}

function machine({ server, env }: Bed): Results["machine"] {
  const versions = { zstd: "--version", age: "--version", openssl: "version", gzip: "--version" }
  const programs: Record<string, string> = {}
  for (const [name, argument] of Object.entries(versions))
    programs[name] = execFileSync(name, [argument], { env, encoding: "utf8" }).split("\n")[0] ?? ""
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    memoryBytes: totalmem(),
    system: `${type()} ${release()}`,
    node: process.versions.node,
    postgres: server.version,
    programs,
  }
}

function stagesOf(only: string | undefined): readonly Stage[] {
  if (only === undefined) return stages
  const names = only.split(",")
  const unknown = names.find((name) => !stages.some((stage) => stage === name))
  if (unknown !== undefined) throw new Error(`--only takes ${stages.join(",")}, not ${unknown}`)
  return stages.filter((stage) => names.includes(stage))
}

function positive(option: string, text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new Error(`${option} takes a number above 0, not ${text}`)
  return value
}

/** A failure with what caused it. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.message : `${error.message}: ${describe(error.cause)}`
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}
