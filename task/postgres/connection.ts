import { identifier } from "../core/quote.ts"
import { PgstowError } from "../errors.ts"
import { parseDatabaseUrl } from "./database-url.ts"
import { optionsOf, type Settings } from "./session-settings.ts"

/** How to reach a database: settings by libpq's keywords, and the password, which goes nowhere but a child's environment. */
export type Connection = {
  readonly params: Readonly<Record<string, string>>
  /** A function where it changes with time. */
  readonly password?: string | (() => string) | undefined
  /**
   * What its sessions set as they start, and so before their first statement. Undefined where it is not known
   * whether the server takes that: `openSession` finds it out. None, where a pooler in between refuses it.
   */
  readonly settings?: Settings | undefined
  /** What its programs are run through, as the user wrote it; undefined where they run here. */
  readonly exec?: string | undefined
  /** What leads to its server, where that is not reached from here. `openSession` opens it. */
  readonly tunnel?: Tunnel | undefined
}

/** A way to a server by ssh, which is opened when it is first needed and ends with the program. */
export type Tunnel = {
  /** Through whom, as the user wrote it: "me@bastion.example.com". */
  readonly bastion: string
  /** Where this machine's end is. Throws where it was not opened. */
  place(): Place
  /** Opens it, once. Rejects with a PgstowError of kind "postgres" that says why it can't be. */
  open(signal: AbortSignal | undefined): Promise<void>
  /** Why a connection through it failed: what ssh said of that, or `error` where it said nothing. */
  explain(error: unknown): Promise<unknown>
}

/** An address of this machine alone, and a port there. */
export type Place = { readonly address: string; readonly port: number }

/** What the command line may say of a connection. Each goes before the same setting of a URL. */
export type ConnectionFlags = {
  readonly host?: string | undefined
  readonly port?: string | undefined
  readonly username?: string | undefined
  readonly dbname?: string | undefined
  readonly sslmode?: string | undefined
  readonly sslrootcert?: string | undefined
  readonly sslcert?: string | undefined
  readonly sslkey?: string | undefined
  readonly service?: string | undefined
}

export type Environment = Readonly<Record<string, string | undefined>>

const sslModes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

/** Secrets that libpq takes only from a connection string, where a process list would show them. */
const secretKeywords = ["sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"]

/**
 * Puts a connection together: flags before `databaseUrl` (a URI or keyword=value, as libpq reads it) before the
 * service before PG* variables. Of the variables it takes over only what names the database; the others are
 * libpq's to read, from the environment that `childEnv` makes. The encoding is chosen here, never by a URL:
 * pg_dump would write its dump in it.
 *
 * Throws a PgstowError of kind "usage" that says what is wrong without repeating a password.
 */
export function connectionFrom(source: {
  readonly databaseUrl?: string | undefined
  readonly flags?: ConnectionFlags
  readonly env?: Environment
  readonly exec?: string | undefined
}): Connection {
  const { flags = {}, env = {} } = source
  const {
    password,
    client_encoding: _,
    ...url
  } = source.databaseUrl ? parseDatabaseUrl(source.databaseUrl) : {}
  for (const keyword of secretKeywords)
    if (url[keyword] !== undefined)
      throw new PgstowError("usage", `the database URL holds ${keyword}, which can't be kept secret there`, {
        hint: "Put it into a service file (PGSERVICEFILE) and name the service instead.",
      })

  const { username, ...flagged } = flags
  const service = flags.service ?? url.service ?? env.PGSERVICE
  const variables = { host: env.PGHOST, port: env.PGPORT, user: env.PGUSER, dbname: env.PGDATABASE }
  const params = given({
    // libpq reads a service before these variables: given as settings, they would go before it.
    ...(service ? {} : given(variables)),
    ...(flags.host === undefined ? url : withoutHost(url)),
    ...given({ ...flagged, user: username }),
  })

  const port = params.port?.split(",").find((one) => one !== "" && !isPort(one))
  if (port !== undefined)
    throw new PgstowError("usage", "the port is not a number from 1 to 65535", {
      hint: "Where it comes from a URL, the password may hold a character that must be percent-encoded: / as %2F, : as %3A, @ as %40.",
    })
  if (params.sslmode !== undefined && !sslModes.includes(params.sslmode))
    throw new PgstowError("usage", `there is no TLS mode ${JSON.stringify(params.sslmode)}`, {
      hint: `Choose one of ${sslModes.join(", ")}.`,
    })
  const exec = given({ exec: source.exec })
  return password === undefined ? { params, ...exec } : { params, password, ...exec }
}

/** The database, as far as it is known before libpq has looked: by default it has the user's name. */
export function databaseIn({ params }: Connection): string | undefined {
  return params.dbname ?? (params.service === undefined ? params.user : undefined)
}

/** The same server and user, and another database. */
export function withDatabase(connection: Connection, dbname: string): Connection {
  return { ...connection, params: { ...connection.params, dbname } }
}

/** Whether sessions of the connection can be given settings: some poolers take none. */
export function takesSettings({ settings }: Connection): boolean {
  return settings !== undefined && Object.keys(settings).length > 0
}

/** The connection with further settings for its sessions; as it was where a pooler takes none. */
export function withSettings(connection: Connection, settings: Settings): Connection {
  if (!takesSettings(connection)) return connection
  return { ...connection, settings: { ...connection.settings, ...settings } }
}

/**
 * The connection as a program's argument: never with a password. `overrides` go before the connection's own
 * parameters. Keepalives are on unless the connection says otherwise: a NAT gateway forgets a silent connection
 * after 350 s.
 */
export function conninfo(connection: Connection, overrides: Readonly<Record<string, string>> = {}): string {
  const keepalives = { keepalives_idle: "60", keepalives_interval: "10" }
  const { params, settings = {}, tunnel } = connection
  // They go before PGOPTIONS, where `childEnv` puts the settings.
  const options = params.options ? { options: joined(params.options, settings) } : {}
  // The host stays the server's own name: its certificate is held against that.
  const place = tunnel?.place()
  const local = place === undefined ? {} : { hostaddr: place.address, port: String(place.port) }
  return Object.entries({ ...keepalives, ...params, ...options, ...local, ...overrides })
    .map(([keyword, value]) => `${keyword}='${value.replaceAll(/['\\]/g, "\\$&")}'`)
    .join(" ")
}

/**
 * The whole environment for a libpq program: what libpq and the system need of `env`, and the password. Messages
 * are in English, so that they can be understood here. PGCLIENTENCODING stays out, as in `connectionFrom`.
 */
export function childEnv(connection: Connection, env: Environment): Record<string, string> {
  const password = typeof connection.password === "function" ? connection.password() : connection.password
  const wanted = /^(PATH|HOME|TMPDIR|PG[A-Z_]+|SSL_[A-Z_]+|KRB5[A-Z0-9_]*)$/
  const passed = Object.entries(env).filter(
    ([name]) => wanted.test(name) && !/^(PGSTOW_.*|PGCLIENTENCODING|PGPASSWORD)$/.test(name),
  )
  return given({
    PGCONNECT_TIMEOUT: "15",
    PGAPPNAME: "pgstow",
    ...Object.fromEntries(passed),
    PGOPTIONS: joined(env.PGOPTIONS, connection.settings),
    PGPASSWORD: password ?? env.PGPASSWORD,
    LC_ALL: "C",
  })
}

/** "orders on db.example.com:5432 as app": for messages and logs, without secrets. */
export function describe(connection: Connection): string {
  const { params } = connection
  return [
    params.dbname ?? params.user ?? "the default database",
    describeServer(connection),
    params.user && `as ${params.user}`,
  ]
    .filter((part) => part !== undefined)
    .join(" ")
}

/** Whether this machine itself connects to the server: its names, addresses and folders are then this machine's. */
export function isReachedFromHere({ exec, tunnel }: Connection): boolean {
  return exec === undefined && tunnel === undefined
}

/** "on db.example.com:5432": the server alone. */
export function describeServer({ params, exec, tunnel }: Connection): string {
  const hosts = (params.host ?? params.hostaddr ?? "").split(",")
  const ports = (params.port ?? "").split(",")
  const places = hosts.map((host, index) => {
    const port = ports[ports.length === 1 ? 0 : index] || "5432"
    if (host === "" || /^[/@]/.test(host)) return host
    return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`
  })
  const place = places.filter((one) => one !== "").join(",")
  if (place !== "" && tunnel) return `on ${place} through ${tunnel.bastion}`
  if (place !== "") return exec ? `on ${place} behind ${exec}` : `on ${place}`
  if (params.service) return `by service ${params.service}`
  return exec ? `behind ${exec}` : "on this machine"
}

/** A hint with "TO …", "ROLE …" and "DATABASE …" filled in, as far as the connection says who and what that is. */
export function filledIn(hint: string, { params }: Connection): string {
  const { user, dbname } = params
  return [
    ["TO …", user],
    ["ROLE …", user],
    ["DATABASE …", dbname],
  ].reduce(
    (text, [blank = "", name]) =>
      name === undefined ? text : text.replaceAll(blank, () => blank.replace("…", () => identifier(name))),
    hint,
  )
}

/** Of two of the same name the last one counts. */
function joined(options = "", settings: Settings = {}): string {
  return `${options} ${optionsOf(settings)}`.trim()
}

/** Another host's settings: an address, or a list of ports, was for the one before. */
function withoutHost(settings: Record<string, string>): Record<string, string> {
  const { hostaddr: _, port, ...others } = settings
  return port === undefined || port.includes(",") ? others : { ...others, port }
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535
}

function given(settings: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const found: Record<string, string> = {}
  for (const [name, value] of Object.entries(settings))
    if (value !== undefined && value !== "") found[name] = value
  return found
}
