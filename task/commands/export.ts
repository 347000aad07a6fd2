import { InvalidArgumentError } from "commander"
import * as z from "zod"
import { formatBytes, formatName, formatSpeed } from "../console/format.ts"
import { type ExportResult, exportBackup } from "../restore/export.ts"
import { choiceFlags, choiceOf, identitiesOf, signedByOf, storagesOf } from "../settings/inputs.ts"
import { defineCommand, type OptionGroup } from "./command.ts"
import { choiceOptions, keyOptions, signerOptions, storageOptions } from "./options.ts"

const formats = ["directory", "custom"] as const

const exportOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Export:")
    .requiredOption("--out <path>", "the directory to make, or the file")
    .option(
      "--format <format>",
      "pg_dump's directory (the default), for pg_restore -j, or custom: one file",
      (value) => {
        if (formats.some((format) => format === value)) return value
        throw new InvalidArgumentError(`It must be one of ${formats.join(", ")}.`)
      },
    )

export const exportCommand = defineCommand({
  name: "export",
  summary: "write a backup as plain pg_dump would have, for pg_restore without pgstow",
  group: "Get it back:",
  argument: { syntax: "[backup]", description: "latest, an id, or the beginning of one" },
  config: { runs: "one", args: "backups" },
  options: [storageOptions, signerOptions, choiceOptions, keyOptions, exportOptions],
  flags: z.object({
    ...choiceFlags.shape,
    out: z.string().min(1),
    format: z.enum(formats).default("directory"),
  }),
  examples: [
    "pgstow export latest --identity pgstow.key --out orders.dir",
    "pgstow export latest --identity pgstow.key --format custom --out orders.dump",
  ],
  async run({ settings, args, flags }, context) {
    const { out, format } = flags
    const result = await exportBackup(
      {
        ...choiceOf(args, flags),
        storages: storagesOf(settings, context),
        identities: await identitiesOf(settings, context),
        signedBy: signedByOf(settings),
        out,
        format,
      },
      context,
    )
    return { title: `exported ${result.id}`, result, text: formatExport(result), isAnswer: false }
  },
})

export function formatExport({ id, database, out, bytes, seconds }: ExportResult): string {
  return [
    `exported ${id} of ${formatName(database)} to ${formatName(out)}: ${formatBytes(bytes)} in ${formatSpeed(bytes, seconds)}`,
    "It is not encrypted. Roles are not in it: pgstow globals has them.",
  ].join("\n")
}
