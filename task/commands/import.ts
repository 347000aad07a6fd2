import { basename } from "node:path"
import { type ImportResult, importFailure, importFiles } from "../backup/import-files.ts"
import { formatBytes, formatName, formatTable, formatTime } from "../console/format.ts"
import {
  databaseNamed,
  legacyKeyFlags,
  legacyKeysOf,
  recipientsOf,
  signedByOf,
  signingKeyOf,
  storagesOf,
} from "../settings/inputs.ts"
import { defineCommand, type OptionGroup } from "./command.ts"
import { legacyKeyOptions, sealOptions, storageOptions } from "./options.ts"

const importOptions: OptionGroup = (command) =>
  legacyKeyOptions(command.optionsGroup("Import:"))
    .option("--name <name>", "the database to keep them as backups of (PGSTOW_NAME)")
    .option("--compress-level <level>", "zstd's, 1 to 19 (PGSTOW_COMPRESS_LEVEL; default 1)")
    .option("--no-verify", "do not read back what was stored (PGSTOW_VERIFY=false)")

export const importCommand = defineCommand({
  name: "import",
  summary: "make backups of the files of two older systems, Emiti and Sentinel",
  group: "Back up:",
  argument: { syntax: "<files...>", description: "files, or directories with files" },
  options: [storageOptions, sealOptions, importOptions],
  flags: legacyKeyFlags,
  examples: [
    "pgstow import /var/backups/emiti --legacy-key-file emiti.key",
    "pgstow import sentinel_backup_20251216_163138.sql.gz.enc --legacy-key-file sentinel.key --name orders",
  ],
  async run({ settings, args, flags, report, width }, context) {
    const sentinelName = databaseNamed(settings, {}, context.env)
    const result = await importFiles(
      {
        paths: args,
        storages: storagesOf(settings, context),
        keys: await legacyKeysOf(settings, flags),
        name: settings.name,
        sentinelName: sentinelName === "*" ? undefined : sentinelName,
        recipients: recipientsOf(settings),
        signingKey: await signingKeyOf(settings, context),
        signedBy: signedByOf(settings),
        compressLevel: settings.compressLevel,
        verify: settings.verify,
        onFailure: report.failure,
      },
      context,
    )
    return {
      title: "imported",
      result,
      text: formatImport(result, width),
      isAnswer: true,
      failure: importFailure(result),
    }
  },
})

/** Why one failed, or was skipped, has been said before. */
export function formatImport({ files }: ImportResult, width?: number): string {
  if (files.length === 0) return "no files"
  return formatTable(
    [
      { title: "FILE" },
      { title: "BACKUP" },
      { title: "DATABASE" },
      { title: "MADE" },
      { title: "STORED", flush: "right" },
      { title: "" },
    ],
    files.map(({ file, state, backup }) => [
      formatName(basename(file)),
      backup?.id ?? "-",
      backup ? formatName(backup.database) : "-",
      backup ? formatTime(new Date(backup.startedAt)) : "-",
      backup ? formatBytes(backup.storedBytes) : "-",
      [state, ...(backup?.storages ?? []).map(({ error }) => error)].filter(Boolean).join(": "),
    ]),
    width,
  )
}
