import { realpathSync } from "node:fs"
import * as z from "zod"
import { type ScheduleResult, schedule } from "../schedule/make-schedule.ts"
import { defineCommand, type OptionGroup } from "./command.ts"

const scheduleOptions: OptionGroup = (command) =>
  command
    .option("--at <time>", "the time of day, in this machine's time zone", "03:00")
    .option("--settings <file>", "the file with the settings to run with", ".env")
    .option("--unit <name>", "the name of the units, or of the cron file", "pgstow")
    .option("--cron", "a file for /etc/cron.d in place of systemd's units")
    .option("--install", "put the files where they belong, and start the timer")

export const scheduleCommand = defineCommand({
  name: "schedule",
  summary: "print a daily schedule for systemd or cron, or install it",
  group: "Set up:",
  options: [scheduleOptions],
  flags: z.object({
    at: z.string().default("03:00"),
    settings: z.string().default(".env"),
    unit: z.string().default("pgstow"),
    cron: z.boolean().default(false),
    install: z.boolean().default(false),
  }),
  examples: [
    "pgstow schedule --settings /etc/pgstow.env --at 02:30",
    "sudo npx pgstow schedule --settings /etc/pgstow.env --install",
    "pgstow schedule --cron",
  ],
  async run({ flags: { at, settings, unit, cron, install } }, context) {
    const result = await schedule(
      {
        kind: cron ? "cron" : "systemd",
        name: unit,
        at,
        settingsFile: settings,
        program: [process.execPath, realpathSync(process.argv[1] ?? "")],
        install,
      },
      context,
    )
    return { title: "made a schedule", result, text: formatSchedule(result), isAnswer: true }
  },
})

export function formatSchedule({ installed, files }: ScheduleResult): string {
  if (installed) return files.map(({ path }) => `installed ${path}`).join("\n")
  return files.map(({ path, text }) => `# ${path}\n${text}`).join("\n")
}
