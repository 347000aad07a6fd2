import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { pipeline } from "node:stream/promises"
import { startChild } from "./child.ts"
import { execVariable } from "./exec-prefix.ts"

export type PlacedFile = { readonly path: string; remove(): Promise<void> }

/** Puts a temporary file where programs with this environment run: here, or where the prefix of PGSTOW_EXEC goes. */
export async function placeFile(
  content: string | Buffer,
  env: Readonly<Record<string, string>>,
): Promise<PlacedFile> {
  if (env[execVariable] === undefined) {
    const folder = await mkdtemp(join(tmpdir(), "pgstow-"))
    const path = join(folder, "file")
    await writeFile(path, content)
    return { path, remove: () => rm(folder, { recursive: true, force: true }) }
  }
  const script = 'umask 077; file=$(mktemp) && cat >"$file" && echo "$file"'
  const program = { file: "sh", args: ["-c", script], env }
  const child = startChild(program, { stdin: "pipe", stdout: "pipe" })
  const [path] = await Promise.all([text(child.stdout), pipeline([content], child.stdin), child.ended])
  const file = path.trim()
  return { path: file, remove: () => startChild({ file: "rm", args: ["-f", file], env }).ended }
}
