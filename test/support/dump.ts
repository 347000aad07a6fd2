import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import type { PostgresServer } from "./postgres.ts"

/** A database in pg_dump's custom format, uncompressed, as the main object of a backup holds it. */
export async function dumpOf(server: PostgresServer, database: string, ...args: string[]): Promise<Buffer> {
  const pgDump = join(server.binDir, "pg_dump")
  const { stdout } = await promisify(execFile)(pgDump, ["-Fc", "-Z0", ...args, database], {
    env: server.env,
    encoding: "buffer",
    maxBuffer: Infinity,
  })
  return stdout
}
