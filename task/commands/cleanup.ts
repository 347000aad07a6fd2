import * as z from "zod"
import { cleanup, cleanupFailure, formatCleanup } from "../catalog/clean-up.ts"
import { PgstowError } from "../errors.ts"
import { readSettings } from "../settings/config.ts"
import { policyOf, storagesOf } from "../settings/inputs.ts"
import { defineCommand, type OptionGroup } from "./command.ts"
import { storageOptions } from "./options.ts"

const retentionOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Retention (only verified backups count; the newest of them always stays):")
    .option("--database <name>", "only this database's backups")
    .option("--keep-last <n>", "the last n (PGSTOW_KEEP_LAST)")
    .option("--keep-days <n>", "those of the last n days (PGSTOW_KEEP_DAYS)")
    .option("--keep-daily <n>", "one a day for n days (PGSTOW_KEEP_DAILY)")
    .option("--keep-weekly <n>", "one a week for n weeks (PGSTOW_KEEP_WEEKLY)")
    .option("--keep-monthly <n>", "one a month for n months (PGSTOW_KEEP_MONTHLY)")
    .option("--keep-yearly <n>", "one a year for n years (PGSTOW_KEEP_YEARLY)")
    .option("--dry-run", "only say what would be removed, and why")

export const cleanupCommand = defineCommand({
  name: "cleanup",
  summary: "remove the backups that the retention policy does not keep",
  group: "Keep house:",
  argument: {
    syntax: "[days]",
    description: "keep the backups of this many days: short for --keep-days",
  },
  options: [storageOptions, retentionOptions],
  flags: z.object({ database: z.string().optional(), dryRun: z.boolean().default(false) }),
  examples: [
    "pgstow cleanup --dry-run --keep-daily 7 --keep-weekly 5 --keep-monthly 12",
    "pgstow cleanup 30",
  ],
  async run({ settings, args: [days], typed, flags: { database, dryRun } }, context) {
    if (days !== undefined && typed.has("keepDays"))
      throw new PgstowError("usage", `the days to keep were given twice, as ${days} and by --keep-days`, {
        hint: "Give them once.",
      })
    // A number of days on the command line stands alone, whatever the environment says of other rules.
    const policy =
      days === undefined ? policyOf(settings) : { keepDays: readSettings({ keepDays: days }, {}).keepDays }
    const result = await cleanup(storagesOf(settings, context), { policy, database, dryRun }, context)
    return {
      title: "cleaned up",
      result,
      text: formatCleanup(result),
      isAnswer: dryRun,
      failure: cleanupFailure(result),
    }
  },
})
