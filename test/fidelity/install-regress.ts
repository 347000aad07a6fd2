/**
 * Brings the SQL of PostgreSQL's own regression tests, with the library that they call, built for the server that is
 * installed here: `node test/fidelity/install-regress.ts`. What is there already is left alone; where a version can't
 * be had, it says so in one line and ends well, and the tests say what they go without.
 *
 * The SQL is in Debian's source packages, which apt verifies. apt works in a folder of its own, so that nothing of the
 * machine's settings changes. Needs apt-get, a C compiler, tar and bzip2.
 */
import { execFileSync } from "node:child_process"
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { findPostgres, type InstalledPostgres, installRoot } from "../support/postgres.ts"
import { regressFolder } from "./regress-folder.ts"

/** The releases of Debian that have a major version, in the order in which they are tried. */
const releases: Readonly<Record<number, readonly string[]>> = {
  15: ["bookworm"],
  17: ["trixie"],
  18: ["forky", "sid"],
}

// The oldest that all the tests know, and the newest that can be had.
bringFirst([15])
bringFirst([18, 17])

function bringFirst(majors: readonly number[]): void {
  for (const major of majors) {
    const installed = findPostgres().find((one) => one.major === major)
    if (installed === undefined) continue
    if (existsSync(regressFolder(major))) return
    try {
      install(installed, releases[major] ?? [])
      console.log(`install-regress: PostgreSQL ${major}'s tests are now in ${regressFolder(major)}`)
      return
    } catch (error) {
      const said = error instanceof Error ? error.message.trim().split("\n").at(-1) : String(error)
      console.error(`install-regress: the tests go without those of PostgreSQL ${major}: ${said}`)
    }
  }
}

/** Nothing is left in its place where any of it fails. */
function install(installed: InstalledPostgres, suites: readonly string[]): void {
  mkdirSync(installRoot, { recursive: true, mode: 0o755 })
  const folder = mkdtempSync(join(installRoot, ".new-"))
  try {
    download(installed.major, suites, folder)
    const archive = only(join(folder, "*.orig.tar.*"))
    const source = join(folder, "source")
    mkdirSync(source)
    const unpack = ["--no-same-owner", "--strip-components=1", "--wildcards", "*/src/test/regress"]
    run("tar", ["-xf", archive, "-C", source, ...unpack], folder)
    const finished = join(folder, "finished")
    renameSync(join(source, "src/test/regress"), finished)
    build(installed, finished, folder)
    run("chmod", ["-R", "go=rX", finished], folder)
    renameSync(finished, regressFolder(installed.major))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The upstream sources, into the folder, from the first release that has them. */
function download(major: number, suites: readonly string[], folder: string): void {
  const [mirror] = aptMirrors(folder)
  if (mirror === undefined) throw new Error("apt knows no mirror of Debian")
  let failure: unknown
  for (const suite of suites) {
    const state = join(folder, suite)
    mkdirSync(join(state, "lists/partial"), { recursive: true })
    const line = `deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror} ${suite} main\n`
    writeFileSync(join(state, "sources.list"), line)
    const options = [
      `Dir::Etc::SourceList=${state}/sources.list`,
      "Dir::Etc::SourceParts=/dev/null",
      `Dir::State::Lists=${state}/lists`,
      `Dir::Cache=${state}/cache`,
      "APT::Sandbox::User=root",
    ].flatMap((option) => ["-o", option])
    try {
      run("apt-get", [...options, "-qq", "update"], folder)
      run("apt-get", [...options, "-qq", "source", "--download-only", `postgresql-${major}`], folder)
      return
    } catch (error) {
      failure = error
    }
  }
  throw failure
}

function aptMirrors(folder: string): string[] {
  const uris = run("apt-get", ["indextargets", "--format", "$(REPO_URI)"], folder).split("\n")
  return uris.filter((uri) => /\/debian\/?$/.test(uri))
}

/** The functions in C that the tests call, and beside them those of the server's own that they look for there. */
function build({ major, binDir }: InstalledPostgres, target: string, folder: string): void {
  const includes = [headers(major, binDir, folder), join(binDir, "../include/internal")]
  const flags = ["-shared", "-fPIC", "-O1", "-w", ...includes.map((include) => `-I${include}`)]
  run("cc", [...flags, "-o", join(target, "regress.so"), join(target, "regress.c")], folder)
  for (const name of ["autoinc.so", "refint.so"])
    symlinkSync(join(binDir, "../lib", name), join(target, name))
}

/** Of Debian's server they are in a package of their own, which need not be installed. */
function headers(major: number, binDir: string, folder: string): string {
  const found = [join(binDir, "../include/server"), `/usr/include/postgresql/${major}/server`]
  const there = found.find((place) => existsSync(join(place, "postgres.h")))
  if (there !== undefined) return there
  run("apt-get", ["-qq", "download", `postgresql-server-dev-${major}`], folder)
  const unpacked = join(folder, "headers")
  run("dpkg-deb", ["-x", only(join(folder, "postgresql-server-dev-*.deb")), unpacked], folder)
  return join(unpacked, `usr/include/postgresql/${major}/server`)
}

/** Throws with what the program wrote to standard error. */
function run(file: string, args: readonly string[], cwd: string): string {
  return execFileSync(file, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })
}

function only(pattern: string): string {
  const [file, ...others] = globSync(pattern)
  if (file === undefined || others.length > 0)
    throw new Error(`${pattern} names ${others.length + (file === undefined ? 0 : 1)} files, not 1`)
  return file
}
