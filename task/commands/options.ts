/** The options that several commands share. Each names the environment variable that stands for it. */
import type { OptionGroup } from "./command.ts"

/** For an option that may be repeated. */
export const each = (value: string, before: readonly string[] = []) => [...before, value]

export const outputOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Output:")
    .option("--json", "print the result as JSON on standard output")
    .option("--log-level <level>", "debug, info, warn or error (LOG_LEVEL)")
    .option("--log-file <file>", "also log to this file, as JSON lines (LOG_FILE)")
    .option("--debug", "print the stack trace of a failure")

export const configOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Settings:")
    .option("--config <file>", "a file of settings for one or more databases (PGSTOW_CONFIG)")

export const storageOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Storage:")
    .option(
      "--storage <url>",
      "file:///dir or s3://bucket/prefix?endpoint=...; may be repeated (PGSTOW_STORAGE)",
      each,
    )
    .option(
      "--storage-timeout <seconds>",
      "retry a request after this long without progress, five times at most (PGSTOW_STORAGE_TIMEOUT; default 60)",
    )

export const serverOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Server (default: DATABASE_URL, then libpq's PG* variables; passwords only there):")
    .option("--host <host>", "the server's host, or the directory of its socket")
    .option("--port <port>", "the server's port")
    .option("--username <role>", "the role to connect as")
    .option("--dbname <name>", "the database to connect to")
    .option("--exec <prefix>", 'run every PostgreSQL program through this: "docker exec -i db" (PGSTOW_EXEC)')
    .option(
      "--exec-timeout <seconds>",
      "give up when a program behind --exec has not started after this long (PGSTOW_EXEC_TIMEOUT; default 60)",
    )
    .option(
      "--tunnel <user@host[:port]>",
      "reach the server through this SSH server, by the system's ssh and keys (PGSTOW_TUNNEL)",
    )
    .option("--sslmode <mode>", "disable, allow, prefer, require, verify-ca or verify-full")
    .option("--sslrootcert <file>", "the certificates to trust, or system")
    .option(
      "--pg-bin <folder>",
      "look for pg_dump, pg_restore and psql here first; may be repeated (PGSTOW_PG_BIN)",
      each,
    )

export const sealOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Encryption:")
    .option(
      "--recipient <age1...>",
      "a public key that can open the backup; may be repeated (PGSTOW_RECIPIENTS)",
      each,
    )
    .option("--unencrypted", "store the backup readable by anyone (PGSTOW_UNENCRYPTED)")
    .option(
      "--signing-key <file>",
      "sign the backup by this key: a file, or secretsmanager:ARN (PGSTOW_SIGNING_KEY)",
    )

export const keyOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Key:")
    .option("--identity <file>", "an age identity: a file, or secretsmanager:ARN (PGSTOW_IDENTITY)")

export const signerOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Signature:")
    .option(
      "--signed-by <pgstow-signer-...>",
      "refuse what this key has not signed; may be repeated: one of several (PGSTOW_SIGNED_BY)",
      each,
    )

export const legacyKeyOptions: OptionGroup = (command) =>
  command.option(
    "--legacy-key-file <file>",
    "the file with the key of Emiti or Sentinel (ENCRYPTION_KEY_PATH)",
  )

export const choiceOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Which backup:")
    .option("--backup <id>", "the same as the argument")
    .option("--database <name>", "of which database; not needed where there is only one")
    .option("--at <time>", "the last one started at or before this time: 2026-01-02T03:00Z")

/** What retention keeps; below the heading of whoever takes them. */
export const keepOptions: OptionGroup = (command) =>
  command
    .option("--keep-last <n>", "the last n (PGSTOW_KEEP_LAST)")
    .option("--keep-days <n>", "those of the last n days (PGSTOW_KEEP_DAYS)")
    .option("--keep-hourly <n>", "one an hour for n hours that have one (PGSTOW_KEEP_HOURLY)")
    .option("--keep-daily <n>", "one a day for n days (PGSTOW_KEEP_DAILY)")
    .option("--keep-weekly <n>", "one a week for n weeks (PGSTOW_KEEP_WEEKLY)")
    .option("--keep-monthly <n>", "one a month for n months (PGSTOW_KEEP_MONTHLY)")
    .option("--keep-yearly <n>", "one a year for n years (PGSTOW_KEEP_YEARLY)")

/** For commands whose argument is a database. */
export const databaseOption: OptionGroup = (command) =>
  command
    .optionsGroup("Which backups:")
    .option("--database <name>", "only those of this database: the same as the argument")
