import * as z from "zod"
import { type DatabaseStatus, type StatusResult, statusFailure, statusOrSilence } from "../catalog/status.ts"
import { formatDuration, formatName, formatTable, formatTime } from "../console/format.ts"
import { terminalOutput } from "../console/terminal-output.ts"
import { PgstowError } from "../errors.ts"
import { replaceFile } from "../processes/replace-file.ts"
import { databaseChosen, databaseFlag, signedByOf, storagesOf } from "../settings/inputs.ts"
import { defineCommand, type OptionGroup } from "./command.ts"
import { formatMetrics } from "./metrics-of-status.ts"
import { databaseOption, signerOptions, storageOptions } from "./options.ts"

const ageOptions: OptionGroup = (command) =>
  command.option(
    "--max-age-hours <hours>",
    "how old the newest verified backup may be (PGSTOW_MAX_AGE_HOURS; default 26)",
  )

const metricsOptions: OptionGroup = (command) =>
  command
    .option("--format <format>", "text, or prometheus: metrics in Prometheus' text format")
    .option(
      "--out <file>",
      "write the metrics to this file, all at once: for node_exporter's textfile collector",
    )

const statusFlags = databaseFlag.extend({ format: z.string().default("text"), out: z.string().optional() })

export const statusCommand = defineCommand({
  name: "status",
  summary: "say whether every database has a recent verified backup",
  group: "Look:",
  argument: { syntax: "[database]", description: "only this one" },
  config: {
    runs: "each",
    args: "databases",
    aboutOne: ({ format, out }) =>
      format === "prometheus" || out !== undefined ? "--format prometheus" : undefined,
  },
  options: [storageOptions, signerOptions, databaseOption, ageOptions, metricsOptions],
  flags: statusFlags,
  examples: [
    "pgstow status",
    "pgstow status orders --max-age-hours 50",
    "pgstow status --format prometheus --out /var/lib/prometheus/node-exporter/pgstow.prom",
  ],
  async run({ settings, args, flags, typed, width, stdout }, context) {
    checkFormat(flags, typed.has("json"))
    const { maxAgeHours } = settings
    const database = databaseChosen(args, flags)
    const { result, unanswered } = await statusOrSilence(
      storagesOf(settings, context),
      { database, maxAgeHours, signedBy: signedByOf(settings) },
      context,
    )
    const isMetrics = flags.format === "prometheus"
    if (isMetrics && flags.out !== undefined) await writeMetrics(flags.out, formatMetrics(result))
    if (isMetrics && flags.out === undefined) terminalOutput(stdout).write(formatMetrics(result))
    // Metrics also tell that no storage answers.
    if (unanswered) throw unanswered
    return {
      title: "looked for backups",
      result,
      text: formatStatus(result, width),
      isAnswer: !isMetrics,
      isWritten: isMetrics && flags.out === undefined,
      failure: statusFailure(result),
    }
  },
})

/** Throws a usage error where the flags do not go together. */
function checkFormat({ format, out }: z.output<typeof statusFlags>, json: boolean): void {
  if (format !== "text" && format !== "prometheus")
    throw new PgstowError("usage", "--format must be text or prometheus")
  if (out === "") throw new PgstowError("usage", "--out is empty", { hint: "Give it the name of a file." })
  if (out !== undefined && format !== "prometheus")
    throw new PgstowError("usage", "--out is for metrics alone", { hint: "Add --format prometheus." })
  if (json && format === "prometheus" && out === undefined)
    throw new PgstowError("usage", "standard output can't be both JSON and metrics", {
      hint: "Leave out --json or --format prometheus, or let the metrics go to a file by --out.",
    })
}

async function writeMetrics(file: string, metrics: string): Promise<void> {
  await replaceFile(file, metrics).catch((cause: unknown) => {
    throw new PgstowError("usage", `the metrics can't be written to ${file}`, {
      cause,
      hint: "Give --out a file in a folder that exists and that you may write to. What was there before is as it was.",
    })
  })
}

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
    databases.map(({ database, id, startedAt, ageHours, lastDrill, storage, ...rest }) => [
      formatName(database),
      id ?? "-",
      startedAt === null ? "-" : formatTime(new Date(startedAt)),
      ageHours === null ? "-" : formatDuration(ageHours * 3600),
      markOf(rest),
      lastDrill === null ? "-" : `${lastDrill.kind} ${formatTime(new Date(lastDrill.at))}`,
      storage,
    ]),
    width,
  )
}

function markOf({
  overdue,
  fromTheFuture,
  partial,
}: Pick<DatabaseStatus, "overdue" | "fromTheFuture" | "partial">): string {
  const wrong = [...(overdue ? ["OVERDUE"] : []), ...(fromTheFuture.length > 0 ? ["FUTURE"] : [])]
  return [wrong.join(" ") || "ok", ...(partial === null ? [] : ["partial"])].join(", ")
}
