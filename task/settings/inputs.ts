/** What commands work on, made from settings and from the flags that several of them share. */
import { readFile } from "node:fs/promises"
import * as z from "zod"
import type { Context } from "../context.ts"
import type { RetentionPolicy } from "../core/retention.ts"
import type { TablePatterns } from "../core/table-patterns.ts"
import { makeReadable, PgstowError } from "../errors.ts"
import { readAwsSecret } from "../keys/aws-secret.ts"
import { loadIdentities } from "../keys/identity.ts"
import { parseRecipients } from "../keys/recipients.ts"
import { isSigningKeyFile, loadSigningKey, parseSigners, type SigningKey } from "../keys/signing-key.ts"
import type { LegacyKeys } from "../legacy/open-legacy.ts"
import { type Connection, connectionFrom, describeServer } from "../postgres/connection.ts"
import { withRdsToken } from "../postgres/rds-token.ts"
import { withTls } from "../postgres/tls.ts"
import { throughTunnel } from "../postgres/tunnel.ts"
import { openStorage } from "../storage/open-storage.ts"
import type { Storage } from "../storage/storage.ts"
import type { Settings } from "./config.ts"

const text = z.string().optional()

/** The flags that say which server to connect to, and as whom. */
export const connectionFlags = z.object({
  host: text,
  port: text,
  username: text,
  dbname: text,
  sslmode: text,
  sslrootcert: text,
})

/** The flags that say which backup is meant. */
export const choiceFlags = z.object({ backup: text, database: text, at: text })

/** The flag that names a database, where the argument may do so too. */
export const databaseFlag = choiceFlags.pick({ database: true })

/** The flag that goes before the environment's key, even where that has one. */
export const legacyKeyFlags = z.object({ legacyKeyFile: text })

/** Opens every storage once. Throws a usage error where there is none. */
export function storagesOf({ storage, storageTimeout }: Settings, { env, signal }: Context): Storage[] {
  if (storage.length === 0)
    throw new PgstowError("usage", "no storage was given", {
      hint: "Give --storage file:///dir or s3://bucket/prefix (PGSTOW_STORAGE).",
    })
  return [...new Set(storage)].map((url) => openStorage(url, { env, signal, timeoutSeconds: storageTimeout }))
}

export async function connectionOf(
  { databaseUrl, exec, tunnel, rdsIam, caFile, ca, requireTls }: Settings,
  flags: z.output<typeof connectionFlags>,
  context: Context,
): Promise<Connection> {
  const { env } = context
  const plain = connectionFrom({ databaseUrl, flags: connectionFlags.parse(flags), env, exec })
  const connection = tunnelled(withTls(plain, { caFile, ca, requireTls }, env), tunnel, context)
  return rdsIam ? withRdsToken(connection) : connection
}

/** The connection through the tunnel of the settings, which is opened when a session is. */
function tunnelled(
  connection: Connection,
  tunnel: string | undefined,
  { env, end, over }: Pick<Context, "env" | "end" | "over">,
): Connection {
  if (tunnel === undefined) return connection
  return throughTunnel(connection, tunnel, { env, until: over, onLoss: (failure) => end?.(failure) })
}

/**
 * The server that a restore would go to; undefined where none is given. Whatever PG* variables say is of the source, but
 * for the password. Throws a usage error where a password was typed.
 */
export function targetOf(
  { target, tunnel, caFile, ca, requireTls }: Settings,
  typed: ReadonlySet<string>,
  context: Pick<Context, "env" | "end" | "over">,
): Connection | undefined {
  const { env } = context
  if (target === undefined) return undefined
  const plain = connectionFrom({ databaseUrl: target })
  if (typed.has("target") && plain.password !== undefined)
    throw new PgstowError("usage", "--target holds a password, which a list of processes shows", {
      hint: "Put the URL into PGSTOW_TARGET, or the password into PGPASSWORD or a password file.",
    })
  return tunnelled(withTls(plain, { caFile, ca, requireTls }, env), tunnel, context)
}

/** The database that a command is about, as far as that is known before it runs: "*" where it is not. */
export function databaseNamed(
  { name, databaseUrl }: Settings,
  flags: { readonly database?: unknown; readonly dbname?: unknown },
  env: Context["env"],
): string {
  const named = [flags.database, name, flags.dbname].find((value) => typeof value === "string")
  if (typeof named === "string") return named
  try {
    return connectionFrom({ databaseUrl, env }).params.dbname ?? "*"
  } catch {
    // What is wrong with it, the command itself says.
    return "*"
  }
}

/** The server that a command connects to, as far as that is known before it runs; undefined where it is not. */
export function serverNamed(
  { databaseUrl, exec }: Settings,
  flags: Readonly<Record<string, unknown>>,
  env: Context["env"],
): string | undefined {
  const given = connectionFlags.safeParse(flags)
  if (!given.success) return undefined
  try {
    return describeServer(connectionFrom({ databaseUrl, flags: given.data, env, exec }))
  } catch {
    // What is wrong with it, the command itself says.
    return undefined
  }
}

/** Which backup is meant: an argument, or --backup, or --at. */
export function choiceOf(
  [argument]: readonly string[],
  { backup, at, database }: z.output<typeof choiceFlags>,
): { backup: string | Date; database: string | undefined } {
  const named = [argument, backup, at].filter((value) => value !== undefined)
  if (named.length > 1)
    throw new PgstowError("usage", "the backup was given more than once", {
      hint: "Give one of an id, --backup or --at.",
    })
  return { backup: at === undefined ? (named[0] ?? "latest") : timeOf(at), database }
}

/** The database that a command's argument names, or --database. */
export function databaseChosen(
  [argument]: readonly string[],
  { database }: Pick<z.output<typeof choiceFlags>, "database">,
): string | undefined {
  if (argument !== undefined && database !== undefined && argument !== database)
    throw new PgstowError("usage", "two databases were given, by the argument and by --database", {
      hint: "Give one of them, or leave both out for all.",
    })
  return argument ?? database
}

function timeOf(text: string): Date {
  // Without a zone JavaScript takes a date for UTC and a date with a time for local time: nobody should guess.
  const time = new Date(/[zZ]$|[+-]\d\d:?\d\d$/.test(text) ? text : "")
  if (!Number.isNaN(time.getTime())) return time
  throw new PgstowError("usage", `--at ${text} is not a time with its zone`, {
    hint: "Write it like 2026-01-02T03:00Z.",
  })
}

/** A file of an older system in place of a backup's id, which has neither of these characters. */
export function legacyFileIn([argument]: readonly string[]): string | undefined {
  return argument !== undefined && /[./]/.test(argument) ? argument : undefined
}

/** What of a database is to be backed up. */
export function patternsOf(settings: Settings): TablePatterns {
  const { table, schema, excludeTable, excludeSchema, excludeTableData } = settings
  return {
    tables: table,
    schemas: schema,
    excludeTables: excludeTable,
    excludeSchemas: excludeSchema,
    excludeTableData,
  }
}

/** Whom to seal for; undefined where backups are to be readable by anyone. */
export function recipientsOf({ recipient, unencrypted }: Settings): readonly string[] | undefined {
  if (recipient.length === 0 && !unencrypted)
    throw new PgstowError("usage", "no recipient was given", {
      hint: "Give --recipient age1... (PGSTOW_RECIPIENTS); `pgstow keygen` makes one. Or say --unencrypted.",
    })
  if (recipient.length > 0 && unencrypted)
    throw new PgstowError("usage", "--recipient and --unencrypted contradict each other", {
      hint: "Leave one of them out.",
    })
  return unencrypted ? undefined : parseRecipients(recipient)
}

export async function identitiesOf({ identity }: Settings, { log }: Pick<Context, "log">): Promise<string[]> {
  if (identity === undefined) return []
  return loadIdentities(identity, { readSecret: readAwsSecret, warn: (message) => log.warn(message) })
}

/** What backups are to be signed by; undefined where they are not. */
export async function signingKeyOf(
  { signingKey }: Settings,
  { log }: Pick<Context, "log">,
): Promise<SigningKey | undefined> {
  if (signingKey === undefined) return undefined
  return loadSigningKey(signingKey, { readSecret: readAwsSecret, warn: (message) => log.warn(message) })
}

/** The file that holds the key which signs backups; undefined where it is not in one. */
export function signingKeyFileOf({ signingKey }: Settings): string | undefined {
  return signingKey !== undefined && isSigningKeyFile(signingKey) ? signingKey : undefined
}

/** The public halves of the keys of which one must have signed what is read; none where any backup will do. */
export function signedByOf({ signedBy }: Settings): readonly string[] {
  return parseSigners(signedBy)
}

export async function legacyKeysOf(
  { legacyKey, legacyKeyFile }: Settings,
  flags: z.output<typeof legacyKeyFlags>,
): Promise<LegacyKeys> {
  if (legacyKeyFile === undefined) return { emiti: legacyKey }
  const key = await readFile(legacyKeyFile).catch((cause: unknown) => {
    throw new PgstowError("key", `the key file ${legacyKeyFile} can't be read`, { cause, hint: makeReadable })
  })
  const wanted = flags.legacyKeyFile !== undefined || legacyKey === undefined
  return { emiti: wanted ? key.toString() : legacyKey, sentinel: key }
}

export function policyOf(settings: Settings): RetentionPolicy {
  const { keepLast, keepDays, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly } = settings
  return { keepLast, keepDays, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly }
}
