import { mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { onTestFinished } from "vitest"
import type { PostgresServer } from "./postgres.ts"

/**
 * A folder with the server's client programs, one of them replaced by a shell script, in which "$real" is the
 * program itself. It goes when the test ends.
 */
export async function clientsWith(
  { binDir }: PostgresServer,
  program: string,
  script: string,
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-clients-"))
  onTestFinished(() => rm(folder, { recursive: true }))
  for (const name of await readdir(binDir)) await symlink(join(binDir, name), join(folder, name))
  // A pg_dump that is a link would lead to the folder that it comes from.
  for (const [name, body] of Object.entries({ pg_dump: `exec "$real" "$@"`, [program]: script })) {
    const file = join(folder, name)
    await rm(file)
    const lines = [
      "#!/bin/sh",
      `real='${join(binDir, name)}'`,
      `[ "$1" = --version ] && exec "$real" "$1"`,
      body,
    ]
    await writeFile(file, lines.join("\n"), { mode: 0o755 })
  }
  return folder
}
