import { spawn } from "node:child_process"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { type PostgresServer, serverUser } from "../support/postgres.ts"

/** Keeps a transaction open in a session of its own, after `sql`, until it is disposed of. */
export async function openLock(
  server: PostgresServer,
  database: string,
  sql: string,
): Promise<AsyncDisposable> {
  const { binDir, env } = server
  const name = `lock ${Math.random()}`
  const child = spawn(join(binDir, "psql"), ["-XAtq", "-v", "ON_ERROR_STOP=1"], {
    ...serverUser(),
    env: { PATH: process.env.PATH, ...env, PGDATABASE: database, PGAPPNAME: name },
    stdio: ["pipe", "ignore", "inherit"],
    cwd: "/",
  })
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()))
  child.stdin.write(`BEGIN;\n${sql};\n`)
  const isThere = `SELECT count(*) FROM pg_stat_activity WHERE application_name = '${name}' AND state = 'idle in transaction' AND query NOT LIKE 'BEGIN%'`
  while ((await server.psql(isThere)) === "0") {
    if (child.exitCode !== null) throw new Error("the lock could not be had")
    await sleep(20)
  }
  return {
    [Symbol.asyncDispose]: async () => {
      child.stdin.end("ROLLBACK;\n")
      await ended
    },
  }
}
