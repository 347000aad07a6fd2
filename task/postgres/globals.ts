import { Readable, type Writable } from "node:stream"
import { text } from "node:stream/consumers"
import { pipeline } from "node:stream/promises"
import type { Child } from "../child.ts"
import type { Clients } from "./clients.ts"
import { type Connection, conninfo } from "./connection.ts"
import { type ProgramOptions, startDumpProgram } from "./dump.ts"

/**
 * Roles that hosted services make for themselves, and that nobody may make or change: Amazon RDS and Aurora,
 * Google Cloud SQL and AlloyDB, Azure, Neon, Supabase. By their documentation, and what users report of restores.
 */
const ofProviders =
  "rdsadmin|rds_\\w+|rdsrepladmin|rdstopmgr|rdswriteforwarduser|cloudsql\\w*|alloydb\\w*|azuresu|azure_\\w+|neon_superuser|cloud_admin|supabase_\\w*admin"

const madeByProvider = new RegExp(
  `^(?:(?:CREATE|ALTER) ROLE (?:${ofProviders})[ ;]|COMMENT ON ROLE (?:${ofProviders}) |GRANT .* TO (?:${ofProviders})[ ;])`,
)
const grantedByProvider = new RegExp(` GRANTED BY (?:${ofProviders});$`)

/** The statements of `pg_dumpall --roles-only` that make, change or comment on a provider's own roles go. */
export function withoutProviderRoles(sql: string): string {
  return sql
    .split("\n")
    .filter((line) => !madeByProvider.test(line))
    .map((line) => line.replace(grantedByProvider, ";"))
    .join("\n")
}

/**
 * Writes SQL that makes the server's roles, their memberships and settings, but no passwords and no roles of a
 * hosted service's own, into `stdout`. `database` is the one to connect to for it.
 */
export function startGlobals(
  clients: Pick<Clients, "pgDumpall">,
  connection: Connection,
  options: ProgramOptions & { readonly database: string },
  stdout: Writable | "pipe",
): Child {
  // The database's name alone would be connected to in place of the connection.
  const target = conninfo(connection, { dbname: options.database })
  const args = ["--roles-only", "--no-role-passwords", "--no-password", "--database", target]
  const dump = startDumpProgram(clients.pgDumpall, args, connection, options, "pipe")
  const roles = Readable.from(
    (async function* () {
      // What came of a program that failed is not to be taken for all of it.
      const [sql] = await Promise.all([text(dump.stdout), dump.ended])
      yield Buffer.from(withoutProviderRoles(sql))
    })(),
  )
  const written = stdout === "pipe" ? undefined : pipeline(roles, stdout)
  const ended = Promise.all([dump.ended, written]).then(() => {})
  ended.catch(() => {}) // Whoever awaits it hears of a failure.
  return {
    name: dump.name,
    pid: dump.pid,
    get stdin() {
      return dump.stdin
    },
    stdout: roles,
    stderr: () => dump.stderr(),
    kill: (signal) => dump.kill(signal),
    ended,
  }
}
