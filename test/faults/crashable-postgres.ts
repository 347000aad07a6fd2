import { spawn } from "node:child_process"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { type PostgresCluster, type StartOptions, serverUser, startPostgres } from "../support/postgres.ts"

/** A server that may be killed, and comes back with what it had, at the same port. */
export type CrashablePostgres = PostgresCluster & {
  /** Sends a signal to the postmaster: SIGKILL, SIGQUIT (immediate shutdown), SIGINT (fast shutdown). */
  killPostmaster(signal: NodeJS.Signals): Promise<void>
  /** Starts the server where it does not run, and waits until it answers. */
  recover(): Promise<void>
  /** What it is busy with for others than who asks: a line for each session. */
  sessions(): Promise<string[]>
}

const recoverWithinMs = 60_000

export async function startCrashablePostgres(options: StartOptions = {}): Promise<CrashablePostgres> {
  // Without it, commits of the last moments go with the postmaster that is killed.
  const settings = { synchronous_commit: "on", ...options.settings }
  const cluster = await startPostgres({ ...options, settings })
  const dataDir = join(cluster.socketDir, "data")
  const pidFile = join(dataDir, "postmaster.pid")

  const postmasterPid = async () => Number((await readFile(pidFile, "utf8").catch(() => "")).split("\n")[0])
  let killed = 0
  const killPostmaster = async (signal: NodeJS.Signals) => {
    const pid = await postmasterPid()
    if (pid > 0) process.kill(pid, signal)
    killed = pid
  }
  const answers = () =>
    cluster.psql("SELECT 1").then(
      () => true,
      () => false,
    )
  const recover = async () => {
    const startedAt = performance.now()
    let last: number | undefined
    // Until it sees the signal it may still answer.
    while ((killed > 0 && isAlive(killed)) || !(await answers())) {
      if (performance.now() - startedAt > recoverWithinMs) throw new Error("the server does not come back")
      const pid = await postmasterPid()
      if (!(pid > 0 && isAlive(pid)) && (last === undefined || !isAlive(last))) {
        // Where backends of the dead postmaster still run it ends at once, and is started again.
        const postmaster = spawn(
          join(cluster.binDir, "postgres"),
          ["-D", dataDir, "-p", String(cluster.port)],
          {
            ...serverUser(),
            stdio: "ignore",
            detached: true,
          },
        )
        postmaster.unref()
        last = postmaster.pid
      }
      await sleep(100)
    }
    killed = 0
  }
  return {
    ...cluster,
    killPostmaster,
    recover,
    sessions: async () => {
      const lines = await cluster.psql(
        `SELECT concat_ws(' ', pid, datname, application_name, state, left(query, 60)) FROM pg_stat_activity
          WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
      )
      return lines === "" ? [] : lines.split("\n")
    },
    stop: async () => {
      await killPostmaster("SIGQUIT").catch(() => {})
      while (await answers()) await sleep(50)
      await cluster.stop()
    },
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
