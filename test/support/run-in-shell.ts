import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { inject } from "vitest"
import type { Scene } from "./scene.ts"

/**
 * Runs a command as a scene's user would, where `pgstow` and the server's programs are on the PATH, and connect to the
 * scene's server. Rejects where any part of it fails.
 */
export async function runInShell(
  { server, env }: Pick<Scene, "server" | "env">,
  command: string,
): Promise<void> {
  const url = new URL(server.url("postgres"))
  const script = `set -euo pipefail; pgstow() { '${process.execPath}' '${inject("program")}' "$@"; }; ${command}`
  await promisify(execFile)("bash", ["-c", script], {
    env: {
      ...env,
      PATH: `${server.binDir}:${process.env.PATH}`,
      PGHOST: url.hostname,
      PGPORT: url.port,
      PGUSER: decodeURIComponent(url.username),
      PGPASSWORD: decodeURIComponent(url.password),
    },
  })
}
