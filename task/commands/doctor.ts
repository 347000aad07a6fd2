import * as z from "zod"
import { formatBytes, formatCount, formatDuration, formatName, wrapText } from "../console/format.ts"
import { countsOf, type DoctorResult, doctor, doctorFailure } from "../doctor/doctor.ts"
import type { Facts } from "../doctor/facts.ts"
import type { Finding } from "../doctor/finding.ts"
import {
  connectionFlags,
  connectionOf,
  patternsOf,
  signedByOf,
  storagesOf,
  targetOf,
} from "../settings/inputs.ts"
import { backupOptions, refuseContradictions, refuseNames } from "./backup.ts"
import { defineCommand, type OptionGroup } from "./command.ts"
import { sealOptions, serverOptions, storageOptions } from "./options.ts"

const doctorOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Doctor:")
    .option(
      "--deep",
      "also look into rows, for a minute at most: orphans of foreign keys, duplicates, what is too large to be backed up",
    )
    .option(
      "--target <url>",
      "also look whether a restore into this server would be taken; a password only in PGSTOW_TARGET",
    )

export const doctorCommand = defineCommand({
  name: "doctor",
  summary: "say whether a backup will work, and how to fix what will not",
  group: "Set up:",
  argument: {
    syntax: "[databases...]",
    description: "with --config: these of its databases, in place of all",
  },
  config: { runs: "each", args: "databases", connects: "connection" },
  options: [serverOptions, storageOptions, sealOptions, backupOptions, doctorOptions],
  flags: z.object({ ...connectionFlags.shape, deep: z.boolean().default(false) }),
  examples: [
    "pgstow doctor --storage file:///var/backups/pgstow --recipient age1...",
    "pgstow doctor --json",
  ],
  async run({ settings, args, flags, typed, width }, context) {
    refuseNames(args)
    const { recipient, unencrypted, identity, signingKey, verify, cleanup } = settings
    const storages = storagesOf(settings, context)
    refuseContradictions(settings)
    const [storage] = storages
    const target = targetOf(settings, typed, context)
    const result = await doctor(
      {
        connection: await connectionOf(settings, flags, context),
        clientFolders: settings.pgBin,
        jobs: settings.jobs,
        patterns: patternsOf(settings),
        all: settings.all ? { include: settings.include, exclude: settings.exclude } : undefined,
        deep: flags.deep,
        target: target && storage && { connection: target, storage },
        storages,
        name: settings.name,
        keys: {
          recipients: recipient,
          unencrypted,
          identity,
          signingKey,
          signedBy: signedByOf(settings),
        },
        use: { verify, cleanup },
      },
      context,
    )
    return {
      title: "looked for what would stop a backup",
      result,
      text: formatDoctor(result, width),
      isAnswer: true,
      failure: doctorFailure(result),
      events: [],
    }
  },
})

export function formatDoctor({ findings, databases, seconds }: DoctorResult, width?: number): string {
  const end = `${findings.length === 0 ? "nothing found" : countsOf(findings)} in ${formatDuration(seconds)}`
  return [
    ...findings.map((finding) => formatFinding(finding, width)),
    end,
    ...databases.flatMap((facts) => formatFacts(facts, width)),
  ].join("\n")
}

function formatFinding(
  { severity, subject, what, why, fix }: Finding,
  width = Number.POSITIVE_INFINITY,
): string {
  const lines = [`${severity}: ${subject}: ${what}`, `  ${why}`].flatMap((line) =>
    wrapText(formatName(line), width, "  "),
  )
  // To be copied as it is.
  return [...lines, `  fix: ${formatName(fix)}`].join("\n")
}

function formatFacts(
  { database, size, lastBackup, expected, takenBy }: Facts,
  width = Number.POSITIVE_INFINITY,
): string[] {
  const lines: string[] = []
  if (size) {
    const bytes = size.databaseBytes === null ? "" : `, ${formatBytes(size.databaseBytes)}`
    const largest = size.largestTables.map(({ table, bytes }) => `${table} ${formatBytes(bytes)}`)
    lines.push(
      `${database}: PostgreSQL ${size.serverVersion}${bytes}, ${formatCount(size.tables, "table")}`,
      ...(largest.length > 0 ? [`largest tables: ${largest.join(", ")}`] : []),
    )
  }
  if (lastBackup)
    lines.push(
      `last backup: ${lastBackup.id}, ${formatBytes(lastBackup.storedBytes)} stored in ${formatDuration(lastBackup.seconds)}, in ${lastBackup.storage}`,
    )
  if (expected)
    lines.push(
      `estimate for the next backup: ${formatDuration(expected.seconds)} and ${formatBytes(expected.storedBytes)}; in S3 Standard (us-east-1) ${formatDollars(expected.dollarsPerMonth)} a month, ${formatDollars(expected.dollarsPerMonth * 30)} for 30 of them`,
    )
  if (takenBy !== null) lines.push(`target: a restore of ${database} would be taken ${takenBy}`)
  return lines.flatMap((line) => wrapText(formatName(line), width, "  "))
}

function formatDollars(dollars: number): string {
  if (dollars < 0.001) return "under $0.001"
  return `$${dollars >= 0.1 ? dollars.toFixed(2) : dollars.toFixed(3)}`
}
