import { rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { pipeline } from "node:stream/promises"
import { startChild } from "./child.ts"
import { ExecError } from "./far-side.ts"
import type { Program } from "./program.ts"
import { makeTemporaryFolder, noTemporaryFiles } from "./temporary-folder.ts"

export type PlacedFile = { readonly path: string; remove(): Promise<void> }

/** Shell code that removes what was left there by those who were killed: nothing restores for a week. */
const removeOld =
  'test -n "$TMPDIR" && folder=$TMPDIR || folder=/tmp; find "$folder" -maxdepth 1 -type f -name "pgstow-??????" -user "$(id -u)" -mtime +7 ' +
  "-exec rm -f {} + 2>/dev/null"

/**
 * Puts a temporary file where programs with this prefix run, or here. Rejects where not all of it came there.
 */
export async function placeFile(
  content: string | Buffer,
  { prefix, env }: Pick<Program, "prefix" | "env">,
  signal?: AbortSignal,
): Promise<PlacedFile> {
  if (prefix === undefined) {
    const folder = makeTemporaryFolder()
    const path = join(folder, "file")
    const remove = () => rm(folder, { recursive: true, force: true })
    try {
      await writeFile(path, content)
    } catch (error) {
      await remove()
      throw noTemporaryFiles(error)
    }
    return { path, remove }
  }
  const script =
    `umask 077; ${removeOld}; file=$(mktemp "$folder/pgstow-XXXXXX") && ` +
    'cat >"$file" && wc -c <"$file" && echo "$file"'
  const program = { file: "sh", args: ["-c", script], prefix, env }
  const child = startChild(program, { stdin: "pipe", stdout: "pipe", signal })
  const output = text(child.stdout)
  // How it ended says more than that its input or output broke off.
  await Promise.allSettled([output, pipeline([content], child.stdin), child.ended])
  await child.ended
  const answer = await output
  const [, bytes, file] = /^\s*(\d+)\n(.+)\n$/.exec(answer) ?? []
  if (file === undefined || Number(bytes) !== Buffer.byteLength(content))
    throw new ExecError(`a file did not come through ${prefix.words} as it was`, {
      hint: "Its connection may have broken: try again, or connect to the server without it.",
    })
  return { path: file, remove: () => startChild({ file: "rm", args: ["-f", file], prefix, env }).ended }
}
