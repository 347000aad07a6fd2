import * as z from "zod"
import type { Manifest } from "../core/manifest.ts"
import { type Money, readMoney } from "./money.ts"
import type { Session } from "./session.ts"
import { noTimeLimits } from "./session-settings.ts"

/** What a manifest says of its source, as far as the server knows it. */
export type SourceDatabase = Omit<Manifest["source"], "clientVersion" | "money">

export type Server = SourceDatabase & {
  /** A replica: it can be read, and its queries can be cancelled by what it replays. */
  readonly isInRecovery: boolean
  /** What the tables, with what is stored out of line, and the large objects take up: a guess at a dump's size. */
  readonly dataBytes: number
  /** How amounts are to be understood, where it holds any. */
  readonly money: Money | undefined
  /** How many more connections it takes, of this user to this database. */
  readonly freeConnections: number
}

const one = <T extends z.ZodType>(row: T) => z.tuple([row])

// The locale's columns differ by version: daticulocale in 15 and 16, datlocale since 17; before 15 all is libc.
const localeRow = one(
  z.object({
    datcollate: z.string(),
    datctype: z.string(),
    datlocprovider: z.enum(["c", "i", "b"]).default("c"),
    daticulocale: z.string().nullish(),
    datlocale: z.string().nullish(),
    daticurules: z.string().nullish(),
    encoding_name: z.string(),
  }),
)

const databaseRow = one(
  z.object({
    ...localeRow.def.items[0].shape,
    datname: z.string(),
    server_version: z.string(),
    size_bytes: z.int(),
    is_in_recovery: z.boolean(),
  }),
)

const providers = { c: "libc", i: "icu", b: "builtin" } as const

/** Reads what there is to know of the session's database, which needs no rights but to connect. */
export async function inspectServer(session: Session): Promise<Server> {
  await session.execute("BEGIN TRANSACTION READ ONLY")
  try {
    // Nothing that a user made in a schema may stand for PostgreSQL's own functions and operators.
    const settings = { search_path: "", ...noTimeLimits(session.serverMajor), lock_timeout: "0" }
    const calls = Object.entries(settings).map(
      ([name, value]) => `pg_catalog.set_config('${name}', '${value}', true)`,
    )
    await session.execute(`SELECT ${calls.join(", ")}`)
    const [database] = databaseRow.parse(await session.query(databaseQuery))
    return {
      database: database.datname,
      serverVersion: database.server_version.split(" ")[0] ?? database.server_version,
      sizeBytes: database.size_bytes,
      ...localeOf(database),
      isInRecovery: database.is_in_recovery,
      dataBytes: one(z.object({ bytes: z.int() })).parse(await session.query(dataQuery))[0].bytes,
      money: await readMoney(session),
      freeConnections: await countFreeConnections(session),
      settings: await readDatabaseSettings(session),
      defaults: Object.fromEntries(
        defaults.parse(await session.query(defaultsQuery)).map(({ name, value }) => [name, value]),
      ),
      roles: names.parse(await session.query(rolesQuery)).map(({ name }) => name),
      extensions: extensions.parse(await session.query(extensionsQuery)),
      tables: one(z.object({ tables: z.int() })).parse(await session.query(tablesQuery))[0].tables,
    }
  } finally {
    await session.execute("ROLLBACK")
  }
}

/** By what a database's text is written, sorted and compared. */
export type Locale = Pick<
  SourceDatabase,
  "encoding" | "localeProvider" | "collate" | "ctype" | "locale" | "icuRules"
>

/** The locale of the session's database, or of those that are made without saying any. */
export async function readLocale(session: Session, of: "this" | "new"): Promise<Locale> {
  const name = of === "this" ? "pg_catalog.current_database()" : "'template0'"
  const [database] = localeRow.parse(
    await session.query(`
      SELECT d.*, pg_catalog.pg_encoding_to_char(d.encoding) AS encoding_name
        FROM pg_catalog.pg_database d WHERE d.datname = ${name}`),
  )
  return localeOf(database)
}

function localeOf(database: z.infer<typeof localeRow>[0]): Locale {
  return {
    encoding: database.encoding_name,
    localeProvider: providers[database.datlocprovider],
    collate: database.datcollate,
    ctype: database.datctype,
    locale: database.datlocale ?? database.daticulocale ?? null,
    icuRules: database.daticurules ?? null,
  }
}

/** What is set for the session's database, whoever connects to it, each "name=value". */
export async function readDatabaseSettings(session: Session): Promise<string[]> {
  return names.parse(await session.query(settingsQuery)).map(({ name }) => name)
}

/** How many more connections the server takes, of this user to the session's database. */
export async function countFreeConnections(session: Session): Promise<number> {
  return one(z.object({ free: z.int() })).parse(await session.query(freeConnectionsQuery))[0].free
}

const names = z.array(z.object({ name: z.string() }))
const defaults = z.array(z.object({ name: z.string(), value: z.string() }))
const extensions = z.array(z.object({ name: z.string(), version: z.string() }))

const databaseQuery = `
  SELECT d.*, pg_encoding_to_char(d.encoding) AS encoding_name,
         current_setting('server_version') AS server_version,
         pg_database_size(d.oid) AS size_bytes, pg_is_in_recovery() AS is_in_recovery
    FROM pg_database d WHERE d.datname = current_database()`

const settingsQuery = `
  SELECT unnest(s.setconfig) AS name
    FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
   WHERE s.setrole = 0 AND d.datname = current_database()`

// Not what is this user's or this program's own.
const defaultsQuery = `
  SELECT name, reset_val AS value FROM pg_settings
   WHERE name IN ('TimeZone', 'DateStyle', 'default_text_search_config')
     AND source IN ('default', 'environment variable', 'configuration file', 'command line', 'global', 'database')`

// pg_shdepend leaves out the role that made the cluster, which may own things too.
const rolesQuery = `
  WITH database AS (SELECT oid, datdba FROM pg_database WHERE datname = current_database()),
  referenced (role) AS (
    SELECT datdba FROM database
    UNION SELECT s.refobjid FROM pg_shdepend s, database d
           WHERE s.refclassid = 'pg_authid'::regclass
             AND (s.dbid = d.oid OR s.dbid = 0 AND s.classid = 'pg_database'::regclass AND s.objid = d.oid)
    UNION SELECT nspowner FROM pg_namespace WHERE oid >= 16384
    UNION SELECT relowner FROM pg_class WHERE oid >= 16384 AND relpersistence <> 't'
    UNION SELECT proowner FROM pg_proc WHERE oid >= 16384
    UNION SELECT typowner FROM pg_type WHERE oid >= 16384)
  SELECT r.rolname AS name FROM pg_roles r JOIN referenced ON r.oid = role ORDER BY 1`

const extensionsQuery = "SELECT extname AS name, extversion AS version FROM pg_extension ORDER BY 1"

// The size of a table that is locked in ACCESS EXCLUSIVE mode can't be had without waiting, but its share of the
// pages can: what VACUUM, ANALYZE or CREATE INDEX last saw.
const dataQuery = `
  SELECT (pg_database_size(current_database())
          * coalesce(sum(greatest(relpages, 0)) FILTER (WHERE relkind IN ('r', 't'))
                     / nullif(sum(greatest(relpages, 0)), 0)::float8, 1))::bigint AS bytes
    FROM pg_class`

// Limits of -1 are none. Whom the other connections belong to is not for everyone to see, but how many there are.
const freeConnectionsQuery = `
  SELECT least(
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
      - coalesce(current_setting('reserved_connections', true)::int, 0) - sum(numbackends),
    (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
      - sum(numbackends) FILTER (WHERE datname = current_database()),
    (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user) - 1) AS free
    FROM pg_stat_database`

const tablesQuery = `
  SELECT count(*) AS tables FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
     AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`
