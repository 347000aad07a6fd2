import * as z from "zod"
import { type CleanupResult, cleanup, cleanupFailure, type StorageCleanup } from "../catalog/clean-up.ts"
import { describeClock } from "../catalog/clocks.ts"
import { type Debris, notedHours } from "../catalog/debris.ts"
import { formatBytes, formatCount, formatName, formatTable } from "../console/format.ts"
import { PgstowError } from "../errors.ts"
import { readSettings } from "../settings/config.ts"
import { policyOf, signedByOf, storagesOf } from "../settings/inputs.ts"
import { defineCommand, type OptionGroup } from "./command.ts"
import { keepOptions, signerOptions, storageOptions } from "./options.ts"

const retentionOptions: OptionGroup = (command) =>
  command
    .optionsGroup(
      "Retention (only verified backups count; the newest of them always stays, and what is pinned):",
    )
    .option("--database <name>", "only this database's backups")
    .option("--dry-run", "only say what would be removed, and why")

export const cleanupCommand = defineCommand({
  name: "cleanup",
  summary: "remove the backups that the retention policy does not keep",
  group: "Manage backups:",
  argument: {
    syntax: "[days]",
    description: "keep the backups of this many days: short for --keep-days",
  },
  config: { runs: "each", args: "other", mayFindNone: true },
  options: [storageOptions, signerOptions, retentionOptions, keepOptions],
  flags: z.object({ database: z.string().optional(), dryRun: z.boolean().default(false) }),
  examples: [
    "pgstow cleanup --dry-run --keep-daily 7 --keep-weekly 5 --keep-monthly 12",
    "pgstow cleanup 30",
  ],
  async run({ settings, args: [days], typed, flags: { database, dryRun }, width }, context) {
    if (days !== undefined && typed.has("keepDays"))
      throw new PgstowError("usage", `the days to keep were given twice, as ${days} and by --keep-days`, {
        hint: "Give them once.",
      })
    if (days !== undefined && !/^\d+$/.test(days))
      throw new PgstowError("usage", `${formatName(days)} is no number of days`, {
        hint: "Give the days to keep as a whole number; --database names a database.",
      })
    // A number of days on the command line stands alone, whatever the environment says of other rules.
    const policy =
      days === undefined ? policyOf(settings) : { keepDays: readSettings({ keepDays: days }, {}).keepDays }
    const result = await cleanup(
      storagesOf(settings, context),
      { policy, database, signedBy: signedByOf(settings), dryRun },
      context,
    )
    return {
      title: "cleaned up",
      result,
      text: formatCleanup(result, width),
      isAnswer: dryRun,
      failure: cleanupFailure(result),
    }
  },
})

/** Every decision of a dry run with its reasons; of a real one what was removed. */
export function formatCleanup({ dryRun, storages }: CleanupResult, width?: number): string {
  return storages.map((cleaned) => formatStorage(cleaned, dryRun, width)).join("\n\n")
}

function formatStorage(cleaned: StorageCleanup, dryRun: boolean, width: number | undefined): string {
  const { storage, decisions, removedBackups, debris, staleUploads, freedBytes, error } = cleaned
  const ahead = cleaned.clockAheadSeconds
  const shown = dryRun ? decisions : decisions.filter(({ keep, state }) => !keep || state === "unreadable")
  const table = formatTable(
    [
      { title: "ID" },
      { title: "DATABASE" },
      { title: "STATE" },
      { title: "STORED", flush: "right" },
      { title: "DECISION" },
      { title: "BECAUSE" },
    ],
    shown.map((decision) => [
      decision.id,
      formatName(decision.database),
      decision.state,
      decision.storedBytes === null ? "-" : formatBytes(decision.storedBytes),
      decision.keep ? "keep" : "remove",
      decision.because.join("; "),
    ]),
    width,
  )
  const would = dryRun ? "would remove" : "removed"
  return [
    storage,
    ...(ahead === null
      ? []
      : [`${describeClock(storage, ahead)}: what is old was decided by the earlier one`]),
    ...(shown.length > 0 ? [table] : []),
    ...debris.map((each) => formatDebris(each, dryRun)),
    ...(staleUploads > 0 ? [`ended ${formatCount(staleUploads, "unfinished upload")}`] : []),
    ...cleaned.notes,
    error === null
      ? `${would} ${removedBackups} of ${formatCount(decisions.length, "backup")}, ${formatBytes(freedBytes)}`
      : `not finished: ${formatName(error)}; freed ${formatBytes(freedBytes)}`,
  ].join("\n")
}

function formatDebris({ database, id, sizeBytes, notedAt, due }: Debris, dryRun: boolean): string {
  const what = `what an interrupted backup left: ${id} of ${formatName(database)}, ${formatBytes(sizeBytes)}`
  if (due) return `${dryRun ? "would remove" : "removed"} ${what}`
  if (notedAt !== null) return `noted before: ${what}; a run ${notedHours} hours after ${notedAt} removes it`
  return `${dryRun ? "would note" : "noted"} ${what}; a run ${notedHours} hours later removes it`
}
