import { existsSync, realpathSync } from "node:fs"
import * as z from "zod"
import { checkPolicy } from "../catalog/clean-up.ts"
import { formatCount } from "../console/format.ts"
import type { Context } from "../context.ts"
import { PgstowError } from "../errors.ts"
import { checkBackup } from "../schedule/check-backup.ts"
import { dueTimes } from "../schedule/due-times.ts"
import { type ScheduleResult, schedule } from "../schedule/make-schedule.ts"
import { runOnSchedule } from "../schedule/run-on-schedule.ts"
import { runProgram } from "../schedule/run-program.ts"
import { flagOf } from "../settings/config.ts"
import { dailyTimeIn } from "../settings/daily-time.ts"
import { connectionFlags, policyOf, storagesOf } from "../settings/inputs.ts"
import { refuseContradictions } from "./backup.ts"
import { defineCommand, type Invocation, type OptionGroup, type Outcome } from "./command.ts"

const installedOptions: OptionGroup = (command) =>
  command
    .optionsGroup("By systemd or cron, once a day:")
    .option("--at <time>", "the time of day, in this machine's time zone", "03:00")
    .option("--settings <file>", "the file with the environment to run in", ".env")
    .option("--config <file>", "a file of settings for one or more databases (PGSTOW_CONFIG)")
    .option("--unit <name>", "the name of the units, or of the cron file", "pgstow")
    .option("--cron", "a file for /etc/cron.d in place of systemd's units")
    .option("--install", "put the files where they belong, and start the timer")

const foregroundOptions: OptionGroup = (command) =>
  command
    .optionsGroup("By this process, for containers:")
    .option("--run <expression>", 'run the command at these times, until a signal: "0 3 * * *"')
    .option("--time-zone <zone>", "of the expression: Europe/Berlin (default: TZ, or this machine's)")
    .option("--jitter <time>", "begin each run at random up to this much later: 90s, 10m, 1h")
    .option("--now", "run once at the start, too")

const unitSeconds = { s: 1, m: 60, h: 3_600 } as const

const duration = z
  .string()
  .regex(/^\d{1,6}[smh]?$/, "must be a time like 90s, 10m or 1h")
  .transform((text) => {
    const [, count, unit = "s"] = /^(\d+)([smh]?)$/.exec(text) ?? []
    // What the expression above lets through.
    return Number(count) * unitSeconds[(unit || "s") as keyof typeof unitSeconds]
  })

const scheduleFlags = z.object({
  at: z.string().default("03:00"),
  settings: z.string().default(".env"),
  unit: z.string().default("pgstow"),
  cron: z.boolean().default(false),
  install: z.boolean().default(false),
  run: z.string().optional(),
  timeZone: z.string().optional(),
  jitter: duration.default(0),
  now: z.boolean().default(false),
})

/** What is of use on a schedule beside a backup, and reads storages. */
const ofStorages: ReadonlySet<string> = new Set(["cleanup", "drill", "list", "report", "status", "verify"])

const ofInstalled = ["at", "settings", "unit", "cron", "install"]
const ofForeground = ["timeZone", "jitter", "now"]

export const scheduleCommand = defineCommand({
  name: "schedule",
  summary: "print or install a daily schedule for systemd or cron, or be the schedule",
  group: "Set up:",
  argument: {
    syntax: "[command...]",
    description: "with --run: what to run, with its flags, after -- (default: backup)",
  },
  options: [installedOptions, foregroundOptions],
  flags: scheduleFlags,
  examples: [
    "pgstow schedule --settings /etc/pgstow.env --at 02:30",
    "sudo npx pgstow schedule --settings /etc/pgstow.env --install",
    "pgstow schedule --config /etc/pgstow.config.json --settings /etc/pgstow.env",
    "pgstow schedule --cron",
    'pgstow schedule --run "0 3 * * *" --time-zone Europe/Berlin --jitter 10m',
    'pgstow schedule --run "0 3 * * *" -- backup --all --cleanup',
  ],
  async run(invocation, context) {
    const { flags, args, typed } = invocation
    const { run: expression, at, settings, unit, cron, install } = flags
    if (expression !== undefined) return beSchedule(expression, invocation, context)
    const stray = ofForeground.find((name) => typed.has(name))
    if (stray !== undefined || args.length > 0)
      throw new PgstowError("usage", `${stray ? flagOf(stray) : args[0]} is nothing without --run`, {
        hint: 'Add --run "0 3 * * *", or leave it out.',
      })
    refuseOtherSystems(cron, install)
    const config = invocation.settings.config
    const read = async (env: Context["env"]) => {
      const planned = await invocation.read(
        ["backup", ...(config === undefined ? [] : ["--config", config])],
        env,
      )
      for (const { problem } of planned.runs) if (problem) throw problem
      return planned.runs.map((run) => run.settings)
    }
    const result = await schedule(
      {
        kind: cron ? "cron" : "systemd",
        name: unit,
        at: config === undefined || typed.has("at") ? at : ((await dailyTimeIn(config)) ?? at),
        settingsFile:
          config === undefined || typed.has("settings") || existsSync(settings) ? settings : undefined,
        config: config === undefined ? undefined : { file: config, read },
        program: [process.execPath, ownScript()],
        install,
      },
      context,
    )
    return { title: "made a schedule", result, text: formatSchedule(result), isAnswer: true }
  },
})

/** Throws where nothing would start what is printed or installed. */
function refuseOtherSystems(cron: boolean, install: boolean): void {
  if (process.platform === "linux" || (cron && !install)) return
  throw new PgstowError(
    "usage",
    install ? "a schedule can be installed on Linux alone" : "there is no systemd but on Linux",
    {
      hint: 'Have `pgstow schedule --run "0 3 * * *"` started by this system (launchd on macOS), or put the line that `pgstow schedule --cron` prints into /etc/crontab.',
    },
  )
}

async function beSchedule(
  expression: string,
  { flags, args, typed, settings, read }: Invocation<z.output<typeof scheduleFlags>>,
  context: Context,
): Promise<Outcome> {
  const stray = ofInstalled.find((name) => typed.has(name))
  if (stray !== undefined)
    throw new PgstowError("usage", `--run and ${flagOf(stray)} contradict each other`, {
      hint: "With --run this process is the schedule, by the settings of its environment.",
    })
  const times = dueTimes(expression, flags.timeZone)
  const jitterMs = flags.jitter * 1_000
  const now = context.now()
  if (times.next(now) === undefined)
    throw new PgstowError("usage", `the time of --run ${expression} never comes`, {
      hint: "Look at its day and its month.",
    })
  if (jitterMs > 0 && jitterMs >= times.shortestGapMs(now))
    throw new PgstowError("usage", "--jitter is as long as the time from one run to the next", {
      hint: "Give it less, or --run fewer times.",
    })
  const config = typed.has("config") ? ["--config", settings.config ?? ""] : []
  if (config.length > 0 && args.length > 0)
    throw new PgstowError("usage", "--config stands beside a command of its own", {
      hint: `Give it behind that: -- ${args.join(" ")} ${config.join(" ")}`.concat("."),
    })
  const line = args.length === 0 ? ["backup", ...config] : args
  const planned = await read(line)
  if (planned.name === "schedule")
    throw new PgstowError("usage", "a schedule can't run a schedule", { hint: "Name another command." })
  if (planned.name === "backup")
    for (const { settings, flags, problem } of planned.runs) {
      if (problem) throw problem
      refuseContradictions(settings)
      await checkBackup(settings, connectionFlags.parse(flags), context)
    }
  if (ofStorages.has(planned.name))
    for (const { settings, args, problem } of planned.runs) {
      if (problem) throw problem
      for (const storage of storagesOf(settings, context)) storage.close()
      // The argument is a policy of its own.
      if (planned.name === "cleanup" && args.length === 0) checkPolicy(policyOf(settings))
    }

  const ignored = () => context.log.info("SIGHUP changes nothing: to read settings again, start it again")
  process.on("SIGHUP", ignored)
  try {
    const program = [process.execPath, ...process.execArgv, ownScript()]
    const result = await runOnSchedule(
      { times, jitterMs, atStart: flags.now, run: () => runProgram(program, line, context) },
      context,
    )
    const { runs, failed, skipped } = result
    const text = `stopped after ${formatCount(runs, "run")}; failed: ${failed}, skipped: ${skipped}`
    return { title: text, result, text, isAnswer: false }
  } finally {
    process.off("SIGHUP", ignored)
  }
}

function ownScript(): string {
  return realpathSync(process.argv[1] ?? "")
}

export function formatSchedule({ installed, files }: ScheduleResult): string {
  if (installed) return files.map(({ path }) => `installed ${path}`).join("\n")
  return files.map(({ path, text }) => `# ${path}\n${text}`).join("\n")
}
