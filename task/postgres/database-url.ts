import { PgstowError } from "../errors.ts"

/** Settings by libpq's keywords, the password among them. */
export type LibpqSettings = Record<string, string>

/** Every keyword of libpq up to version 18 (PostgreSQL documentation, 32.1.2), but not those that ask for replication. */
const keywords = new Set(
  `host hostaddr port dbname user password passfile require_auth channel_binding connect_timeout client_encoding
  options application_name fallback_application_name keepalives keepalives_idle keepalives_interval
  keepalives_count tcp_user_timeout sslmode sslnegotiation sslcompression sslcert sslkey sslkeylogfile
  sslpassword sslcertmode sslrootcert sslcrl sslcrldir sslsni requirepeer ssl_min_protocol_version
  ssl_max_protocol_version min_protocol_version max_protocol_version krbsrvname gsslib gssencmode gssdelegation
  scram_client_key scram_server_key service servicefile target_session_attrs load_balance_hosts oauth_issuer
  oauth_client_id oauth_client_secret oauth_scope`.split(/\s+/),
)

const encodeHint =
  "In a URL, write the special characters of a user's name or password percent-encoded: @ as %40, / as %2F, : as %3A, % as %25."

/**
 * Reads a connection string as libpq does: a URI (postgres:// or postgresql://, with several hosts, percent
 * encoding, and parameters), or a list of keyword=value.
 *
 * Throws a PgstowError of kind "usage" that says what is wrong, and never repeats what could be a password.
 */
export function parseDatabaseUrl(databaseUrl: string): LibpqSettings {
  const text = databaseUrl.trim()
  const scheme = /^([a-z][a-z0-9+.:-]*):\/\//i.exec(text)?.[1]
  if (scheme === "postgres" || scheme === "postgresql") return parseUri(text.slice(text.indexOf("://") + 3))
  if (scheme !== undefined)
    throw bad(`begins with ${scheme}://`, "Begin it with postgres:// or postgresql://, as psql takes it.")
  if (text.includes("=")) return parsePairs(text)
  throw bad("is not a PostgreSQL URL", "Write it like postgres://user@host:5432/database.")
}

/** After conninfo_uri_parse_options in libpq's fe-connect.c, but refusing what only a forgotten encoding makes. */
function parseUri(rest: string): LibpqSettings {
  const settings: LibpqSettings = {}
  const [, userinfo, location = ""] = /^(?:([^@/]*)@)?(.*)$/s.exec(rest) ?? []
  if (userinfo !== undefined) {
    const [, user = "", password = ""] = /^([^:]*):?(.*)$/s.exec(userinfo) ?? []
    if (user !== "") settings.user = decode(user, "user's name")
    if (password !== "") settings.password = decode(password, "password")
  }

  const [, hosts = "", database = "", parameters] =
    /^([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(location) ?? []
  // An @ here is a password's own that was not encoded: what stands before it must not be shown.
  if (/@/.test(hosts + database)) throw bad("has an @ in the host or the database's name", encodeHint)
  const netlocs = hosts.split(",").map((netloc) => /^(\[[^\]]+\]|[^:[\]]*)(?::(.*))?$/s.exec(netloc))
  if (netlocs.includes(null)) throw bad("has a host that is no name and no address", encodeHint)
  const host = netlocs.map((netloc) => decode(netloc?.[1]?.replace(/^\[(.*)\]$/s, "$1") ?? "", "host"))
  const port = netlocs.map((netloc) => decode(netloc?.[2] ?? "", "port"))
  if (host.some((name) => name !== "")) settings.host = host.join(",")
  if (port.some((number) => number !== "")) settings.port = port.join(",")
  if (database !== "") settings.dbname = decode(database, "database's name")

  for (const parameter of parameters === undefined || parameters === "" ? [] : parameters.split("&")) {
    const [name = "", value, more] = parameter.split("=")
    if (value === undefined || more !== undefined)
      throw bad("has a parameter that is not name=value", encodeHint)
    const [keyword, decoded] = [decode(name, "parameter's name"), decode(value, "parameter's value")]
    if (keyword === "ssl" && decoded === "true") store(settings, "sslmode", "require")
    else store(settings, keyword, decoded)
  }
  return settings
}

/** After conninfo_parse in libpq's fe-connect.c. */
function parsePairs(text: string): LibpqSettings {
  const settings: LibpqSettings = {}
  const pair = /\s*([^\s=]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*)?)(?=\s|$)/sy
  while (pair.lastIndex < text.length) {
    const at = pair.lastIndex
    const match = pair.exec(text)
    if (!match)
      throw bad(
        `can't be read from its character ${at + 1} on`,
        "Write keyword=value, and put a value that has spaces into single quotes.",
      )
    const [, keyword = "", quoted, plain = ""] = match
    store(settings, keyword, (quoted ?? plain).replaceAll(/\\(.)/gs, "$1"))
  }
  return settings
}

function store(settings: LibpqSettings, keyword: string, value: string): void {
  if (!keywords.has(keyword)) {
    // Behind a password, an unknown name may be the rest of it.
    const name = settings.password === undefined ? JSON.stringify(keyword) : "after the password"
    throw bad(`has a setting that libpq does not know: ${name}`, "Remove it; it belongs to another client.")
  }
  if (value !== "") settings[keyword] = value
}

function decode(text: string, what: string): string {
  try {
    const decoded = decodeURIComponent(text)
    if (!decoded.includes("\0")) return decoded
  } catch {}
  throw bad(`has a % in the ${what} that encodes no character`, encodeHint)
}

function bad(what: string, hint: string): PgstowError {
  return new PgstowError("usage", `the database URL ${what}`, { hint })
}
