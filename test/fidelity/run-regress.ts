import { spawn } from "node:child_process"
import { closeSync, openSync } from "node:fs"
import { chmod, mkdir, mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { mapConcurrently } from "../../task/core/map-concurrently.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { regressFolder } from "./regress-folder.ts"

/** What pg_regress sets for the database that it makes. */
const settings = [
  "lc_messages TO 'C'",
  "lc_monetary TO 'C'",
  "lc_numeric TO 'C'",
  "lc_time TO 'C'",
  "bytea_output TO 'hex'",
  "timezone_abbreviations TO 'Default'",
]

/**
 * Runs PostgreSQL's own regression tests in a new database, in their order and as pg_regress does. What they leave
 * behind is the aim: whether each prints what it should is not looked at. Gives how many ran.
 */
export async function runRegress(server: PostgresServer, database: string): Promise<number> {
  const tests = regressFolder(server.major)
  await server.createDatabase(database)
  for (const setting of settings) await server.psql(`ALTER DATABASE ${database} SET ${setting}`)
  const folder = await mkdtemp(join(tmpdir(), "pgstow-regress-"))
  // The server writes there too, as a user of its own.
  await mkdir(join(folder, "results"))
  for (const each of [folder, join(folder, "results")]) await chmod(each, 0o777)
  const env = {
    PATH: process.env.PATH,
    PGHOST: server.socketDir,
    PGPORT: String(server.port),
    PGUSER: "postgres",
    PGDATABASE: database,
    PGTZ: "America/Los_Angeles",
    PGDATESTYLE: "Postgres, MDY",
    PGOPTIONS: "-c intervalstyle=postgres_verbose",
    PG_ABS_SRCDIR: tests,
    PG_ABS_BUILDDIR: folder,
    PG_LIBDIR: tests,
    PG_DLSUFFIX: ".so",
  }
  const runOne = async (name: string): Promise<void> => {
    const script = openSync(join(tests, "sql", `${name}.sql`), "r")
    const output = openSync(join(folder, "results", `${name}.out`), "w")
    const args = ["-X", "-a", "-q", "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"]
    const stdio = [script, output, output]
    const psql = spawn(join(server.binDir, "psql"), args, { cwd: folder, env, stdio, timeout: 120_000 })
    await new Promise((resolve, reject) => psql.once("error", reject).once("close", resolve))
    for (const file of [script, output]) closeSync(file)
  }
  try {
    const schedule = await readFile(join(tests, "parallel_schedule"), "utf8")
    const groups = [...schedule.matchAll(/^test: (.+)$/gm)].map(([, names = ""]) => names.trim().split(/\s+/))
    for (const group of groups) await mapConcurrently(group, 4, runOne)
    return groups.flat().length
  } finally {
    await rm(folder, { recursive: true })
  }
}
