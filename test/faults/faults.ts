// Attacks the program from outside, and counts what held: `npm run test:faults -- --help`.
import { randomInt } from "node:crypto"
import { resolve } from "node:path"
import { parseArgs } from "node:util"
import { attacksCampaign } from "./attacks.ts"
import { type Bed, makeBed } from "./bed.ts"
import type { Campaign } from "./campaign.ts"
import { clocks } from "./clocks.ts"
import { corruption } from "./corruption.ts"
import { disks } from "./disks.ts"
import { kills } from "./kills.ts"
import { load } from "./load.ts"
import { politeness } from "./politeness.ts"
import { randomFrom } from "./random.ts"
import { signatures } from "./signatures.ts"
import { storage } from "./storage.ts"

/** Those that take long come first, so that all lanes end together. */
const campaigns: readonly Campaign[] = [
  load,
  attacksCampaign,
  kills,
  storage,
  corruption,
  clocks,
  disks,
  politeness,
  signatures,
]

const help = `npm run test:faults [-- OPTIONS]

  --seed N         the seed that a run has printed: the same faults again (a new one each time)
  --only NAMES     of ${campaigns.map(({ name }) => name).join(",")}
  --trial N        one trial of one campaign alone
  --long           ten times as many trials
  --at-once N      how many campaigns run at the same time (2)
  --program FILE   a bundle of another version of the program, to see what breaks there
  --verbose        every fault, not only what broke

Needs PostgreSQL, zstd, age, openssl, PgBouncer, libfaketime, and Go (once, to build an S3 service that is not ours).
Some of it runs on Linux alone, or as root: the table says what did not run.`

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    only: { type: "string" },
    trial: { type: "string" },
    long: { type: "boolean", default: false },
    "at-once": { type: "string", default: "2" },
    program: { type: "string" },
    verbose: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
})

type Count = {
  readonly campaign: Campaign
  held: number
  readonly broken: string[]
  trials: number
  seconds: number
}

let interrupted = false
if (values.help) console.log(help)
else await main()

async function main(): Promise<void> {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => {
      interrupted = true
    })
  const seed = values.seed === undefined ? randomInt(2 ** 31) : wholeNumber("--seed", values.seed)
  const trial = values.trial === undefined ? undefined : wholeNumber("--trial", values.trial)
  const chosen = campaignsOf(values.only)
  if (trial !== undefined && chosen.length !== 1)
    throw new Error("--trial goes with one campaign: --only NAME")
  console.log(`seed ${seed}: npm run test:faults -- --seed ${seed} repeats it`)
  const counts = chosen.map((campaign): Count => ({ campaign, held: 0, broken: [], trials: 0, seconds: 0 }))
  {
    await using bed = await makeBed({ program: values.program && resolve(values.program) })
    const waiting = [...counts]
    const lane = async () => {
      for (let count = waiting.shift(); count; count = waiting.shift())
        await conduct(bed, count, { seed, trial })
    }
    await Promise.all(Array.from({ length: wholeNumber("--at-once", values["at-once"]) }, lane))
  }
  report(counts)
  // Whatever a trial that broke has left open is not waited for.
  process.exit()
}

/** Runs one campaign to its end, and counts. */
async function conduct(
  bed: Bed,
  count: Count,
  { seed, trial }: { readonly seed: number; readonly trial: number | undefined },
): Promise<void> {
  const { campaign } = count
  const { name, notRun } = campaign
  if (notRun !== undefined || interrupted) return
  const broke = (index: number, fault: string, why: string) => {
    count.broken.push(`${name} ${index}: ${fault}: ${why}`)
    console.log(`broken: ${name} ${index}: ${fault}: ${why}`)
    console.log(`  repeat it: npm run test:faults -- --seed ${seed} --only ${name} --trial ${index}`)
  }
  const startedAt = performance.now()
  const seconds = () => (performance.now() - startedAt) / 1000
  try {
    await using stage = await campaign.prepare(bed, randomFrom(seed, name))
    const all = stage.trials ?? Number.POSITIVE_INFINITY
    const wanted = (campaign.trials ?? all) * (values.long ? 10 : 1)
    const [first, last] = trial === undefined ? [0, Math.min(all, wanted)] : [trial, trial + 1]
    for (let index = first; index < last && !interrupted; index++) {
      const at = index
      const tally = {
        held: (fault: string) => {
          count.held += 1
          if (values.verbose) console.log(`held: ${name} ${at}: ${fault}`)
        },
        broke: (fault: string, why: string) => broke(at, fault, why),
      }
      const random = randomFrom(seed, name, at)
      try {
        await stage.trial({ index: at, random, alone: trial !== undefined }, tally)
      } catch (error) {
        tally.broke("the trial", wordsOf(error))
      }
      count.trials += 1
    }
  } catch (error) {
    broke(-1, "the campaign itself", wordsOf(error))
  }
  count.seconds = seconds()
  const { held, broken, trials } = count
  console.log(
    `${name}: ${held} held, ${broken.length} broken in ${trials} trials, ${Math.round(count.seconds)} s`,
  )
}

function report(counts: readonly Count[]): void {
  const rows = [
    ["CAMPAIGN", "TRIALS", "FAULTS", "HELD", "BROKEN", "SECONDS", ""],
    ...counts.map(({ campaign, trials, held, broken, seconds }) => [
      campaign.name,
      String(trials),
      String(held + broken.length),
      String(held),
      String(broken.length),
      String(Math.round(seconds)),
      campaign.notRun ? `not run: ${campaign.notRun}` : "",
    ]),
  ]
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  console.log("")
  for (const row of rows)
    console.log(
      row
        .map((cell, column) =>
          column === 0 || column === 6
            ? cell.padEnd(widths[column] ?? 0)
            : cell.padStart(widths[column] ?? 0),
        )
        .join("  ")
        .trimEnd(),
    )
  for (const line of counts.flatMap(({ broken }) => broken)) console.log(`\nbroken: ${line}`)
  const held = counts.reduce((sum, count) => sum + count.held, 0)
  const broken = counts.reduce((sum, count) => sum + count.broken.length, 0)
  // Nothing tried proves nothing.
  const failed = interrupted || held === 0 ? Math.max(broken, 1) : broken
  if (interrupted) console.log("\ninterrupted, which counts as a failure")
  console.log(`\n${held} passed, ${failed} failed`)
  if (failed > 0) process.exitCode = 1
}

function campaignsOf(only: string | undefined): readonly Campaign[] {
  if (only === undefined) return campaigns
  return only.split(",").map((name) => {
    const found = campaigns.find((campaign) => campaign.name === name)
    if (found) return found
    throw new Error(`--only takes ${campaigns.map((campaign) => campaign.name).join(",")}, not ${name}`)
  })
}

function wholeNumber(option: string, text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new Error(`${option} takes a whole number, not ${text}`)
}

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.message : `${error.message}: ${wordsOf(error.cause)}`
}
