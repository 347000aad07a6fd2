import { realpathSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { type Command, InvalidArgumentError } from "commander"
import {
  type BackupOptions,
  type BackupResult,
  backup,
  backupFailure,
  formatBackup,
} from "../backup/back-up.ts"
import { backupAll, backupAllFailure, formatBackupAll } from "../backup/back-up-all.ts"
import { formatImport, importFailure, importFiles } from "../backup/import-files.ts"
import { checkPolicy, cleanup, cleanupFailure, formatCleanup } from "../catalog/clean-up.ts"
import { formatList, list } from "../catalog/list.ts"
import { formatShow, show } from "../catalog/show.ts"
import { formatStatus, status, statusFailure } from "../catalog/status.ts"
import type { Context } from "../context.ts"
import type { RetentionPolicy } from "../core/retention.ts"
import { messageOf, PgstowError } from "../errors.ts"
import { loadIdentities, readAwsSecret } from "../keys/identity.ts"
import { keygen } from "../keys/keygen.ts"
import { parseRecipients } from "../keys/recipients.ts"
import { migrateFile } from "../legacy/migrate-file.ts"
import type { LegacyKeys } from "../legacy/open-legacy.ts"
import { failureEvents } from "../notify/announce.ts"
import { type PgstowEvent, verificationEvent } from "../notify/events.ts"
import { type Connection, connectionFrom } from "../postgres/connection.ts"
import { withRdsToken } from "../postgres/rds-token.ts"
import { formatRestore, restore, restoreFailure, restoreFile } from "../restore/restore.ts"
import { formatSchedule, schedule } from "../schedule/make-schedule.ts"
import { readSettings, type Settings } from "../settings/config.ts"
import { openStorage } from "../storage/open-storage.ts"
import type { Storage } from "../storage/storage.ts"
import { formatVerify, verifyCopies, verifyFailure } from "../verify/verify.ts"
import { formatVerifyFile, verifyFile } from "../verify/verify-file.ts"

/** Asks the person at the terminal a question and returns the answer. */
export type Ask = (question: string) => Promise<string>

export type Invocation = {
  readonly settings: Settings
  /** What was typed, as commander parsed it. Those that are no settings are read from here. */
  readonly flags: Flags
  readonly args: readonly string[]
  /** Undefined where nobody sits in front of a terminal. */
  readonly ask: Ask | undefined
}

/** What a command hands back: the result for machines, and the same for people. */
export type Outcome = {
  /** A few words, for the log. */
  readonly title: string
  readonly result: unknown
  readonly text: string
  /** Whether the text is what was asked for (a list), wanted also where nobody sits in front of a terminal. */
  readonly isAnswer: boolean
  /** What went wrong although there is a result. */
  readonly failure?: PgstowError | undefined
  /** What there is to tell of it elsewhere. */
  readonly events?: readonly PgstowEvent[] | undefined
}

type Flags = Readonly<Record<string, unknown>>
export type Work = (invocation: Invocation, context: Context) => Promise<Outcome>
type Run = (command: string, work: Work, flags: Flags, args: readonly string[]) => Promise<void>

/** Adds every command to `program`; `run` is called with the one that was asked for. */
export function addCommands(program: Command, run: Run): void {
  const add = (
    name: string,
    description: string,
    work: Work,
    optionGroups: readonly OptionGroup[],
    examples: string,
  ) => {
    const command = program.command(name).description(description)
    for (const addOptions of [...optionGroups, outputOptions]) addOptions(command)
    command.addHelpText("after", `\nExamples:\n${examples.trim().replaceAll(/^ */gm, "  ")}`)
    return command.action(async function (this: Command) {
      // Only what was typed: a default of commander's must not go before the environment.
      const typed = Object.entries(this.opts()).filter(
        ([option]) => this.getOptionValueSource(option) === "cli",
      )
      await run(name, work, Object.fromEntries(typed), this.args)
    })
  }

  add(
    "backup",
    "back up one database to one or more storages in one pass",
    backupWork,
    [serverOptions, storageOptions, sealOptions, backupOptions],
    `pgstow backup --storage file:///var/backups/pgstow --recipient age1...
     pgstow backup --dbname orders --storage s3://my-bucket/pgstow --storage file:///mnt/nas/pgstow
     pgstow backup --all --exclude 'test_*'
     pgstow backup --exec "docker exec -i db" --username postgres --dbname orders`,
  )
  add(
    "list",
    "list the backups, newest first",
    listWork,
    [storageOptions],
    `pgstow list
     pgstow list orders --json`,
  ).argument("[database]", "only those of this database")
  add(
    "show",
    "show one backup's manifest and findings",
    showWork,
    [storageOptions, choiceOptions],
    `pgstow show latest
     pgstow show 20260102T03 --database orders`,
  ).argument("[backup]", "latest, an id, or the beginning of one")
  add(
    "verify",
    "read a backup again and check it against its manifest",
    verifyWork,
    [storageOptions, choiceOptions, keyOptions, legacyKeyOptions, verifyOptions],
    `pgstow verify latest
     pgstow verify 20260102T030000Z-k3v9x2ab --deep --identity pgstow.key
     pgstow verify ./emiti_metrics_20240115_030000.sql.gz.enc --legacy-key-file emiti.key`,
  ).argument("[backup]", "latest, an id, or the beginning of one; or a file of Emiti or Sentinel")
  add(
    "restore",
    "restore a backup, into a new database unless told otherwise",
    restoreWork,
    [serverOptions, storageOptions, choiceOptions, keyOptions, legacyKeyOptions, restoreOptions],
    `pgstow restore latest --into orders_restored --identity pgstow.key
     pgstow restore --at 2026-01-02T03:00Z --database orders --table public.invoices --into rescue
     pgstow restore ./sentinel_backup_20251215_163138.sql.gz --into assets`,
  ).argument("[backup]", "latest, an id, or the beginning of one; or a file of Emiti or Sentinel")
  add(
    "cleanup",
    "remove the backups that the retention policy does not keep",
    cleanupWork,
    [storageOptions, retentionOptions],
    `pgstow cleanup --dry-run --keep-daily 7 --keep-weekly 5 --keep-monthly 12
     pgstow cleanup 30`,
  ).argument("[days]", "keep the backups of this many days: short for --keep-days")
  add(
    "status",
    "say whether every database has a verified backup that is new enough",
    statusWork,
    [storageOptions, ageOptions],
    `pgstow status
     pgstow status orders --max-age-hours 50`,
  ).argument("[database]", "only this one")
  add(
    "schedule",
    "print what backs up every day, for systemd or cron, or install it",
    scheduleWork,
    [scheduleOptions],
    `pgstow schedule --settings /etc/pgstow.env --at 02:30
     sudo npx pgstow schedule --settings /etc/pgstow.env --install
     pgstow schedule --cron`,
  )
  add(
    "import",
    "make backups of files that Emiti and Sentinel left behind",
    importWork,
    [storageOptions, sealOptions, importOptions],
    `pgstow import /var/backups/emiti --legacy-key-file emiti.key
     pgstow import sentinel_backup_20251216_163138.sql.gz.enc --legacy-key-file sentinel.key --name orders`,
  ).argument("<files...>", "files, or folders with files")
  add(
    "migrate",
    "turn an environment file of Emiti or Sentinel into pgstow's settings",
    migrateWork,
    [(command) => command.option("--write <file>", "write the settings into a new file, secrets included")],
    `pgstow migrate /opt/sentinel/.env
     pgstow migrate /etc/emiti.env --write .env`,
  ).argument("<file>", "the environment file")
  add(
    "keygen",
    "make an age identity, and print its recipient",
    keygenWork,
    [(command) => command.option("--out <file>", "where the identity goes", "pgstow.key")],
    `pgstow keygen --out /root/pgstow.key`,
  )
}

type OptionGroup = (command: Command) => Command

const each = (value: string, before: readonly string[] = []) => [...before, value]

const oneOf =
  (...values: readonly string[]) =>
  (value: string) => {
    if (values.includes(value)) return value
    throw new InvalidArgumentError(`It must be one of ${values.join(", ")}.`)
  }

const outputOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Output:")
    .option("--json", "print the result as JSON on standard output")
    .option("--log-level <level>", "debug, info, warn or error (LOG_LEVEL)")
    .option("--log-file <file>", "also log to this file, as JSON lines (LOG_FILE)")
    .option("--debug", "print the stack of a failure")

const storageOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Storage:")
    .option(
      "--storage <url>",
      "file:///dir or s3://bucket/prefix?endpoint=...; may be repeated (PGSTOW_STORAGE)",
      each,
    )
    .option(
      "--storage-timeout <seconds>",
      "try a request again, five times at most, after so long without progress (PGSTOW_STORAGE_TIMEOUT; default 60)",
    )

const serverOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Server (default: DATABASE_URL, then libpq's PG* variables; passwords only there):")
    .option("--host <host>", "the server's host, or the folder of its socket")
    .option("--port <port>", "the server's port")
    .option("--username <role>", "the role to connect as")
    .option("--dbname <name>", "the database to connect to")
    .option("--exec <prefix>", 'run every PostgreSQL program through this: "docker exec -i db" (PGSTOW_EXEC)')
    .option("--sslmode <mode>", "disable, allow, prefer, require, verify-ca or verify-full")
    .option("--sslrootcert <file>", "the certificates to trust, or system")
    .option(
      "--pg-bin <folder>",
      "where to look for pg_dump and its kin first; may be repeated (PGSTOW_PG_BIN)",
      each,
    )

const sealOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Encryption:")
    .option(
      "--recipient <age1...>",
      "a public key that can open the backup; may be repeated (PGSTOW_RECIPIENTS)",
      each,
    )
    .option("--unencrypted", "store it readable by anyone (PGSTOW_UNENCRYPTED)")

const keyOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Key:")
    .option("--identity <file>", "an age identity: a file, or secretsmanager:ARN (PGSTOW_IDENTITY)")

const backupOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Backup:")
    .option("--name <name>", "the name to keep it under, in place of the database's own (PGSTOW_NAME)")
    .option(
      "--jobs <n>",
      "streams at once, each with a connection (PGSTOW_JOBS; default: what machine and server bear)",
    )
    .option("--compress-level <level>", "zstd's, 1 to 19 (PGSTOW_COMPRESS_LEVEL; default 1)")
    .option(
      "--lock-wait <seconds>",
      "give up when a table stays locked for so long (PGSTOW_LOCK_WAIT; default 60)",
    )
    .option("--no-verify", "do not read the backup back after it was stored (PGSTOW_VERIFY=false)")
    .option(
      "--shrink-warning <percent>",
      "warn when so much less came than the last times (PGSTOW_SHRINK_WARNING; default 50)",
    )
    .option("--all", "every database of the server, each as its own backup (PGSTOW_ALL)")
    .option(
      "--include <pattern>",
      "with --all: only these, * for anything; may be repeated (PGSTOW_INCLUDE)",
      each,
    )
    .option("--exclude <pattern>", "with --all: but not these; may be repeated (PGSTOW_EXCLUDE)", each)
    .option("--cleanup", "clean up after a good backup, by the policy of PGSTOW_KEEP_... (PGSTOW_CLEANUP)")

const legacyKeyOptions: OptionGroup = (command) =>
  command.option(
    "--legacy-key-file <file>",
    "the file with the key of Emiti or Sentinel (ENCRYPTION_KEY_PATH)",
  )

const importOptions: OptionGroup = (command) =>
  legacyKeyOptions(command.optionsGroup("Import:"))
    .option("--name <name>", "the database to keep them as backups of (PGSTOW_NAME)")
    .option("--compress-level <level>", "zstd's, 1 to 19 (PGSTOW_COMPRESS_LEVEL; default 1)")
    .option("--no-verify", "do not read back what was stored (PGSTOW_VERIFY=false)")

const choiceOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Which backup:")
    .option("--backup <id>", "the same as the argument")
    .option("--database <name>", "of which database; may be left out where there is only one")
    .option("--at <time>", "the last one started at or before this time: 2026-01-02T03:00Z")

const verifyOptions: OptionGroup = (command) =>
  command
    .option("--deep", "also decrypt, decompress and read every part to its end (needs the key)")
    .option("--pg-bin <folder>", "where to look for pg_restore first; may be repeated (PGSTOW_PG_BIN)", each)

const restoreOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Restore:")
    .option("--into <name>", "the database to restore into; a new one unless it exists")
    .option("--clean", "drop what is restored from an existing database first")
    .option("--table <table>", "only this table and what belongs to it; may be repeated", each)
    .option("--schema <schema>", "only this schema; may be repeated", each)
    .option("--no-owner", "everything belongs to the role that restores")
    .option("--no-acl", "leave grants out")
    .option("--role <role>", "everything belongs to this role")
    .option(
      "--locale <which>",
      "original, or default: the target's own, where it lacks the original",
      oneOf("original", "default"),
    )
    .option("--jobs <n>", "streams at once into a new database, each with a connection (PGSTOW_JOBS)")
    .option("--no-analyze", "leave the planner's statistics for later")
    .option("--yes", "do not ask")

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

const ageOptions: OptionGroup = (command) =>
  command.option(
    "--max-age-hours <hours>",
    "how old the newest verified backup may be (PGSTOW_MAX_AGE_HOURS; default 26)",
  )

const scheduleOptions: OptionGroup = (command) =>
  command
    .option("--at <time>", "the time of day, in this machine's time zone", "03:00")
    .option("--settings <file>", "the file with the settings to run with", ".env")
    .option("--unit <name>", "the name of the units, or of the cron file", "pgstow")
    .option("--cron", "a file for /etc/cron.d in place of systemd's units")
    .option("--install", "put the files where they belong, and start the timer")

/** Whom to seal for; undefined where backups are to be readable by anyone. */
function recipientsOf({ recipient, unencrypted }: Settings): readonly string[] | undefined {
  if (recipient.length === 0 && !unencrypted)
    throw new PgstowError("usage", "nobody was named who can open the backup", {
      hint: "Give --recipient age1... (PGSTOW_RECIPIENTS); `pgstow keygen` makes one. Or say --unencrypted.",
    })
  if (recipient.length > 0 && unencrypted)
    throw new PgstowError("usage", "--recipient and --unencrypted contradict each other", {
      hint: "Leave one of them out.",
    })
  return unencrypted ? undefined : parseRecipients(recipient)
}

async function backupWork({ settings, flags }: Invocation, context: Context): Promise<Outcome> {
  const recipients = recipientsOf(settings)
  const storages = storagesOf(settings, context)
  const policy = policyOf(settings)
  if (settings.cleanup) checkPolicy(policy)
  const options = {
    connection: await connectionOf(settings, flags, context),
    clientFolders: settings.pgBin,
    storages,
    name: settings.name,
    recipients,
    jobs: settings.jobs,
    compressLevel: settings.compressLevel,
    lockWaitSeconds: settings.lockWait,
    verify: settings.verify,
    shrinkWarning: settings.shrinkWarning,
  }
  if (settings.all) return backupAllWork(options, settings, context)
  const made = await backup(options, context)
  const { database } = made
  const title = `backed up ${database}`
  const failure = backupFailure(made)
  if (failure) return { title, result: made, text: formatBackup(made), isAnswer: false, failure }
  if (!settings.cleanup)
    return { title, result: made, text: formatBackup(made), isAnswer: false, events: [succeeded(made)] }
  const cleaned = await cleanup(storages, { policy, database, dryRun: false }, context)
  const left = cleanupFailure(cleaned)
  return {
    title,
    result: { ...made, cleanup: cleaned },
    text: `${formatBackup(made)}\n${formatCleanup(cleaned)}`,
    isAnswer: false,
    failure: left,
    events: [succeeded(made), ...(left ? failureEvents("cleanup", database, left) : [])],
  }
}

async function backupAllWork(options: BackupOptions, settings: Settings, context: Context): Promise<Outcome> {
  const { name, include, exclude } = settings
  if (name !== undefined)
    throw new PgstowError("usage", "--all and --name contradict each other", {
      hint: "With --all each database is kept under its own name.",
    })
  const result = await backupAll({ ...options, include, exclude }, context)
  const good = result.flatMap(({ backup, failure }) => (backup && !failure ? [backup] : []))
  const events = good.map(succeeded)
  for (const { database } of settings.cleanup ? good : []) {
    const policy = policyOf(settings)
    const left = cleanupFailure(await cleanup(options.storages, { policy, database, dryRun: false }, context))
    if (left) context.log.error(messageOf(left))
    if (left) events.push(...failureEvents("cleanup", database, left))
  }
  // What failed is told last, so that a healthcheck does not end on a good word.
  for (const { database, failure } of result)
    if (failure) events.push(...failureEvents("backup", database, failure))
  const title = `backed up ${good.length} of ${result.length} databases`
  const told = result.map(({ database, backup, failure }) => ({
    database,
    backup: backup ?? null,
    error: failure ? { kind: failure.kind, message: messageOf(failure), hint: failure.hint ?? null } : null,
  }))
  const text = formatBackupAll(result)
  return {
    title,
    result: { databases: told },
    text,
    isAnswer: false,
    failure: backupAllFailure(result),
    events,
  }
}

function succeeded(result: BackupResult): PgstowEvent {
  const { database, id, storedBytes, rawBytes, seconds, lastStoredBytes, warnings } = result
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
    ...last,
  }
}

function policyOf(settings: Settings): RetentionPolicy {
  const { keepLast, keepDays, keepDaily, keepWeekly, keepMonthly, keepYearly } = settings
  return { keepLast, keepDays, keepDaily, keepWeekly, keepMonthly, keepYearly }
}

async function listWork({ settings, args }: Invocation, context: Context): Promise<Outcome> {
  const result = await list(storagesOf(settings, context), { database: args[0] })
  return { title: "listed the backups", result, text: formatList(result), isAnswer: true }
}

async function showWork(invocation: Invocation, context: Context): Promise<Outcome> {
  const result = await show(storagesOf(invocation.settings, context), choiceOf(invocation), context)
  return { title: `showed ${result.manifest.id}`, result, text: formatShow(result), isAnswer: true }
}

/** A file of an older system in place of a backup's id, which has neither of these characters. */
function legacyFileIn({ args: [first] }: Invocation): string | undefined {
  return first !== undefined && /[./]/.test(first) ? first : undefined
}

async function restoreWork(invocation: Invocation, context: Context): Promise<Outcome> {
  const { settings, flags, ask } = invocation
  const tables = namesOf(flags.table)
  const schemas = namesOf(flags.schema)
  const role = typeof flags.role === "string" ? flags.role : undefined
  const options = {
    connection: await connectionOf(settings, flags, context),
    clientFolders: settings.pgBin,
    into: typeof flags.into === "string" ? flags.into : undefined,
    selection: tables.length + schemas.length > 0 ? { tables, schemas } : undefined,
    owners: role === undefined ? (flags.owner === false ? "none" : "keep") : { role },
    grants: flags.acl === false ? "none" : "keep",
    clean: flags.clean === true,
    locale: flags.locale === "default" ? "default" : "original",
    analyze: flags.analyze !== false,
    yes: flags.yes === true,
    ask,
  } as const
  const file = legacyFileIn(invocation)
  const result =
    file === undefined
      ? await restore(
          {
            ...options,
            ...choiceOf(invocation),
            storages: storagesOf(settings, context),
            identities: await identitiesOf(settings, context),
            jobs: settings.jobs,
          },
          context,
        )
      : await restoreFile(file, { ...options, keys: await legacyKeysOf(settings, flags) }, context)
  const title = `restored ${result.id} into ${result.into}`
  const { id, database, into, seconds } = result
  const failure = restoreFailure(result)
  const events =
    failure === undefined ? [{ type: "Restore Succeeded", database, id, into, seconds } as const] : undefined
  return { title, result, text: formatRestore(result), isAnswer: false, failure, events }
}

function namesOf(flag: unknown): string[] {
  return Array.isArray(flag) ? flag.map(String) : []
}

async function cleanupWork({ settings, flags, args }: Invocation, context: Context): Promise<Outcome> {
  const [days] = args
  if (days !== undefined && flags.keepDays !== undefined)
    throw new PgstowError("usage", `the days to keep were given twice, as ${days} and by --keep-days`, {
      hint: "Give them once.",
    })
  // A number of days on the command line stands alone, whatever the environment says of other rules.
  const policy =
    days === undefined ? policyOf(settings) : { keepDays: readSettings({ keepDays: days }, {}).keepDays }
  const database = typeof flags.database === "string" ? flags.database : undefined
  const result = await cleanup(
    storagesOf(settings, context),
    { policy, database, dryRun: flags.dryRun === true },
    context,
  )
  const failure = cleanupFailure(result)
  return {
    title: "cleaned up",
    result,
    text: formatCleanup(result),
    isAnswer: flags.dryRun === true,
    failure,
  }
}

async function statusWork({ settings, args }: Invocation, context: Context): Promise<Outcome> {
  const options = { database: args[0], maxAgeHours: settings.maxAgeHours }
  const result = await status(storagesOf(settings, context), options, context)
  return {
    title: "looked for backups",
    result,
    text: formatStatus(result),
    isAnswer: true,
    failure: statusFailure(result),
  }
}

async function scheduleWork({ flags }: Invocation, context: Context): Promise<Outcome> {
  const flag = (name: string, unset: string) => (typeof flags[name] === "string" ? flags[name] : unset)
  const result = await schedule(
    {
      kind: flags.cron === true ? "cron" : "systemd",
      name: flag("unit", "pgstow"),
      at: flag("at", "03:00"),
      settingsFile: flag("settings", ".env"),
      program: [process.execPath, realpathSync(process.argv[1] ?? "")],
      install: flags.install === true,
    },
    context,
  )
  return { title: "made a schedule", result, text: formatSchedule(result), isAnswer: true }
}

async function importWork({ settings, flags, args }: Invocation, context: Context): Promise<Outcome> {
  const sentinelName = databaseNamed(settings, {}, context.env)
  const result = await importFiles(
    {
      paths: args,
      storages: storagesOf(settings, context),
      keys: await legacyKeysOf(settings, flags),
      name: settings.name,
      sentinelName: sentinelName === "*" ? undefined : sentinelName,
      recipients: recipientsOf(settings),
      compressLevel: settings.compressLevel,
      verify: settings.verify,
    },
    context,
  )
  return {
    title: "imported",
    result,
    text: formatImport(result),
    isAnswer: true,
    failure: importFailure(result),
  }
}

async function legacyKeysOf({ legacyKey, legacyKeyFile }: Settings, flags: Flags): Promise<LegacyKeys> {
  if (legacyKeyFile === undefined) return { emiti: legacyKey }
  const key = await readFile(legacyKeyFile).catch((cause: unknown) => {
    throw new PgstowError("key", `the key file ${legacyKeyFile} can't be read`, { cause })
  })
  const wanted = flags.legacyKeyFile !== undefined || legacyKey === undefined
  return { emiti: wanted ? key.toString() : legacyKey, sentinel: key }
}

async function migrateWork({ flags, args }: Invocation): Promise<Outcome> {
  const write = typeof flags.write === "string" ? flags.write : undefined
  const { result, text } = await migrateFile(args[0] ?? "", { write })
  return { title: "read the older settings", result, text, isAnswer: true }
}

async function verifyWork(invocation: Invocation, context: Context): Promise<Outcome> {
  const { settings, flags } = invocation
  const file = legacyFileIn(invocation)
  if (file !== undefined) {
    const result = await verifyFile(file, await legacyKeysOf(settings, flags), context)
    return { title: "verified", result, text: formatVerifyFile(result), isAnswer: true }
  }
  const storages = storagesOf(settings, context)
  const deep =
    flags.deep === true
      ? { identities: await identitiesOf(settings, context), clientFolders: settings.pgBin }
      : undefined
  const result = await verifyCopies(storages, { ...choiceOf(invocation), deep }, context)
  const text = result.map(formatVerify).join("\n")
  return {
    title: "verified",
    result,
    text,
    isAnswer: true,
    failure: verifyFailure(result),
    events: result.map(verificationEvent),
  }
}

async function keygenWork({ flags }: Invocation, context: Context): Promise<Outcome> {
  const result = await keygen({ out: typeof flags.out === "string" ? flags.out : "pgstow.key" }, context)
  context.log.info(
    `the identity is in ${result.identityFile}: whoever loses it loses the backups, so keep a copy elsewhere`,
  )
  return { title: "made an identity", result, text: result.recipient, isAnswer: true }
}

/** The database that a command is about, as far as that is known before it runs: "*" where it is not. */
export function databaseNamed({ name, databaseUrl }: Settings, flags: Flags, env: Context["env"]): string {
  const named = [flags.database, name, flags.dbname].find((value) => typeof value === "string")
  if (typeof named === "string") return named
  try {
    return connectionFrom({ databaseUrl, env }).params.dbname ?? "*"
  } catch {
    // What is wrong with it, the command itself says.
    return "*"
  }
}

function storagesOf({ storage, storageTimeout }: Settings, { env, signal }: Context): Storage[] {
  if (storage.length === 0)
    throw new PgstowError("usage", "no storage was named", {
      hint: "Give --storage file:///dir or s3://bucket/prefix (PGSTOW_STORAGE).",
    })
  return [...new Set(storage)].map((url) => openStorage(url, { env, signal, timeoutSeconds: storageTimeout }))
}

async function connectionOf(
  { databaseUrl, rdsIam }: Settings,
  flags: Flags,
  { env }: Context,
): Promise<Connection> {
  const flag = (name: string) => (typeof flags[name] === "string" ? flags[name] : undefined)
  const given = {
    host: flag("host"),
    port: flag("port"),
    username: flag("username"),
    dbname: flag("dbname"),
    sslmode: flag("sslmode"),
    sslrootcert: flag("sslrootcert"),
  }
  const connection = connectionFrom({ databaseUrl, flags: given, env })
  return rdsIam ? withRdsToken(connection) : connection
}

async function identitiesOf({ identity }: Settings, { log }: Context): Promise<string[]> {
  if (identity === undefined) return []
  return loadIdentities(identity, { readSecret: readAwsSecret, warn: (message) => log.warn(message) })
}

/** Which backup is meant: an argument, or --backup, or --at. */
function choiceOf({ flags, args }: Invocation): { backup: string | Date; database: string | undefined } {
  const named = [args[0], flags.backup, flags.at].filter((value) => typeof value === "string")
  if (named.length > 1)
    throw new PgstowError("usage", "the backup was named more than once", {
      hint: "Give one of an id, --backup or --at.",
    })
  const database = typeof flags.database === "string" ? flags.database : undefined
  return { backup: typeof flags.at === "string" ? timeOf(flags.at) : (named[0] ?? "latest"), database }
}

function timeOf(text: string): Date {
  // Without a zone JavaScript takes a date for UTC and a date with a time for local time: nobody should guess.
  const time = new Date(/[zZ]$|[+-]\d\d:?\d\d$/.test(text) ? text : "")
  if (!Number.isNaN(time.getTime())) return time
  throw new PgstowError("usage", `--at ${text} is not a time with its zone`, {
    hint: "Write it like 2026-01-02T03:00Z.",
  })
}
