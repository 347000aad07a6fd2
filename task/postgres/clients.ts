import { access, constants, glob, readdir, realpath } from "node:fs/promises"
import { basename, delimiter, dirname, join } from "node:path"
import { PgstowError } from "../errors.ts"
import { outputOf } from "../processes/child.ts"
import { ExecError } from "../processes/far-side.ts"
import type { Executable, Prefix } from "../processes/program.ts"
import { childEnv, type Environment } from "./connection.ts"

/** The client programs of one PostgreSQL version, from one folder. */
export type Clients = {
  readonly major: number
  /** As `pg_dump --version` says it: "17.10". */
  readonly version: string
  readonly pgDump: Executable
  readonly pgRestore: Executable
  readonly psql: Executable
}

/** Where systems keep PostgreSQL's programs. */
export const usualFolders = [
  "/usr/lib/postgresql/*/bin", // Debian, Ubuntu, and pgstow's image
  "/usr/pgsql-*/bin", // Red Hat, Fedora, Amazon Linux by PostgreSQL's own packages
  "/usr/libexec/postgresql*", // Alpine
  "/opt/homebrew/opt/{libpq,postgresql@*}/bin",
  "/usr/local/opt/{libpq,postgresql@*}/bin",
  "/home/linuxbrew/.linuxbrew/opt/{libpq,postgresql@*}/bin",
  "/Applications/Postgres.app/Contents/Versions/*/bin",
]

const programs = { pgDump: "pg_dump", pgRestore: "pg_restore", psql: "psql" }

/**
 * Every version of the client programs that this machine has, or that the prefix finds. Where one major version is
 * there several times, the first stands first: `extraDirs`, then PATH, then the usual places. Throws a usage error where
 * one of `extraDirs` has none of PostgreSQL's programs.
 */
export async function findClients(
  { env, prefix }: { readonly env: Environment; readonly prefix?: Prefix | undefined },
  extraDirs: readonly string[] = [],
): Promise<Clients[]> {
  if (prefix) return findElsewhere(prefix, env, extraDirs)
  for (const folder of extraDirs)
    if (!(await holdsSome(folder)))
      throw new PgstowError("usage", `there are no PostgreSQL programs in the folder ${folder}`, {
        hint: "Name one that has them with --pg-bin or PGSTOW_PG_BIN, or leave it out to use those on the PATH.",
      })
  const named = env.PATH?.split(delimiter) ?? []
  const usual = await Array.fromAsync(glob(usualFolders))
  const folders = [...extraDirs, ...named.filter((folder) => folder !== ""), ...usual]
  const homes = await Promise.all(folders.map(programFolder))
  const unique = [...new Set(homes)].filter((folder) => folder !== undefined)
  const found = await Promise.all(unique.map((folder) => probe(folder, env).catch(() => undefined)))
  return found.filter((clients) => clients !== undefined)
}

/** The newest clients: psql talks to every server that is older. Throws a PgstowError where there are none. */
export function newestClients(clients: readonly Clients[]): Clients {
  const newest = byMajor(clients).at(-1)
  if (newest) return newest
  throw new PgstowError("postgres", "no PostgreSQL client programs were found", { hint: installHint() })
}

/**
 * The clients to back a server up with: its own major version, or the next newer one that is there; pg_dump
 * refuses a server newer than itself. Throws a PgstowError that names both versions and says what to install.
 */
export function chooseClients(clients: readonly Clients[], serverMajor: number): Clients {
  const chosen = byMajor(clients).find(({ major }) => major >= serverMajor)
  if (chosen) return chosen
  const newest = newestClients(clients)
  throw new PgstowError(
    "postgres",
    `the server is PostgreSQL ${serverMajor}, and the newest pg_dump here is ${newest.version} (${newest.pgDump.file})`,
    { hint: installHint(serverMajor) },
  )
}

/**
 * The clients to restore with: those of the target's major version, unless they are older than the ones that
 * wrote the archive, which only these or newer ones can read. Throws a PgstowError that says what to install.
 */
export function chooseForRestore(
  clients: readonly Clients[],
  archiveMajor: number,
  targetMajor: number,
): Clients {
  const able = byMajor(clients).filter(({ major }) => major >= archiveMajor)
  const chosen = able.find(({ major }) => major === targetMajor) ?? able[0]
  if (chosen) return chosen
  const newest = newestClients(clients)
  throw new PgstowError(
    "postgres",
    `the backup was written by pg_dump ${archiveMajor}, and the newest pg_restore here is ${newest.version} (${newest.pgRestore.file})`,
    { hint: installHint(Math.max(archiveMajor, targetMajor)) },
  )
}

/** Oldest first; of one major version, in the order they were found. */
function byMajor(clients: readonly Clients[]): Clients[] {
  return clients
    .toSorted((a, b) => a.major - b.major)
    .filter((one, i, all) => all[i - 1]?.major !== one.major)
}

function installHint(major?: number): string {
  const version = major ?? "18"
  return (
    `Install PostgreSQL's client programs${major === undefined ? "" : ` of version ${major} or newer`} ` +
    `(Debian, Ubuntu: apt-get install postgresql-client-${version}; Red Hat, Fedora: dnf install postgresql${version}; ` +
    `macOS: brew install postgresql@${version}), or name their folder in PGSTOW_PG_BIN.`
  )
}

/**
 * The folder that the programs of `folder` really are in; undefined where they are not all there. Debian's
 * /usr/bin/pg_dump is one wrapper for all versions, which takes the one of a cluster on this machine: what it
 * would run is found in its own folder.
 */
async function programFolder(folder: string): Promise<string | undefined> {
  if (!(await isComplete(folder))) return undefined
  const pgDump = await realpath(join(folder, programs.pgDump))
  if (basename(pgDump) === "pg_wrapper") return undefined
  const real = dirname(pgDump)
  return (await isComplete(real)) ? real : folder
}

/** Whether there is any of them, or a server. */
async function holdsSome(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch((): string[] => [])
  return [...Object.values(programs), "postgres"].some((name) => names.includes(name))
}

async function isComplete(folder: string): Promise<boolean> {
  try {
    await Promise.all(Object.values(programs).map((name) => access(join(folder, name), constants.X_OK)))
    return true
  } catch {
    return false
  }
}

/** The programs that the prefix finds: in `folders`, or on the PATH there. */
async function findElsewhere(
  prefix: Prefix,
  env: Environment,
  folders: readonly string[],
): Promise<Clients[]> {
  const places = folders.length > 0 ? folders : [""]
  const environment = childEnv({ params: {} }, env)
  const found = await Promise.allSettled(places.map((folder) => probe(folder, environment, prefix)))
  const clients = found.flatMap((one) => (one.status === "fulfilled" && one.value ? [one.value] : []))
  if (clients.length > 0) return clients
  const failure: unknown = found.find((one) => one.status === "rejected")?.reason
  if (failure instanceof ExecError || (failure instanceof PgstowError && failure.kind === "usage"))
    throw failure
  throw new PgstowError("postgres", `no PostgreSQL client programs were found by ${prefix.words}`, {
    cause: failure,
    hint: "Try it by hand: the same words with pg_dump --version behind them.",
  })
}

const answersWithinSeconds = 10

/** Undefined where it answers with other words than pg_dump's. Rejects where the programs do not run there. */
async function probe(folder: string, env: Environment, prefix?: Prefix): Promise<Clients | undefined> {
  const executable = (name: string) => ({ file: join(folder, name), prefix })
  const program = { ...executable(programs.pgDump), args: ["--version"], env }
  const startSeconds = prefix?.startsWithinSeconds ?? 0
  const limit = AbortSignal.timeout((startSeconds + answersWithinSeconds) * 1_000)
  const answer = await outputOf(program, limit)
  const [, version, major] = /^pg_dump \(PostgreSQL\) ((\d+)\S*)/.exec(answer) ?? []
  if (version === undefined) return undefined
  return {
    major: Number(major),
    version,
    pgDump: executable(programs.pgDump),
    pgRestore: executable(programs.pgRestore),
    psql: executable(programs.psql),
  }
}
