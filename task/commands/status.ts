import { type StatusResult, status, statusFailure } from "../catalog/status.ts"
import { formatDuration, formatName, formatTable, formatTime } from "../console/format.ts"
import { databaseChosen, databaseFlag, signedByOf, storagesOf } from "../settings/inputs.ts"
import { defineCommand, type OptionGroup } from "./command.ts"
import { databaseOption, signerOptions, storageOptions } from "./options.ts"

const ageOptions: OptionGroup = (command) =>
  command.option(
    "--max-age-hours <hours>",
    "how old the newest verified backup may be (PGSTOW_MAX_AGE_HOURS; default 26)",
  )

export const statusCommand = defineCommand({
  name: "status",
  summary: "say whether every database has a recent verified backup",
  group: "Look:",
  argument: { syntax: "[database]", description: "only this one" },
  options: [storageOptions, signerOptions, databaseOption, ageOptions],
  flags: databaseFlag,
  examples: ["pgstow status", "pgstow status orders --max-age-hours 50"],
  async run({ settings, args, flags, width }, context) {
    const { maxAgeHours } = settings
    const database = databaseChosen(args, flags)
    const result = await status(
      storagesOf(settings, context),
      { database, maxAgeHours, signedBy: signedByOf(settings) },
      context,
    )
    return {
      title: "looked for backups",
      result,
      text: formatStatus(result, width),
      isAnswer: true,
      failure: statusFailure(result),
    }
  },
})

export function formatStatus({ databases }: StatusResult, width?: number): string {
  if (databases.length === 0) return "no backups"
  return formatTable(
    [
      { title: "DATABASE" },
      { title: "NEWEST VERIFIED" },
      { title: "STARTED" },
      { title: "AGE", flush: "right" },
      { title: "" },
      { title: "LAST DRILL" },
      { title: "STORAGE" },
    ],
    databases.map(({ database, id, startedAt, ageHours, overdue, fromTheFuture, lastDrill, storage }) => [
      formatName(database),
      id ?? "-",
      startedAt === null ? "-" : formatTime(new Date(startedAt)),
      ageHours === null ? "-" : formatDuration(ageHours * 3600),
      [overdue ? "OVERDUE" : "", fromTheFuture.length > 0 ? "FUTURE" : ""].filter(Boolean).join(" ") || "ok",
      lastDrill === null ? "-" : `${lastDrill.kind} ${formatTime(new Date(lastDrill.at))}`,
      storage,
    ]),
    width,
  )
}
