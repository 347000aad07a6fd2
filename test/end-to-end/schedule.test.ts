import { spawnSync } from "node:child_process"
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { expect, test } from "vitest"
import { schedule } from "../../task/schedule/make-schedule.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { needsLinux } from "../support/not-run.ts"
import { run } from "../support/programs.ts"
import { quiet } from "../support/quiet.ts"
import { setScene } from "../support/scene.ts"

test("the file for cron backs up, and status then says that all is well", async () => {
  const scene = await setScene()
  const { folder } = scene
  const settings = join(folder, "settings.env")
  const text = Object.entries(scene.env).map(([name, value]) => `${name}='${value}'`)
  await writeFile(settings, text.join("\n"), { mode: 0o600 })
  expect(failureOfRun(await scene.run(["status"])).kind).toBe("notFound")

  const { exitCode, stdout } = await scene.run(["schedule", "--cron", "--settings", settings, "--at", "4:05"])
  expect(exitCode).toBe(0)
  const [, command = ""] = /^5 4 \* \* \* \w+ (.*)$/m.exec(stdout) ?? []
  const env = { PATH: process.env.PATH }
  const { status, stderr } = spawnSync("/bin/sh", ["-c", command], { env, encoding: "utf8" })
  expect(status, stderr).toBe(0)
  expect(await scene.json(["status"])).toMatchObject({
    databases: [{ database: scene.database, overdue: false }],
  })
})

test
  .skipIf(needsLinux)
  .each(["PGSTOW_EXEC=docker exec -i db", "PGSTOW_TUNNEL=me@bastion\nDATABASE_URL=postgres://db/orders"])(
  `the units are printed as systemd takes them, with %j${needsLinux}`,
  async (setting) => {
    const scene = await setScene()
    const { folder } = scene
    const settings = join(folder, "settings.env")
    await writeFile(
      settings,
      `PGSTOW_STORAGE=${folder}/a,b\nLOG_FILE=${folder}/log/pgstow.log\n${setting}\nPGSTOW_UNENCRYPTED=yes`,
    )
    const { exitCode, stdout, stderr } = await scene.run(["schedule", "--settings", "settings.env"])
    expect(exitCode).toBe(0)
    expect(stderr).toContain("chmod 600")
    for (const [, path = "", text = ""] of stdout.matchAll(
      /^# \/etc\/systemd\/system\/(\S+)\n(.*?)(?=^# \/etc|$(?![\s\S]))/gms,
    )) {
      await writeFile(join(folder, path), text)
    }
    const service = await readFile(join(folder, "pgstow.service"), "utf8")
    expect(service).toContain(`LoadCredential=settings:${settings}\n`)
    expect(service, "docker and ssh read their settings there").toContain("ProtectHome=read-only\n")
    expect(service).toContain(`ReadWritePaths=${folder}/a,b\nReadWritePaths=${folder}/log\n`)
    run("systemd-analyze", [
      "verify",
      "--man=no",
      "--recursive-errors=no",
      join(folder, "pgstow.service"),
      join(folder, "pgstow.timer"),
    ])
  },
)

/** Settings to schedule, a folder for what is installed, and one for the programs that are found beside it. */
async function setInstallScene() {
  const { folder } = await setScene()
  const settings = join(folder, "settings.env")
  await writeFile(settings, `PGSTOW_STORAGE=file://${folder}/backups\nPGSTOW_UNENCRYPTED=yes`, {
    mode: 0o600,
  })
  const bin = join(folder, "bin")
  await mkdir(bin)
  const options = {
    at: "03:00",
    settingsFile: settings,
    program: [process.execPath, "/opt/pgstow/pgstow.mjs"],
    install: true,
    folder,
  } as const
  const warnings: string[] = []
  const context = {
    log: { ...quiet.log, warn: (message: string) => void warnings.push(message) },
    progress: { update: () => {}, clear: () => {} },
    signal: new AbortController().signal,
    now: () => new Date(),
  }
  return { folder, settings, bin, options, warnings, context }
}

test("--install puts the files in place, makes the folders and starts the timer; a foreign file stays", async () => {
  const { folder, settings, bin, ...scene } = await setInstallScene()
  await writeFile(join(bin, "systemctl"), `#!/bin/sh\necho "$@" >> ${folder}/called\n`)
  await chmod(join(bin, "systemctl"), 0o755)
  const options = { ...scene.options, kind: "systemd", name: "pgstow-orders" } as const
  const context = { ...scene.context, env: { PATH: `${bin}:${process.env.PATH}` } }
  for (const _ of ["first", "again"]) await schedule(options, context)
  expect(await readFile(join(folder, "called"), "utf8")).toBe(
    "show --property=Version\ndaemon-reload\nenable --now pgstow-orders.timer\n".repeat(2),
  )
  expect(await readFile(join(folder, "pgstow-orders.timer"), "utf8")).toContain("Unit=pgstow-orders.service")
  await expect(readFile(join(folder, "backups"))).rejects.toThrow("EISDIR")

  await writeFile(join(bin, "systemctl"), "#!/bin/sh\necho 'not booted with systemd' >&2\nexit 1\n")
  const failure = await schedule({ ...options, name: "nothing" }, context).catch((error: unknown) => error)
  expect(failure).toMatchObject({
    message: "no systemd runs here, so nothing was installed",
    hint: `Take a file for cron: pgstow schedule --cron --settings ${settings} --install.`,
  })
  await expect(readFile(join(folder, "nothing.timer"))).rejects.toThrow("ENOENT")

  await writeFile(join(folder, "other.service"), "[Unit]\n")
  await expect(schedule({ ...options, name: "other" }, context)).rejects.toThrow(
    "is there already, and not from pgstow",
  )
})

test("--cron --install warns where there is no cron that would read the file", async () => {
  const { bin, options, warnings, context } = await setInstallScene()
  const install = () =>
    schedule({ ...options, kind: "cron", name: "pgstow" }, { ...context, env: { PATH: bin } })
  await install()
  expect(warnings).toContainEqual(expect.stringContaining("there seems to be no cron on this machine"))
  warnings.length = 0
  await writeFile(join(bin, "cron"), "")
  await install()
  expect(warnings).not.toContainEqual(expect.stringContaining("no cron"))
})

test.each([
  ["PGSTOW_STORAGE=./backups", [], "is relative"],
  ["PGSTOW_NAME=x", [], "names no storage"],
  ["PGSTOW_STORAGE=/b", ["--at", "25:00"], "--at 25:00 is not a time of day"],
  ["PGSTOW_STORAGE=/b", ["--unit", "../x"], "can't be the name of a unit"],
  ["PGSTOW_STORAGE=/b", ["--settings", "missing"], "there is no file"],
  ["PGSTOW_STORAGE=/dev/shm/b", [], "/dev/shm/b in"],
  ["PGSTOW_STORAGE=/b", [], "no recipient was given"],
  ["PGSTOW_STORAGE=/b\nPGSTOW_RECIPIENTS=age1…", ["--cron"], "the recipient, age1…, is not valid"],
  ["PGSTOW_STORAGE=s3://b\nPGSTOW_UNENCRYPTED=yes", [], "s3://b"],
  [
    "PGSTOW_STORAGE=/b\nPGSTOW_UNENCRYPTED=yes\nDATABASE_URL=mysql://db/x",
    [],
    ".env: the database URL begins with mysql://",
  ],
])("settings %j with %j: %s", async (settings, args, problem) => {
  const scene = await setScene()
  const { folder } = scene
  await writeFile(join(folder, ".env"), settings)
  const { exitCode, stderr } = await scene.run(["schedule", ...args])
  // As a backup with these settings: 7 for a recipient.
  expect([2, 7]).toContain(exitCode)
  expect(stderr).toContain(problem)
})

test("without settings, the error says what to write where", async () => {
  const scene = await setScene()
  const failure = failureOfRun(await scene.run(["schedule"]))
  expect(failure.message).toContain(`${scene.folder}/.env`)
  expect(failure.hint).toMatch(/DATABASE_URL, PGSTOW_STORAGE and PGSTOW_RECIPIENTS.*--settings/)
})

test.each([
  ["PGSTOW_STORAGE=file:///home/me/backups", { home: "read-only", tmp: "yes" }],
  ["PGSTOW_STORAGE=/srv/b\nPGSSLROOTCERT=/root/ca.pem", { home: "read-only", tmp: "yes" }],
  ["PGSTOW_STORAGE=s3://backups/p?profile=nightly", { home: "read-only", tmp: "yes" }],
  ["PGSTOW_STORAGE=/srv/b\nDATABASE_URL=postgres:///orders?host=/tmp", { home: "yes", tmp: "no" }],
  ["PGSTOW_STORAGE=/var/tmp/b", { home: "yes", tmp: "no" }],
  ["PGSTOW_STORAGE=/srv/home/tmp/b\nLOG_FILE=/srv/tmp/log", { home: "yes", tmp: "yes" }],
])("the service sees what is named in %j, and is kept from the rest", async (settings, { home, tmp }) => {
  const { folder } = await setScene()
  const settingsFile = join(folder, "settings.env")
  await writeFile(settingsFile, `${settings}\nPGSTOW_UNENCRYPTED=yes`, { mode: 0o600 })
  const program = ["/usr/bin/node", "/opt/pgstow/pgstow.mjs"]
  const options = {
    kind: "systemd",
    name: "pgstow",
    at: "03:00",
    settingsFile,
    program,
    install: false,
  } as const
  const warnings: string[] = []
  const context = {
    log: { ...quiet.log, warn: (message: string) => void warnings.push(message) },
    env: {},
    progress: { update: () => {}, clear: () => {} },
    signal: new AbortController().signal,
    now: () => new Date(),
  }
  const { files } = await schedule(options, context)
  expect(files[0]?.text).toContain(`ProtectHome=${home}\n`)
  expect(files[0]?.text).toContain(`PrivateTmp=${tmp}\n`)
  // Its own settings are in such a folder.
  expect(warnings.join()).toContain("emptied when the machine starts")

  expect(warnings.join()).not.toContain("npx")
  const cached = "/var/lib/me/.npm/_npx/0a1b2c3d/node_modules/pgstow/dist/pgstow.mjs"
  await schedule({ ...options, program: ["/usr/bin/node", cached] }, context)
  expect(warnings.join()).toContain(`${cached} is in npx's cache`)
})
