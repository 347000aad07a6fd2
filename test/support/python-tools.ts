import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"

/** The folder with the programs of `packages`, which are installed on the first call and kept for the next run. */
export function pythonTools(packages: readonly string[]): string {
  const cache = process.getuid?.() === 0 ? "/var/tmp" : join(homedir(), ".cache")
  const version = createHash("sha256").update(packages.join(" ")).digest("hex").slice(0, 12)
  const folder = join(cache, `pgstow-python-${version}`)
  const finished = join(folder, "finished")
  if (existsSync(finished)) return join(folder, "bin")
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(cache, { recursive: true })
  run("python3", ["-m", "venv", folder])
  run(join(folder, "bin/pip"), ["install", "--quiet", "--disable-pip-version-check", ...packages])
  writeFileSync(finished, "")
  return join(folder, "bin")
}

function run(file: string, args: readonly string[]): void {
  execFileSync(file, args, { stdio: ["ignore", "ignore", "inherit"] })
}
