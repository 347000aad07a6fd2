import { createHash } from "node:crypto"
import { mkdtempSync, readFileSync, readlinkSync } from "node:fs"
import { lstat, readdir, rm } from "node:fs/promises"
import { hostname, tmpdir } from "node:os"
import { join } from "node:path"
import { codeOf, messageOf, PgstowError } from "../errors.ts"

/**
 * Makes a folder for temporary files, for its owner's eyes alone. Its name says which process it belongs to, so that
 * `removeAbandonedFolders` can tell when that is gone: "pgstow-<place>-<pid>-<start>-<random>". Throws a PgstowError of
 * kind "usage" where none can be made.
 */
export function makeTemporaryFolder(): string {
  try {
    return mkdtempSync(join(tmpdir(), `pgstow-${place()}-${process.pid}-${startOf("self") ?? 0}-`))
  } catch (error) {
    throw noTemporaryFiles(error)
  }
}

/** What to say where something could not be written below the temporary folder, by what Node threw. */
export function noTemporaryFiles(cause: unknown): PgstowError {
  const why = reasons[codeOf(cause) ?? ""] ?? messageOf(cause)
  return new PgstowError("usage", `temporary files can't be written in ${tmpdir()}: ${why}`, {
    hint: "Set TMPDIR to a folder with room that the user who runs pgstow may write to.",
  })
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "there is no such folder",
  ENOTDIR: "it is a file, and no folder",
  EACCES: "permission denied",
  EPERM: "not permitted",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
}

/** Removes the temporary folders of this user whose processes were killed, and gives their number. */
export async function removeAbandonedFolders(): Promise<number> {
  const names = await readdir(tmpdir())
  const abandoned = names.filter(isAbandoned).map((name) => join(tmpdir(), name))
  let removed = 0
  for (const folder of abandoned) {
    const found = await lstat(folder)
    if (!found.isDirectory() || found.uid !== process.getuid?.()) continue
    await rm(folder, { recursive: true, force: true })
    removed++
  }
  return removed
}

function isAbandoned(name: string): boolean {
  const [, where, pid, start] = /^pgstow-([0-9a-f]{8})-([1-9]\d{0,9})-(\d+)-\w{6}$/.exec(name) ?? []
  // Of a process of another machine, or container, nothing can be known here.
  if (pid === undefined || where !== place()) return false
  if (!isRunning(Number(pid))) return true
  // Its number may have been given to another process since.
  const startNow = startOf(pid)
  return startNow !== undefined && startNow !== start
}

/** Where process numbers mean the same: the machine and, on Linux, the container. */
function place(): string {
  let namespace = ""
  try {
    namespace = readlinkSync("/proc/self/ns/pid")
  } catch {
    // Only Linux has these.
  }
  return createHash("sha256").update(`${hostname()} ${namespace}`).digest("hex").slice(0, 8)
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) !== "ESRCH"
  }
}

/** When a process began, in a unit of the system's own; undefined where that can't be known. */
function startOf(pid: string): string | undefined {
  try {
    // proc_pid_stat(5): field 22. The second one is a name in parentheses, which may hold anything.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    return stat.slice(stat.lastIndexOf(")")).split(" ")[20]
  } catch {
    return undefined
  }
}
