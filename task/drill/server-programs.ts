import { access, constants, glob, realpath } from "node:fs/promises"
import { delimiter, dirname, join } from "node:path"
import type { Context } from "../context.ts"
import { PgstowError } from "../errors.ts"
import { usualFolders } from "../postgres/clients.ts"
import { outputOf } from "../processes/child.ts"

/** What a PostgreSQL server of one version is made and run with. */
export type ServerPrograms = {
  readonly major: number
  /** As `postgres --version` says it: "17.10". */
  readonly version: string
  readonly postgres: string
  readonly initdb: string
}

/** The server programs of this machine: of a version that is there several times, those found first. */
export async function findServerPrograms(
  { env, signal }: Pick<Context, "env" | "signal">,
  extraFolders: readonly string[],
): Promise<ServerPrograms[]> {
  const named = (env.PATH ?? "").split(delimiter).filter((folder) => folder !== "")
  const folders = [...extraFolders, ...named, ...(await Array.fromAsync(glob(usualFolders)))]
  const homes = await Promise.all(folders.map(homeIn))
  const unique = [...new Set(homes)].filter((folder) => folder !== undefined)
  const found = await Promise.all(unique.map((folder) => probe(folder, env, signal).catch(() => undefined)))
  signal.throwIfAborted()
  return found.filter((programs) => programs !== undefined)
}

/**
 * Those for a backup of this major version: the same, or the next newer one. The newest where the version is not
 * known. Throws a PgstowError that says what to install.
 */
export function chooseServerPrograms(
  found: readonly ServerPrograms[],
  major: number | undefined,
): ServerPrograms {
  const byMajor = found.toSorted((a, b) => a.major - b.major)
  const chosen =
    major === undefined
      ? byMajor.findLast((one) => one.major === byMajor.at(-1)?.major)
      : byMajor.find((one) => one.major >= major)
  if (chosen) return chosen
  const newest = byMajor.at(-1)
  const wanted = major ?? 18
  const there = newest ? `the newest here is ${newest.version}` : "there are none here"
  throw new PgstowError(
    "postgres",
    `the backup is of PostgreSQL ${major ?? "some version"}, and a drill needs server programs (initdb, postgres) of that version or a newer one: ${there}`,
    {
      hint:
        `Install the server of version ${wanted} (Debian, Ubuntu: apt-get install postgresql-${wanted}; Red Hat, Fedora: dnf install postgresql${wanted}-server; ` +
        `macOS: brew install postgresql@${wanted}), name its folder in PGSTOW_PG_BIN, or give --target to restore into a server that runs.`,
    },
  )
}

/** The folder that the server programs really are in: they look beside it for what else they need. */
async function homeIn(folder: string): Promise<string | undefined> {
  try {
    const home = dirname(await realpath(join(folder, "postgres")))
    await Promise.all(["postgres", "initdb"].map((name) => access(join(home, name), constants.X_OK)))
    return home
  } catch {
    return undefined
  }
}

async function probe(
  folder: string,
  { PATH }: Context["env"],
  signal: AbortSignal,
): Promise<ServerPrograms | undefined> {
  const postgres = join(folder, "postgres")
  const answer = await outputOf({ file: postgres, args: ["--version"], env: { PATH, LC_ALL: "C" } }, signal)
  const [, version, major] = /\(PostgreSQL\) ((\d+)\S*)/.exec(answer) ?? []
  if (version === undefined) return undefined
  return { major: Number(major), version, postgres, initdb: join(folder, "initdb") }
}
