import { execFileSync, spawnSync } from "node:child_process"
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from "age-encryption"
import { describe, expect, inject, onTestFinished, test } from "vitest"
import { setBucket } from "../support/bucket.ts"
import { needsUnwritable, unwritableFolder } from "../support/disk.ts"
import { failureOfRun, logOf } from "../support/failure-line.ts"
import { freePort } from "../support/postgres.ts"
import { type Scene, setScene } from "../support/scene.ts"
import { runOnTerminal } from "../support/terminal.ts"

type Case = {
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly kind: "usage" | "key" | "postgres" | "storage" | "notFound"
  /** What is named. */
  readonly names: RegExp
  /** What to do. */
  readonly hint: RegExp
}

const classicRecipient = await identityToRecipient(await generateX25519Identity())
const hybridRecipient = await identityToRecipient(await generateHybridIdentity())
const secretKey = `AGE-SECRET-KEY-1${"Q".repeat(58)}`
const secrets = /hunter2|AGE-SECRET-KEY-/

const cases: Record<string, Case> = {
  "no command": { args: [], kind: "usage", names: /no command/, hint: /pgstow --help/ },
  "an unknown command": {
    args: ["bakcup"],
    kind: "usage",
    names: /'bakcup'.*mean backup/,
    hint: /pgstow --help/,
  },
  "an unknown flag": {
    args: ["backup", "--nope"],
    kind: "usage",
    names: /'--nope'/,
    hint: /pgstow backup --help/,
  },
  "a database by the name of another command's flag": {
    args: ["backup", "--database", "orders"],
    kind: "usage",
    names: /unknown option '--database'/,
    hint: /^Here it is --dbname \(.*\), or --name \(.*\)\. See .*backup --help/,
  },
  "the same the other way round": {
    args: ["list", "--dbname=orders"],
    kind: "usage",
    names: /unknown option '--dbname=orders'/,
    hint: /^Here it is --database \(/,
  },
  "two databases": {
    args: ["status", "orders", "--database", "invoices"],
    kind: "usage",
    names: /two databases/,
    hint: /one of them/,
  },
  "a database where days are meant": {
    args: ["cleanup", "orders"],
    kind: "usage",
    names: /^orders is no number of days$/,
    hint: /--database/,
  },
  "a flag without its value": {
    args: ["backup", "--name"],
    kind: "usage",
    names: /--name/,
    hint: /backup --help/,
  },
  "an argument too many": { args: ["list", "a", "b"], kind: "usage", names: /too many/, hint: /list --help/ },
  "a level that zstd does not have": {
    args: ["backup", "--compress-level", "20"],
    kind: "usage",
    names: /--compress-level must be a whole number from 1 to 19/,
    hint: /--compress-level/,
  },
  "the same from the environment": {
    args: ["backup"],
    env: { PGSTOW_COMPRESS_LEVEL: "fast" },
    kind: "usage",
    names: /PGSTOW_COMPRESS_LEVEL must be a whole number/,
    hint: /PGSTOW_COMPRESS_LEVEL/,
  },
  "a name that is too long": {
    args: ["backup", "--name", "x".repeat(64)],
    kind: "usage",
    names: /--name must be at most 63 bytes/,
    hint: /--name/,
  },
  "no storage": {
    args: ["list"],
    env: { PGSTOW_STORAGE: "" },
    kind: "usage",
    names: /no storage/,
    hint: /--storage/,
  },
  "a kind of storage that there is not": {
    args: ["list", "--storage", "ftp://backups"],
    kind: "usage",
    names: /ftp: is not a kind of storage/,
    hint: /s3:.*file:/,
  },
  "a bucket's name that is too short": {
    args: ["list", "--storage", "s3://bk"],
    kind: "usage",
    names: /"bk" is too short for a bucket's name/,
    hint: /at least 3/,
  },
  "a bucket's name that is none": {
    args: ["list", "--storage", "s3://-bucket-/p"],
    kind: "usage",
    names: /"-bucket-" is not a bucket's name/,
    hint: /begins and ends/,
  },
  "a cleanup that is not told what to keep": {
    args: ["cleanup"],
    kind: "usage",
    names: /no retention rule was given/,
    hint: /--keep-last, --keep-days, --keep-hourly, --keep-daily/,
  },
  "a backup to remove that is not named": {
    args: ["remove"],
    kind: "usage",
    names: /missing required argument 'backup'/,
    hint: /remove --help/,
  },
  "a backup to remove that is not named by its id": {
    args: ["remove", "latest", "--yes"],
    kind: "usage",
    names: /must be named by its id/,
    hint: /pgstow list/,
  },
  "all backups and one of them": {
    args: ["verify", "--all", "2026"],
    kind: "usage",
    names: /in more than one way/,
    hint: /--all/,
  },
  "a backup given twice": {
    args: ["show", "2026", "--backup", "2025"],
    kind: "usage",
    names: /more than once/,
    hint: /--at/,
  },
  "recipients, and none": {
    args: ["backup", "--unencrypted"],
    kind: "usage",
    names: /contradict each other/,
    hint: /Leave one/,
  },
  "a signing key of a kind that there is not": {
    args: ["keygen", "--signing", "--hybrid"],
    kind: "usage",
    names: /--hybrid and --signing contradict/,
    hint: /one after the other/,
  },
  "recipients of two kinds": {
    args: ["backup"],
    env: { PGSTOW_RECIPIENTS: `${classicRecipient} ${hybridRecipient}` },
    kind: "key",
    names: /classic and hybrid recipients are mixed: age1\w{12}… is classic, age1pq1\w{9}… is hybrid/,
    hint: /keygen --hybrid/,
  },
  "an SSH key as recipient": {
    args: ["backup"],
    env: { PGSTOW_RECIPIENTS: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI me@here" },
    kind: "key",
    names: /recipient 1 of 3 is an SSH key \(ssh-ed25519\)/,
    hint: /age1…/,
  },
  "one name for all databases": {
    args: ["backup", "--all", "--name", "one"],
    kind: "usage",
    names: /--all and --name/,
    hint: /its own name/,
  },
  "a number of jobs that is none": {
    args: ["backup", "--jobs", "many"],
    kind: "usage",
    names: /--jobs must be auto, or a whole number/,
    hint: /--jobs/,
  },
  "days that are none": {
    args: ["cleanup", "0"],
    kind: "usage",
    names: /--keep-days must be a whole number/,
    hint: /--keep-days/,
  },
  "days given twice": {
    args: ["cleanup", "30", "--keep-days", "3"],
    kind: "usage",
    names: /given twice/,
    hint: /once/,
  },
  "an age that is none": {
    args: ["status", "--max-age-hours", "0"],
    kind: "usage",
    names: /--max-age-hours must be a whole number/,
    hint: /--max-age-hours/,
  },
  "a locale that is no choice": {
    args: ["restore", "--locale", "german"],
    kind: "usage",
    names: /'--locale <which>'.*must be one of original, default/,
    hint: /restore --help/,
  },
  "roles of a file that has none": {
    args: ["restore", "./old.sql.gz", "--create-roles"],
    kind: "usage",
    names: /holds no roles/,
    hint: /--create-roles/,
  },
  "an export without a place": {
    args: ["export", "latest"],
    kind: "usage",
    names: /--out/,
    hint: /export --help|--out/,
  },
  "a file to import that is not there": {
    args: ["import", "/nonexistent/old.sql.gz"],
    kind: "usage",
    names: /\/nonexistent\/old\.sql\.gz/,
    hint: /Check its name/,
  },
  "settings to migrate that are not there": {
    args: ["migrate", "/nonexistent/.env"],
    kind: "usage",
    names: /\/nonexistent\/\.env/,
    hint: /Check its name/,
  },
  "a file in place of a switch": {
    args: ["list"],
    env: { PGSTOW_VERIFY: "perhaps" },
    kind: "usage",
    names: /PGSTOW_VERIFY must be true or false/,
    hint: /PGSTOW_VERIFY/,
  },
  "a parameter that storages do not have": {
    args: ["list", "--storage", "s3://backups/p?colour=red"],
    kind: "usage",
    names: /unknown parameter "colour"/,
    hint: /endpoint, region/,
  },
  "a storage's password in its URL": {
    args: ["list"],
    env: { PGSTOW_STORAGE: "s3://key:hunter2@backups/p" },
    kind: "usage",
    names: /password/,
    hint: /credentials=NAME/,
  },
  "a database URL of another kind": {
    args: ["backup"],
    env: { DATABASE_URL: "mysql://me:hunter2@db/orders" },
    kind: "usage",
    names: /mysql:\/\//,
    hint: /postgres:\/\//,
  },
  "a database URL whose password is not encoded": {
    args: ["backup"],
    env: { DATABASE_URL: "postgres://me:hunter2/@db/orders" },
    kind: "usage",
    names: /database URL/,
    hint: /percent-encoded/,
  },
  "no recipient": {
    args: ["backup"],
    env: { PGSTOW_RECIPIENTS: "" },
    kind: "usage",
    names: /no recipient/,
    hint: /--recipient.*keygen.*--unencrypted/,
  },
  "a recipient that is none": {
    args: ["backup", "--recipient", "age1nonsense"],
    kind: "key",
    names: /^the recipient, age1nonsense, is not valid: a recipient has no "o" there$/,
    hint: /keygen/,
  },
  "a secret key as a recipient": {
    args: ["backup"],
    env: { PGSTOW_RECIPIENTS: secretKey },
    kind: "key",
    names: /the recipient is an identity, the secret key/,
    hint: /keep the identity/,
  },
  "a time without its zone": {
    args: ["show", "--at", "2026-01-02T03:00"],
    kind: "usage",
    names: /2026-01-02T03:00 is not a time with its zone/,
    hint: /03:00Z/,
  },
  ...Object.fromEntries(
    ["list", "status", "show", "verify", "restore"].map((command): [string, Case] => [
      `${command} in a directory that does not exist`,
      {
        args: [command],
        kind: "notFound",
        names: /the directory file:\S+ does not exist/,
        hint: /Correct the path/,
      },
    ]),
  ),
  "a level that logs do not have": {
    args: ["list"],
    env: { LOG_LEVEL: "loud" },
    kind: "usage",
    names: /LOG_LEVEL must be one of debug, info, warn, error/,
    hint: /LOG_LEVEL/,
  },
  "a log file that can't be written": {
    args: ["list", "--log-file", "/nonexistent/log"],
    kind: "usage",
    names: /\/nonexistent\/log/,
    hint: /LOG_FILE/,
  },
  "an identity that is not there": {
    args: ["verify", "--deep", "--identity", "/nonexistent.key"],
    kind: "key",
    names: /\/nonexistent\.key/,
    hint: /keygen/,
  },
}

test.each(Object.entries(cases))("%s: one line that names it, and what to do", (_, bad) => check(bad))

test.skipIf(needsUnwritable)(
  `a storage that may not be written: one line that names it, and what to do${needsUnwritable}`,
  async () => {
    const folder = await unwritableFolder()
    await check({
      args: ["backup", "--storage", `file://${folder}/pgstow`],
      kind: "storage",
      names: new RegExp(`in file://${folder}/pgstow: (permission denied|the file system is read-only)`),
      hint: /another folder/,
    })
  },
)

async function check(bad: Case): Promise<void> {
  const scene = await setScene()
  const finished = await scene.run(bad.args, bad.env)
  const failure = failureOfRun(finished)
  expect(failure.kind).toBe(bad.kind)
  expect(failure.message).toMatch(bad.names)
  expect(failure.hint).toMatch(bad.hint)
  expect(finished.stdout + finished.stderr).not.toMatch(secrets)
}

describe("a server that can't be reached or does not let in is named, with what to do, without the password", () => {
  const changed = (change: (url: URL) => void) => (scene: Scene) => {
    const url = new URL(scene.server.url(scene.database))
    change(url)
    return url.href
  }

  test.each<[string, (url: URL) => void, RegExp, RegExp]>([
    [
      "a host without an address",
      (url) => (url.hostname = "nowhere.invalid"),
      /nowhere\.invalid/,
      /host's name/,
    ],
    ["a wrong password", (url) => (url.password = "hunter2"), /password authentication failed/, /password/],
    ["an unknown user", (url) => (url.username = "nobody_here"), /nobody_here/, /user's name/],
    ["an unknown database", (url) => (url.pathname = "/nowhere"), /"nowhere" does not exist/, /psql -l/],
  ])("%s", async (_, change, names, hint) => {
    const scene = await setScene()
    const finished = await scene.run(["backup"], { DATABASE_URL: changed(change)(scene) })
    const failure = failureOfRun(finished)
    expect(failure.kind).toBe("postgres")
    expect(failure.message).toMatch(names)
    expect(failure.hint).toMatch(hint)
    expect(finished.stderr).not.toContain(scene.server.password)
    expect(finished.stderr).not.toMatch(secrets)
  })

  test("a port where nothing listens", async () => {
    const scene = await setScene()
    const failure = failureOfRun(await scene.run(["backup", "--port", String(await freePort())]))
    expect(failure.kind).toBe("postgres")
    expect(failure.message).toContain("Connection refused")
    expect(failure.hint).toContain("the port")
  })
})

test("without a command, help is shown on a terminal, and that is no success", async () => {
  const scene = await setScene()
  const { exitCode, screen } = await runOnTerminal(scene, [])
  expect(exitCode).toBe(2)
  expect(screen).toMatch(/^Usage: pgstow .*\n[\s\S]*restore .*\n[\s\S]*Examples:\n/)
})

test("no key, or another's, is told with whose the backup is", async () => {
  const scene = await setScene()
  await scene.json(["backup"])
  const none = failureOfRun(await scene.run(["verify", "--deep"], { PGSTOW_IDENTITY: "" }))
  expect(none).toMatchObject({
    kind: "key",
    message: expect.stringContaining("no identity was given") as string,
  })
  expect(none.hint).toContain("--identity")
  expect(none.hint).toContain(scene.recipient)
  const other = await setScene()
  const wrong = failureOfRun(await scene.run(["verify", "--deep"], { PGSTOW_IDENTITY: other.identity }))
  expect(wrong.message).toContain(`only what is for ${other.recipient}`)
  expect(wrong.hint).toContain(scene.recipient)
})

test("an id that several backups begin with is refused with all that it could mean; one that none has, with the nearest", async () => {
  const scene = await setScene()
  const ids: string[] = []
  for (const _ of [1, 2]) ids.push(String(Object(await scene.json(["backup", "--no-verify"])).id))
  const ambiguous = failureOfRun(await scene.run(["show", "20"]))
  expect(ambiguous.kind).toBe("usage")
  for (const id of ids) expect(ambiguous.hint).toContain(id)
  const unknown = failureOfRun(await scene.run(["show", "1999"]))
  expect(unknown.kind).toBe("notFound")
  for (const id of ids) expect(unknown.hint).toContain(id)
})

test("--debug adds where it failed, and what caused it, as a field of the same line", async () => {
  const scene = await setScene()
  const { stderr } = await scene.run(["list", "--debug", "--log-file", "/nonexistent/log"])
  const lines = stderr.trimEnd().split("\n")
  expect(lines).toHaveLength(1)
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({
    stack: expect.stringMatching(/^PgstowError: .*\n +at .*\ncaused by: Error: ENOENT/s) as string,
  })
})

test("a secret is in no argument of any process, in no log, and in nothing that is printed", async () => {
  const scene = await setScene()
  const bucket = await setBucket()
  const logFile = join(scene.folder, "log")
  const env = {
    ...bucket.env,
    PGSTOW_STORAGE: `${scene.storage} ${bucket.storage}`,
    LOG_LEVEL: "debug",
    LOG_FILE: logFile,
  }
  await scene.server.psql(
    "CREATE TABLE t AS SELECT repeat(i::text, 50) FROM generate_series(1, 200000) i",
    scene.database,
  )
  const hidden = [scene.server.password, scene.identity, bucket.endpoint.secretAccessKey]
  const names = new Set<string>()
  for (const args of [["backup"], ["verify", "--deep"], ["restore", "--into", `${scene.database}_back`]]) {
    const running = scene.start([...args, "--debug"], env)
    let over = false
    const finished = running.finished.finally(() => {
      over = true
    })
    let seen = ""
    while (!over) {
      for (const { name, args } of running.processes()) {
        names.add(name)
        seen += args.join(" ")
      }
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const { exitCode, stdout, stderr } = await finished
    expect(exitCode, stderr).toBe(0)
    for (const secret of hidden)
      expect(seen + stdout + stderr + (await readFile(logFile, "utf8"))).not.toContain(secret)
  }
  if (process.platform === "linux")
    expect([...names]).toEqual(expect.arrayContaining(["psql", "pg_dump", "zstd", "pg_restore"]))
})

test.each([
  ["a storage by a relative path", ["list", "--storage", "./backups"]],
  ["a new key", ["keygen", "--out", "new.key"]],
  ["a schedule", ["schedule"]],
])("in a working directory that has been removed, %s says so", async (_, args) => {
  const { folder, env } = await setScene()
  const gone = join(folder, "gone")
  await mkdir(gone)
  const command = ["-c", 'rmdir "$PWD" && exec "$@"', "sh", process.execPath, inject("program"), ...args]
  const { status, stdout, stderr } = spawnSync("sh", command, {
    cwd: gone,
    env: { PATH: process.env.PATH, ...env },
    encoding: "utf8",
  })
  expect(failureOfRun({ exitCode: status, stdout, stderr })).toEqual({
    kind: "usage",
    message: "the working directory has been removed",
    hint: "Change to a directory that exists, then run it again.",
    exitCode: 2,
  })
})

test.runIf(process.platform === "linux")(
  "a reader that stops early is no failure, a full disk is one",
  () => {
    const script = `'${process.execPath}' '${inject("program")}' restore --help`
    const cut = spawnSync("bash", ["-c", `${script} | true; exit "\${PIPESTATUS[0]}"`], { encoding: "utf8" })
    expect(cut).toMatchObject({ status: 0, stderr: "" })
    const full = spawnSync("bash", ["-c", `${script} > /dev/full`], { encoding: "utf8" })
    expect(full.status).toBe(4)
    expect(logOf(full.stderr).at(-1)?.message).toMatch(/^the output could not be written: ENOSPC/)
  },
)

test("a .env that is no file is named", async () => {
  const { folder, run } = await setScene()
  await mkdir(join(folder, ".env"))
  const failure = failureOfRun(await run(["list"]))
  expect(failure).toMatchObject({
    kind: "usage",
    message: "the settings in .env can't be read: it is no file",
  })
})

test("a zstd that the system kills ends the backup with 3, and the hint says why", async () => {
  const { run, database, server } = await setScene()
  await server.psql("CREATE TABLE rows AS SELECT generate_series(1, 200000)", database)
  const failure = failureOfRun(await run(["backup"], { PATH: `${await killedZstd()}:${process.env.PATH}` }))
  expect(failure.kind).toBe("postgres")
  expect(failure.message).toMatch(/^compressing the output of \S+ failed: zstd was ended by SIGKILL/)
  expect(failure.hint).toContain("run out of memory")
})

/** A folder with a zstd that compresses well what is small, and is killed where more comes. */
async function killedZstd(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-zstd-"))
  onTestFinished(() => rm(folder, { recursive: true }))
  const zstd = execFileSync("sh", ["-c", "command -v zstd"], { encoding: "utf8" }).trim()
  const script = `#!/bin/sh
head -c 1000 >${folder}/input
test "$(wc -c <${folder}/input)" -lt 1000 || kill -KILL $$
exec ${zstd} "$@" <${folder}/input
`
  await writeFile(join(folder, "zstd"), script, { mode: 0o755 })
  return folder
}
