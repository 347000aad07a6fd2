import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"

const cache = join(homedir(), ".cache/pgstow")

/**
 * Prometheus' own program that checks metrics: the one in the PATH, or that of Debian's package, which is fetched once and
 * not installed, since that would start a server. Undefined where it can't be had.
 */
export function findPromtool(): string | undefined {
  if (spawnSync("promtool", ["--version"]).status === 0) return "promtool"
  const path = join(cache, "promtool")
  if (existsSync(path)) return path
  try {
    mkdirSync(cache, { recursive: true })
    const folder = mkdtempSync(join(cache, "promtool-"))
    try {
      // Who fetches as root gives up its rights for it, where it may not write here then.
      const options = { cwd: folder, stdio: "ignore" } as const
      execFileSync("apt-get", ["-qq", "-o", "APT::Sandbox::User=root", "download", "prometheus"], options)
      const [file = ""] = readdirSync(folder)
      execFileSync("dpkg-deb", ["--extract", file, "prometheus"], options)
      renameSync(join(folder, "prometheus/usr/bin/promtool"), path)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
    return path
  } catch {
    return undefined
  }
}
