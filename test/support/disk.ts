import { execFileSync, spawnSync } from "node:child_process"
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { onTestFinished } from "vitest"
import { notRun } from "./not-run.ts"

// In a namespace of its own, so that nothing is left mounted. A container's root may lack the right.
const mayMount =
  process.platform === "linux" &&
  process.getuid?.() === 0 &&
  spawnSync("unshare", ["--mount", "mount", "-t", "tmpfs", "tmpfs", tmpdir()]).status === 0

/** Why a test that mounts a disk can't run here, for its title. */
export const needsMount = notRun(mayMount, "this user may not mount a disk")

/** A folder that is a disk of 4 MB. It goes when the test ends. */
export async function smallDisk(): Promise<string> {
  const disk = await mkdtemp(join(tmpdir(), "pgstow-disk-"))
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", disk])
  onTestFinished(async () => {
    execFileSync("umount", [disk])
    await rm(disk, { recursive: true })
  })
  return disk
}

export function makeReadOnly(disk: string): void {
  execFileSync("mount", ["-o", "remount,ro", disk])
}

/** Why a test that needs `unwritableFolder` can't run here, for its title. */
export const needsUnwritable = process.getuid?.() === 0 ? needsMount : ""

/** A folder that this user may not write to, not even as root. It goes when the test ends. */
export async function unwritableFolder(): Promise<string> {
  if (process.getuid?.() === 0) {
    const disk = await smallDisk()
    makeReadOnly(disk)
    return disk
  }
  const folder = await mkdtemp(join(tmpdir(), "pgstow-unwritable-"))
  onTestFinished(() => rm(folder, { recursive: true }))
  await chmod(folder, 0o555)
  return folder
}
