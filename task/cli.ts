import type { Command } from "commander"
import { backup, backupFailure, formatBackup } from "./commands/backup.ts"
import { cleanup, cleanupFailure, formatCleanup } from "./commands/cleanup.ts"
import { keygen } from "./commands/keygen.ts"
import { formatList, list } from "./commands/list.ts"
import { formatShow, show } from "./commands/show.ts"
import { formatVerify, verifyCopies, verifyFailure } from "./commands/verify.ts"
import { readSettings, type Settings } from "./config.ts"
import type { Context } from "./context.ts"
import { PgstowError } from "./errors.ts"
import { loadIdentities, readAwsSecret } from "./identity.ts"
import { type Connection, connectionFrom } from "./postgres/connection.ts"
import { parseRecipients } from "./recipients.ts"
import { openStorage } from "./storage/open-storage.ts"
import type { Storage } from "./storage/storage.ts"

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
}

type Flags = Readonly<Record<string, unknown>>
export type Work = (invocation: Invocation, context: Context) => Promise<Outcome>
type Run = (work: Work, flags: Flags, args: readonly string[]) => Promise<void>

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
      await run(work, Object.fromEntries(typed), this.args)
    })
  }

  add(
    "backup",
    "back up one database to one or more storages in one pass",
    backupWork,
    [serverOptions, storageOptions, sealOptions, backupOptions],
    `pgstow backup --storage file:///var/backups/pgstow --recipient age1...
     pgstow backup --dbname orders --storage s3://my-bucket/pgstow --storage file:///mnt/nas/pgstow`,
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
    [storageOptions, choiceOptions, keyOptions, verifyOptions],
    `pgstow verify latest
     pgstow verify 20260102T030000Z-k3v9x2ab --deep --identity pgstow.key`,
  ).argument("[backup]", "latest, an id, or the beginning of one")
  add(
    "cleanup",
    "remove the backups that the retention policy does not keep",
    cleanupWork,
    [storageOptions, retentionOptions],
    `pgstow cleanup --dry-run --keep-daily 7 --keep-weekly 5 --keep-monthly 12
     pgstow cleanup 30`,
  ).argument("[days]", "keep the backups of this many days: short for --keep-days")
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
    .option("--compress-level <level>", "zstd's, 1 to 19 (PGSTOW_COMPRESS_LEVEL; default 1)")
    .option(
      "--lock-wait <seconds>",
      "give up when a table stays locked for so long (PGSTOW_LOCK_WAIT; default 60)",
    )
    .option("--no-verify", "do not read the backup back after it was stored (PGSTOW_VERIFY=false)")

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

async function backupWork({ settings, flags }: Invocation, context: Context): Promise<Outcome> {
  const { recipient, unencrypted } = settings
  if (recipient.length === 0 && !unencrypted)
    throw new PgstowError("usage", "nobody was named who can open the backup", {
      hint: "Give --recipient age1... (PGSTOW_RECIPIENTS); `pgstow keygen` makes one. Or say --unencrypted.",
    })
  if (recipient.length > 0 && unencrypted)
    throw new PgstowError("usage", "--recipient and --unencrypted contradict each other", {
      hint: "Leave one of them out.",
    })
  const result = await backup(
    {
      connection: connectionOf(settings, flags, context),
      clientFolders: settings.pgBin,
      storages: storagesOf(settings, context),
      name: settings.name,
      recipients: unencrypted ? undefined : parseRecipients(recipient),
      compressLevel: settings.compressLevel,
      lockWaitSeconds: settings.lockWait,
      verify: settings.verify,
    },
    context,
  )
  const title = `backed up ${result.database}`
  return { title, result, text: formatBackup(result), isAnswer: false, failure: backupFailure(result) }
}

async function listWork({ settings, args }: Invocation, context: Context): Promise<Outcome> {
  const result = await list(storagesOf(settings, context), { database: args[0] })
  return { title: "listed the backups", result, text: formatList(result), isAnswer: true }
}

async function showWork(invocation: Invocation, context: Context): Promise<Outcome> {
  const result = await show(storagesOf(invocation.settings, context), choiceOf(invocation), context)
  return { title: `showed ${result.manifest.id}`, result, text: formatShow(result), isAnswer: true }
}

async function cleanupWork({ settings, flags, args }: Invocation, context: Context): Promise<Outcome> {
  const { keepLast, keepDaily, keepWeekly, keepMonthly, keepYearly } = settings
  const [days] = args
  if (days !== undefined && flags.keepDays !== undefined)
    throw new PgstowError("usage", `the days to keep were given twice, as ${days} and by --keep-days`, {
      hint: "Give them once.",
    })
  // A number of days on the command line stands alone, whatever the environment says of other rules.
  const policy =
    days === undefined
      ? { keepLast, keepDays: settings.keepDays, keepDaily, keepWeekly, keepMonthly, keepYearly }
      : { keepDays: readSettings({ keepDays: days }, {}).keepDays }
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

async function verifyWork(invocation: Invocation, context: Context): Promise<Outcome> {
  const { settings, flags } = invocation
  const storages = storagesOf(settings, context)
  const deep =
    flags.deep === true
      ? { identities: await identitiesOf(settings, context), clientFolders: settings.pgBin }
      : undefined
  const result = await verifyCopies(storages, { ...choiceOf(invocation), deep }, context)
  const text = result.map(formatVerify).join("\n")
  return { title: "verified", result, text, isAnswer: true, failure: verifyFailure(result) }
}

async function keygenWork({ flags }: Invocation, context: Context): Promise<Outcome> {
  const result = await keygen({ out: typeof flags.out === "string" ? flags.out : "pgstow.key" }, context)
  context.log.info(
    `the identity is in ${result.identityFile}: whoever loses it loses the backups, so keep a copy elsewhere`,
  )
  return { title: "made an identity", result, text: result.recipient, isAnswer: true }
}

function storagesOf({ storage, storageTimeout }: Settings, { env, signal }: Context): Storage[] {
  if (storage.length === 0)
    throw new PgstowError("usage", "no storage was named", {
      hint: "Give --storage file:///dir or s3://bucket/prefix (PGSTOW_STORAGE).",
    })
  return [...new Set(storage)].map((url) => openStorage(url, { env, signal, timeoutSeconds: storageTimeout }))
}

function connectionOf({ databaseUrl }: Settings, flags: Flags, { env }: Context): Connection {
  const flag = (name: string) => (typeof flags[name] === "string" ? flags[name] : undefined)
  const given = {
    host: flag("host"),
    port: flag("port"),
    username: flag("username"),
    dbname: flag("dbname"),
    sslmode: flag("sslmode"),
    sslrootcert: flag("sslrootcert"),
  }
  return connectionFrom({ databaseUrl, flags: given, env })
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
