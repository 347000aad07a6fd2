import { type BackupResult, backup, backupFailure } from "../backup/back-up.ts"
import { backupAll, backupAllFailure, type DatabaseBackup } from "../backup/back-up-all.ts"
import type { BackupOptions } from "../backup/options.ts"
import { checkPolicy, cleanup, cleanupFailure } from "../catalog/clean-up.ts"
import { formatBytes, formatCount, formatName, formatSpeed } from "../console/format.ts"
import type { Context } from "../context.ts"
import { messageOf, PgstowError } from "../errors.ts"
import { failureEvents } from "../notify/announce.ts"
import type { PgstowEvent } from "../notify/events.ts"
import type { Settings } from "../settings/config.ts"
import {
  connectionFlags,
  connectionOf,
  patternsOf,
  policyOf,
  recipientsOf,
  signedByOf,
  signingKeyOf,
  storagesOf,
} from "../settings/inputs.ts"
import { formatCleanup } from "./cleanup.ts"
import { defineCommand, type OptionGroup, type Outcome, type Report } from "./command.ts"
import { comparisonInWords } from "./comparison-in-words.ts"
import { each, sealOptions, serverOptions, storageOptions } from "./options.ts"

/** How a backup is made. */
export const backupOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Backup:")
    .option("--name <name>", "the name to keep it under, in place of the database's own (PGSTOW_NAME)")
    .option(
      "--jobs <n>",
      "streams at once, each with a connection (PGSTOW_JOBS; default: what machine and server allow)",
    )
    .option("--compress-level <level>", "zstd's, 1 to 19 (PGSTOW_COMPRESS_LEVEL; default 1)")
    .option(
      "--lock-wait <seconds>",
      "give up when a table stays locked this long (PGSTOW_LOCK_WAIT; default 60)",
    )
    .option("--no-verify", "do not read the backup back after it was stored (PGSTOW_VERIFY=false)")
    .option(
      "--shrink-warning <percent>",
      "warn when the backup shrank by this much since the last ones (PGSTOW_SHRINK_WARNING; default 50)",
    )
    .option("--all", "every database of the server, each as its own backup (PGSTOW_ALL)")
    .option(
      "--include <pattern>",
      "with --all: only these, * for anything; may be repeated (PGSTOW_INCLUDE)",
      each,
    )
    .option("--exclude <pattern>", "with --all: but not these; may be repeated (PGSTOW_EXCLUDE)", each)
    .option(
      "--table <pattern>",
      "only these tables, as pg_dump takes it; may be repeated (PGSTOW_TABLE)",
      each,
    )
    .option(
      "--schema <pattern>",
      "only these schemas, as pg_dump takes it; may be repeated (PGSTOW_SCHEMA)",
      each,
    )
    .option("--exclude-table <pattern>", "but not these tables; may be repeated (PGSTOW_EXCLUDE_TABLE)", each)
    .option(
      "--exclude-schema <pattern>",
      "but not these schemas; may be repeated (PGSTOW_EXCLUDE_SCHEMA)",
      each,
    )
    .option(
      "--exclude-table-data <pattern>",
      "no rows of these tables; may be repeated (PGSTOW_EXCLUDE_TABLE_DATA)",
      each,
    )
    .option("--cleanup", "clean up after a good backup, by the policy of PGSTOW_KEEP_... (PGSTOW_CLEANUP)")

export const backupCommand = defineCommand({
  name: "backup",
  summary: "back up a database, or every one of a server",
  group: "Back up:",
  argument: {
    syntax: "[databases...]",
    description: "with --config: these of its databases, in place of all",
  },
  config: { runs: "each", args: "databases", connects: "connection" },
  options: [serverOptions, storageOptions, sealOptions, backupOptions],
  flags: connectionFlags,
  examples: [
    "pgstow backup --storage file:///var/backups/pgstow --recipient age1...",
    "pgstow backup --dbname orders --storage s3://my-bucket/pgstow --storage file:///mnt/nas/pgstow",
    "pgstow backup --all --exclude 'test_*'",
    "pgstow backup --config /etc/pgstow.config.json orders sales",
    "pgstow backup --exclude-table-data 'audit.*' --exclude-table 'tmp_*'",
    'pgstow backup --exec "docker exec -i db" --username postgres --dbname orders',
  ],
  async run({ settings, args, flags, report }, context) {
    refuseNames(args)
    const recipients = recipientsOf(settings)
    const storages = storagesOf(settings, context)
    refuseContradictions(settings)
    const options = {
      connection: await connectionOf(settings, flags, context),
      clientFolders: settings.pgBin,
      storages,
      name: settings.name,
      recipients,
      signingKey: await signingKeyOf(settings, context),
      signedBy: signedByOf(settings),
      patterns: patternsOf(settings),
      jobs: settings.jobs,
      compressLevel: settings.compressLevel,
      lockWaitSeconds: settings.lockWait,
      verify: settings.verify,
      shrinkWarning: settings.shrinkWarning,
    }
    return settings.all
      ? backUpAll(options, settings, report, context)
      : backUpOne(options, settings, context)
  },
})

/** Throws a usage error where databases are named and no file of settings says which these are. */
export function refuseNames([name]: readonly string[]): void {
  if (name === undefined) return
  throw new PgstowError(
    "usage",
    `${formatName(name)} names a database of a file of settings, and none was given`,
    {
      hint: "Give the file by --config, or name a database of the server by --dbname.",
    },
  )
}

/** Throws a usage error where a backup can't be made as the settings say it. */
export function refuseContradictions(settings: Settings): void {
  if (settings.cleanup) checkPolicy(policyOf(settings))
  if (settings.all && settings.name !== undefined)
    throw new PgstowError("usage", "--all and --name contradict each other", {
      hint: "With --all each database is kept under its own name.",
    })
}

async function backUpOne(options: BackupOptions, settings: Settings, context: Context): Promise<Outcome> {
  const made = await backup(options, context)
  const { database } = made
  const outcome = { title: `backed up ${database}`, result: made, text: formatBackup(made), isAnswer: false }
  const failure = backupFailure(made)
  if (failure) return { ...outcome, failure }
  if (!settings.cleanup) return { ...outcome, events: [succeeded(made)] }
  const policy = policyOf(settings)
  const signedBy = signedByOf(settings)
  const cleaned = await cleanup(options.storages, { policy, database, signedBy, dryRun: false }, context)
  const left = cleanupFailure(cleaned)
  return {
    ...outcome,
    result: { ...made, cleanup: cleaned },
    text: `${formatBackup(made)}\n${formatCleanup(cleaned)}`,
    failure: left,
    events: [succeeded(made), ...(left ? failureEvents("cleanup", database, left) : [])],
  }
}

async function backUpAll(
  options: BackupOptions,
  settings: Settings,
  report: Report,
  context: Context,
): Promise<Outcome> {
  const { include, exclude } = settings
  const { storages } = options
  const onDatabase = ({ database, backup, failure }: DatabaseBackup) => {
    const title = `backed up ${database}`
    if (backup) report.result({ title, result: backup, text: formatBackup(backup), isAnswer: false })
    if (failure) report.failure(failure)
  }
  const result = await backupAll({ ...options, include, exclude, onDatabase }, context)
  const good = result.flatMap(({ backup, failure }) => (backup && !failure ? [backup] : []))
  const events = good.map(succeeded)
  for (const { database } of settings.cleanup ? good : []) {
    const policy = policyOf(settings)
    const options = { policy, database, signedBy: signedByOf(settings), dryRun: false }
    const left = cleanupFailure(await cleanup(storages, options, context))
    if (left) context.log.error(messageOf(left))
    if (left) events.push(...failureEvents("cleanup", database, left))
  }
  // Failures come last, so that a healthcheck does not end on a success.
  for (const { database, failure } of result)
    if (failure) events.push(...failureEvents("backup", database, failure))
  const databases = result.map(({ database, backup, failure }) => ({
    database,
    backup: backup ?? null,
    error: failure ? { kind: failure.kind, message: messageOf(failure), hint: failure.hint ?? null } : null,
  }))
  const title = `backed up ${good.length} of ${formatCount(result.length, "database")}`
  return {
    title,
    result: { databases },
    text: title,
    isAnswer: false,
    failure: backupAllFailure(result),
    events,
  }
}

function succeeded(result: BackupResult): PgstowEvent {
  const { database, id, partial, storedBytes, rawBytes, seconds, lastStoredBytes, comparison, warnings } =
    result
  const storages = result.storages.map(({ storage }) => storage)
  const last = lastStoredBytes === null ? {} : { lastStoredBytes }
  return {
    type: "Backup Succeeded",
    database,
    id,
    storages,
    storedBytes,
    rawBytes,
    seconds,
    warnings,
    ...(partial === null ? {} : { partial }),
    ...last,
    ...(comparison === null ? {} : { usual: { backups: comparison.backups, ...comparison.usual } }),
    ...(comparison?.rows ? { rows: { before: comparison.rows.before, after: comparison.rows.after } } : {}),
  }
}

export function formatBackup(result: BackupResult): string {
  const { id, database, partial, seconds, storages, comparison, warnings } = result
  const size = `${formatBytes(result.storedBytes)} stored of ${formatBytes(result.rawBytes)}`
  return [
    `${id} of ${formatName(database)}: ${size} in ${formatSpeed(result.rawBytes, seconds)}`,
    ...(partial === null ? [] : [`  partial: ${formatName(partial)}`]),
    ...storages.map(({ storage, state, error }) =>
      formatName(`  ${storage}: ${state}${error === null ? "" : `: ${error}`}`),
    ),
    ...(comparison === null ? [] : comparisonInWords(comparison).map((line) => `  ${line}`)),
    ...warnings.map((warning) => `  warning: ${formatName(warning)}`),
  ].join("\n")
}
