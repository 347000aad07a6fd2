import { formatDuration, formatName, wrapText } from "../console/format.ts"
import { countsOf, type DoctorResult, doctor, doctorFailure } from "../doctor/doctor.ts"
import type { Finding } from "../doctor/finding.ts"
import { connectionFlags, connectionOf } from "../settings/inputs.ts"
import { defineCommand, type OptionGroup } from "./command.ts"
import { sealOptions, serverOptions, storageOptions } from "./options.ts"

const doctorOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Backup:")
    .option("--name <name>", "the name to keep it under, in place of the database's own (PGSTOW_NAME)")
    .option("--jobs <n>", "streams at once, each with a connection (PGSTOW_JOBS)")

export const doctorCommand = defineCommand({
  name: "doctor",
  summary: "say whether a backup will work, and what puts right what will not",
  group: "Set up:",
  options: [serverOptions, storageOptions, sealOptions, doctorOptions],
  flags: connectionFlags,
  examples: [
    "pgstow doctor --storage file:///var/backups/pgstow --recipient age1...",
    "pgstow doctor --json",
  ],
  async run({ settings, flags, width }, context) {
    const result = await doctor(
      {
        connection: await connectionOf(settings, flags, context),
        clientFolders: settings.pgBin,
        jobs: settings.jobs,
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

export function formatDoctor({ findings, seconds }: DoctorResult, width?: number): string {
  const end = `${findings.length === 0 ? "nothing found" : countsOf(findings)} in ${formatDuration(seconds)}`
  return [...findings.map((finding) => formatFinding(finding, width)), end].join("\n")
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
