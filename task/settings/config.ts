import * as z from "zod"
import { logLevels } from "../console/log.ts"
import { splitPatterns } from "../core/table-patterns.ts"
import { PgstowError } from "../errors.ts"

const text = z.string().min(1, "is empty").optional()
const listBy = (separator: RegExp) =>
  z
    .union([z.string(), z.array(z.string())])
    .transform((value) => (typeof value === "string" ? value.split(separator) : value))
    .transform((parts) => parts.filter((part) => part.trim() !== ""))
const words = listBy(/\s+/)
/** Patterns of names. An empty one, of a shell's variable that is not set, must not mean everything. */
const patterns = z
  .union([z.string(), z.array(z.string())])
  .transform((value) => (typeof value === "string" ? splitPatterns(value) : value))
  .refine((all) => all.every((one) => one.trim() !== ""), "is empty")
  .default([])
const yesNo = z.union([z.boolean(), z.stringbool()], { error: "must be true or false" })
const wholeNumber = (
  lowest: number,
  highest: number,
  error = `must be a whole number from ${lowest} to ${highest}`,
) => z.coerce.number({ error }).int({ error }).min(lowest, { error }).max(highest, { error })
const mustBeJobs = "must be auto, or a whole number from 1 to 64"
const keep = wholeNumber(1, 100_000).optional()

/** A folder's name is up to three times as long, and file systems take 255 bytes. */
const isShort = (name: string | undefined) => Buffer.byteLength(name ?? "") <= 63

/**
 * Every setting: the environment variable that holds it, and what it may be. A flag of the same name in kebab
 * case goes before the variable, the variable before `.env`.
 */
const settings = {
  /** The source or target, as libpq reads it: a URI or "key=value" pairs. No flag: a password may be in it. */
  databaseUrl: { env: "DATABASE_URL", schema: text },
  /** The server that `doctor` looks at for a restore, as libpq reads it. As a flag without a password. */
  target: { env: "PGSTOW_TARGET", schema: text },
  storage: { env: "PGSTOW_STORAGE", schema: words.default([]) },
  /** Seconds without progress after which a request to a storage is tried again. */
  storageTimeout: { env: "PGSTOW_STORAGE_TIMEOUT", schema: wholeNumber(1, 86_400).default(60) },
  /** A file of authorities to trust where a server's certificate is verified. */
  caFile: { env: "PGSTOW_CA_FILE", schema: text },
  /** The same as text, in PEM. */
  ca: { env: "PGSTOW_CA", schema: text },
  /** Whether sslmode=prefer and allow mean require. */
  requireTls: { env: "PGSTOW_REQUIRE_TLS", schema: yesNo.default(false) },
  /** Authenticate at RDS by a token of IAM's in place of a password. */
  rdsIam: { env: "PGSTOW_RDS_IAM", schema: yesNo.default(false) },
  /** The EventBridge bus, by name or ARN, that is told what happens. */
  eventBus: { env: "PGSTOW_EVENT_BUS", schema: text },
  /** A file of settings for several databases. */
  config: { env: "PGSTOW_CONFIG", schema: text },
  /** The name that the catalog keeps backups under. */
  name: {
    env: "PGSTOW_NAME",
    schema: text.refine(isShort, "must be at most 63 bytes long, as PostgreSQL's names"),
  },
  recipient: { env: "PGSTOW_RECIPIENTS", schema: words.default([]) },
  unencrypted: { env: "PGSTOW_UNENCRYPTED", schema: yesNo.default(false) },
  identity: { env: "PGSTOW_IDENTITY", schema: text },
  /** What manifests are signed by. */
  signingKey: { env: "PGSTOW_SIGNING_KEY", schema: text },
  /** The public halves of the keys of which one must have signed a backup that is read; any will do where there are none. */
  signedBy: {
    env: "PGSTOW_SIGNED_BY",
    schema: words.refine((keys) => keys.length > 0, "holds no key, and nothing would be checked").default([]),
  },
  /** Emiti's key, to open the files that it left behind. No flag: it is a secret. */
  legacyKey: { env: "ENCRYPTION_KEY", schema: text },
  /** The file with the key of Sentinel, or of Emiti. */
  legacyKeyFile: { env: "ENCRYPTION_KEY_PATH", schema: text },
  /** Every database of the server, or those that these patterns choose. */
  all: { env: "PGSTOW_ALL", schema: yesNo.default(false) },
  include: { env: "PGSTOW_INCLUDE", schema: words.default([]) },
  exclude: { env: "PGSTOW_EXCLUDE", schema: words.default([]) },
  /** What of a database is backed up: patterns as pg_dump has them. */
  table: { env: "PGSTOW_TABLE", schema: patterns },
  schema: { env: "PGSTOW_SCHEMA", schema: patterns },
  excludeTable: { env: "PGSTOW_EXCLUDE_TABLE", schema: patterns },
  excludeSchema: { env: "PGSTOW_EXCLUDE_SCHEMA", schema: patterns },
  excludeTableData: { env: "PGSTOW_EXCLUDE_TABLE_DATA", schema: patterns },
  compressLevel: { env: "PGSTOW_COMPRESS_LEVEL", schema: wholeNumber(1, 19).default(1) },
  /** How many streams a backup has at once; auto is what the machine and the server bear. */
  jobs: {
    env: "PGSTOW_JOBS",
    schema: z
      .union([z.literal("auto"), wholeNumber(1, 64, mustBeJobs)], { error: mustBeJobs })
      .default("auto"),
  },
  /** Seconds that a backup waits for a table's lock. */
  lockWait: { env: "PGSTOW_LOCK_WAIT", schema: wholeNumber(1, 86_400).default(60) },
  verify: { env: "PGSTOW_VERIFY", schema: yesNo.default(true) },
  /** What PostgreSQL's programs are run through: "docker exec -i db". */
  exec: { env: "PGSTOW_EXEC", schema: text },
  /** Seconds within which a program must begin that is run through that. */
  execTimeout: { env: "PGSTOW_EXEC_TIMEOUT", schema: wholeNumber(1, 86_400).default(60) },
  /** The SSH server through which every server is reached: "me@bastion.example.com:22". */
  tunnel: { env: "PGSTOW_TUNNEL", schema: text },
  /** Folders with PostgreSQL client programs, searched first. */
  pgBin: { env: "PGSTOW_PG_BIN", schema: listBy(/:/).default([]) },
  /** Channels to tell what happened. No flag: their URLs are secrets. */
  notify: { env: "PGSTOW_NOTIFY", schema: words.default([]) },
  /** By how many percent a backup, or a table, must shrink for a warning. */
  shrinkWarning: { env: "PGSTOW_SHRINK_WARNING", schema: wholeNumber(1, 100).default(50) },
  /** Whether a good backup is followed by a cleanup. */
  cleanup: { env: "PGSTOW_CLEANUP", schema: yesNo.default(false) },
  /** How old the newest verified backup may be. */
  maxAgeHours: { env: "PGSTOW_MAX_AGE_HOURS", schema: wholeNumber(1, 100_000).default(26) },
  keepLast: { env: "PGSTOW_KEEP_LAST", schema: keep },
  keepDays: { env: "PGSTOW_KEEP_DAYS", schema: keep },
  keepHourly: { env: "PGSTOW_KEEP_HOURLY", schema: keep },
  keepDaily: { env: "PGSTOW_KEEP_DAILY", schema: keep },
  keepWeekly: { env: "PGSTOW_KEEP_WEEKLY", schema: keep },
  keepMonthly: { env: "PGSTOW_KEEP_MONTHLY", schema: keep },
  keepYearly: { env: "PGSTOW_KEEP_YEARLY", schema: keep },
  /** Queries that a drill asks beside its own, as JSON, where no file is named. */
  expectations: { env: "PGSTOW_EXPECTATIONS", schema: text },
  /** SQL that a restore runs in the restored database, where no file is named. */
  runSql: { env: "PGSTOW_RUN_SQL", schema: text },
  /** Extensions that restores and drills leave out, with what needs them. */
  skipExtension: { env: "PGSTOW_SKIP_EXTENSION", schema: words.default([]) },
  logLevel: {
    env: "LOG_LEVEL",
    schema: z.enum(logLevels, { error: `must be one of ${logLevels.join(", ")}` }).default("info"),
  },
  logFile: { env: "LOG_FILE", schema: text },
} as const satisfies Record<string, { env: string; schema: z.ZodType }>

export type SettingName = keyof typeof settings
export type Settings = { readonly [Name in SettingName]: z.output<(typeof settings)[Name]["schema"]> }

/** The environment variable of a setting. */
export function variableOf(name: SettingName): string {
  return settings[name].env
}

/** The names of all settings. */
export const settingNames: readonly string[] = Object.keys(settings)

/** "compressLevel" is "--compress-level" on the command line. */
export function flagOf(name: string): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

/** What a file of settings says for one database. */
export type FileSettings = {
  /** The file, for messages. */
  readonly file: string
  readonly values: Readonly<Partial<Record<SettingName, unknown>>>
}

/** What is of one database, where a file says which databases there are: a variable would be of all of them. */
const ofOneDatabase: ReadonlySet<SettingName> = new Set([
  "databaseUrl",
  "rdsIam",
  "name",
  "all",
  "include",
  "exclude",
  "table",
  "schema",
  "excludeTable",
  "excludeSchema",
  "excludeTableData",
] as const)

/** Which variables go before a file of settings, and which it makes useless, of those that are set. */
export function variablesBeside(env: Readonly<Record<string, string | undefined>>): {
  readonly before: readonly string[]
  readonly unused: readonly string[]
} {
  const set = allSettings.filter(([, { env: variable }]) => (env[variable] ?? "") !== "")
  const inFile = set.filter(([name]) => fileSettings.has(name)).map(([, { env: variable }]) => variable)
  const unused = set.filter(([name]) => ofOneDatabase.has(name)).map(([, { env: variable }]) => variable)
  return { before: inFile.filter((variable) => !unused.includes(variable)), unused }
}

/** What a file of settings can say. */
const fileSettings: ReadonlySet<SettingName> = new Set([
  ...ofOneDatabase,
  "storage",
  "recipient",
  "unencrypted",
  "identity",
  "signingKey",
  "signedBy",
  "exec",
  "tunnel",
  "notify",
  "cleanup",
  "maxAgeHours",
  "jobs",
  "compressLevel",
  "keepLast",
  "keepDays",
  "keepHourly",
  "keepDaily",
  "keepWeekly",
  "keepMonthly",
  "keepYearly",
] as const)

/** Object.entries forgets what the keys are. */
const allSettings = Object.entries(settings) as [SettingName, { env: string; schema: z.ZodType }][]

/** Whether a variable counts for nothing beside a file of settings. An image's authorities are not those of a connection. */
function isPassedOver(name: SettingName, { values }: FileSettings): boolean {
  if (name === "ca" || name === "caFile") return values.ca !== undefined || values.caFile !== undefined
  return ofOneDatabase.has(name)
}

/**
 * Reads every setting from `flags` (keyed by setting name), then from `env`, then from a file. An empty variable counts
 * as not set. Throws a usage error that names the first wrong setting as its user gave it; never its value, which may
 * be a secret.
 */
export function readSettings(
  flags: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string | undefined>>,
  file?: FileSettings,
): Settings {
  const entries = allSettings.map(([name, { env: variable, schema }]) => {
    const given = flags[name]
    const passedOver = file !== undefined && isPassedOver(name, file)
    const fromEnv = env[variable] === "" || passedOver ? undefined : env[variable]
    const parsed = schema.safeParse(given ?? fromEnv ?? file?.values[name])
    if (given === undefined && fromEnv !== undefined && holdsComment(fromEnv, parsed.data))
      throw new PgstowError("usage", `${variable} holds a comment after its value`, {
        hint: "Put the comment on a line of its own: what reads this .env file takes it for a part of the value.",
      })
    if (parsed.success) return [name, parsed.data] as const
    const fromFile = fromEnv === undefined && file !== undefined ? `${name} in ${file.file}` : variable
    const where = given === undefined ? fromFile : flagOf(name)
    throw new PgstowError("usage", `${where} ${parsed.error.issues[0]?.message ?? "is wrong"}`, {
      hint: `Fix ${where}, or leave it out.`,
    })
  })
  // Each entry was parsed by the schema that its type comes from.
  return Object.freeze(Object.fromEntries(entries) as unknown as Settings)
}

/**
 * Whether a variable's text has a comment in it, which what reads files of settings may take into a value: where it is
 * wrong as it is, or a list of what never begins so. In any other text it may be meant.
 */
function holdsComment(text: string, value: unknown): boolean {
  if (!/\s#/.test(text)) return false
  return value === undefined || (Array.isArray(value) && value.includes("#"))
}
