import { PgstowError } from "../errors.ts"
import { type Connection, describe, filledIn } from "./connection.ts"

/** PgBouncer's words, RDS Proxy's, and a server's that does not know a setting. */
const startupRefusal =
  /unsupported startup parameter|command-line options|unrecognized configuration parameter|parameter "options"/i

/** Whether a connection was refused for the settings that came with it. */
export function refusesSettings(error: unknown): boolean {
  return error instanceof PgstowError && startupRefusal.test(error.message)
}

/** What to do about what libpq and the server say when there is no connection, or none any more. First match wins. */
const hints: readonly (readonly [RegExp, string])[] = [
  [
    /password file .* has group or world access.*(no password supplied|password authentication failed)/s,
    "The password file is not read while others may read it: `chmod 600` it.",
  ],
  [
    /password authentication failed/,
    "Check the user's name and the password, in the server's URL, PGPASSWORD or a password file.",
  ],
  [/no password supplied/, "Give the password in the server's URL, PGPASSWORD or a password file."],
  [/no pg_hba\.conf entry.*, SSL/, "Let this address, user and database in by the server's pg_hba.conf."],
  [
    /no pg_hba\.conf entry/,
    "The server may want TLS: use sslmode=verify-full or require. Otherwise let this address, user and database in by its pg_hba.conf.",
  ],
  [/database ".*" does not exist/s, "Check the database's name; `psql -l` lists those of the server."],
  [
    /role ".*" does not exist|(Peer|Ident) authentication failed/s,
    "Check the user's name; without one, the system user's is taken.",
  ],
  [/permission denied for database/, "Let the user in: GRANT CONNECT ON DATABASE … TO …."],
  [
    /too many (clients|connections)|remaining connection slots/,
    "Wait, close other connections, or raise the server's max_connections or the limit of the role or database.",
  ],
  [
    /server does not support SSL/,
    "The server speaks no TLS: switch it on there, or use sslmode=prefer where the network is trusted.",
  ],
  [
    /root certificate file "system" does not exist/,
    "sslrootcert=system is known to PostgreSQL's client programs from 16 on: install those, or name a file.",
  ],
  [
    /certificate verify failed|certificate has expired|self-signed certificate|root certificate file/,
    "Name the authority that signed the server's certificate by sslrootcert (a file, or `system`).",
  ],
  [
    /does not match host name/,
    "Connect by a name that is in the server's certificate, or use sslmode=verify-ca where its name can't be known.",
  ],
  [
    /starting up|shutting down|in recovery mode|not yet accepting connections/,
    "Try again when the server is ready.",
  ],
  [/could not translate host name/, "Check the host's name, and that this machine can resolve it."],
  [
    /Connection refused|No such file or directory/,
    "Check the host and the port, that the server runs, and that it listens there (listen_addresses).",
  ],
  [
    // An IPv6 address, and none of IPv4 beside it.
    /^(?!.*\(\d+\.\d+\.\d+\.\d+\)).*\([0-9a-f]*:[0-9a-f:.]+\).*(Network is unreachable|Cannot assign requested address|No route to host)/s,
    "The host has an IPv6 address only, and this machine reaches none: use the provider's pooler in session mode, which has IPv4, or a network with IPv6.",
  ],
  [
    /timeout expired|timed out|No route to host|Network is unreachable/,
    "Check the host and the port, and that firewalls and security groups let this machine through.",
  ],
  [/definition of service/, "Check the service's name and its file (PGSERVICEFILE, or ~/.pg_service.conf)."],
  [/invalid (connection option|sslmode value)/, "Install newer client programs, or leave the setting out."],
  [
    startupRefusal,
    "A pooler refuses a setting: connect to the server itself, or add it to the pooler's ignore_startup_parameters.",
  ],
  [
    /conflict with recovery/,
    "The replica ended it for what it had to replay: set its hot_standby_feedback, raise its max_standby_streaming_delay, or use the primary.",
  ],
  [
    /server closed the connection|connection to server was lost|terminating connection|SSL SYSCALL error|could not (receive|send) data/,
    "Look into the server's log; a restart, a failover or a limit for long connections ends them.",
  ],
]

/** How psql failed to get or to keep a connection: in its own words or, where it wrote none, for its `cause`. */
export function connectionFailure(
  connection: Connection,
  stderr: string,
  cause: unknown,
  failed: "could not connect to" | "lost the connection to",
): PgstowError {
  const words = stderr
    .split("\n")
    .filter((line) => line !== "" && !/^(\t|(ERROR|WARNING|NOTICE|DETAIL|HINT|CONTEXT|LINE \d+):)/.test(line))
  // What ended it may stand before a context of many lines.
  const fatal = words.filter((line) => /^(FATAL|PANIC): /.test(line)).slice(-1)
  const last = words.filter((line) => !fatal.includes(line)).slice(fatal.length - 3)
  const reasons = [...fatal, ...last].map((line) => line.replace(/^\w+: (error: )?/, "").trim())
  const reason = [...new Set(reasons)].join("; ")
  const message = `${failed} ${describe(connection)}`
  if (reason === "") return new PgstowError("postgres", message, { cause })
  return new PgstowError("postgres", `${message}: ${reason}`, { hint: connectionHint(stderr, connection) })
}

/** What to do about it; undefined where the messages of a libpq program complain of no connection. */
export function connectionHint(stderr: string, connection: Connection): string | undefined {
  const hint = hints.find(([pattern]) => pattern.test(stderr))?.[1]
  return hint === undefined ? undefined : filledIn(hint, connection)
}
