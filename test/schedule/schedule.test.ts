import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { cronFile } from "../../task/schedule/cron-file.ts"
import type { Schedule } from "../../task/schedule/schedule.ts"
import { systemdUnits } from "../../task/schedule/systemd-units.ts"
import { needsLinux } from "../support/not-run.ts"
import { run } from "../support/programs.ts"

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "pgstow schedule $1 %h '\" "))
})
afterAll(() => rmSync(folder, { recursive: true }))

/** A program that says what it was run with, under a name that needs quotes everywhere. */
function schedule(rest: Partial<Schedule> = {}): Schedule {
  const script = join(folder, "program.mjs")
  writeFileSync(script, "console.log(JSON.stringify([process.argv.slice(2), process.env.DATABASE_URL]))")
  writeFileSync(join(folder, "settings"), 'DATABASE_URL="postgres://u:pa$s@h/d"\n')
  return {
    name: "pgstow",
    program: [process.execPath, script],
    settingsFile: join(folder, "settings"),
    signingKeyFile: undefined,
    hour: 3,
    minute: 5,
    user: "root",
    writes: [folder],
    needsHome: false,
    needsTmp: false,
    ...rest,
  }
}

describe.skipIf(needsLinux)(`the units for systemd${needsLinux}`, () => {
  test.each([
    ["as root", { user: "root" }],
    ["as a user of its own", { user: undefined, writes: [] }],
    ["that need a home folder", { needsHome: true }],
    ["that need the temporary folder", { needsTmp: true }],
    ["with a key that signs", { signingKeyFile: "/root/pgstow signing.key" }],
  ])("that run %s pass systemd-analyze, and are judged safe", (_, rest) => {
    const { service, timer } = systemdUnits(schedule(rest))
    const files = [join(folder, "pgstow.service"), join(folder, "pgstow.timer")]
    writeFileSync(files[0] ?? "", service)
    writeFileSync(files[1] ?? "", timer)
    run("systemd-analyze", ["verify", "--man=no", "--recursive-errors=no", ...files])
    // In tenths: below 3.0 of 10.0, where a service without any of it has 9.6.
    run("systemd-analyze", ["security", "--offline=yes", "--threshold=30", files[0] ?? ""])
  })

  test("start every day at that time, also late", () => {
    const { timer } = systemdUnits(schedule())
    const [, calendar = ""] = /^OnCalendar=(.*)$/m.exec(timer) ?? []
    expect(run("systemd-analyze", ["calendar", calendar]).toString()).toContain(
      "Normalized form: *-*-* 03:05:00",
    )
    expect(timer).toContain("Persistent=yes")
  })

  test("read the signing key as a credential, since the service can't read its owner's files", () => {
    const { service } = systemdUnits(schedule({ signingKeyFile: "/root/100%.key" }))
    expect(service).toContain("\nLoadCredential=signing-key:/root/100%%.key\n")
    expect(service).toMatch(/^ExecStart=.* backup --signing-key=\$\{CREDENTIALS_DIRECTORY\}\/signing-key$/m)
    expect(systemdUnits(schedule()).service).not.toContain("signing-key")
  })

  test("read the settings as a credential, and write nowhere but where backups go", () => {
    const { service } = systemdUnits(schedule({ writes: ["/var/backups/pgstow"] }))
    expect(service).toContain("LoadCredential=settings:")
    expect(service).toContain("ReadWritePaths=/var/backups/pgstow\n")
    for (const line of [
      "ProtectSystem=strict",
      "NoNewPrivileges=yes",
      "CapabilityBoundingSet=\n",
      "UMask=0077",
    ])
      expect(service).toContain(line)
    expect(service).not.toContain("pa$s")
  })
})

test("the line for cron runs the program with its settings", () => {
  const text = cronFile(schedule())
  const [, fields, command = ""] = /^(5 3 \* \* \* root) (.*)$/m.exec(text) ?? []
  expect(fields).toBeDefined()
  expect(text).not.toContain("pa$s")
  // What cron does: an escaped % is a %, a bare one would end the line.
  expect(command.replaceAll("\\%", "")).not.toContain("%")
  const { status, stdout, stderr } = spawnSync("/bin/sh", ["-c", command.replaceAll("\\%", "%")], {
    encoding: "utf8",
  })
  expect(status, stderr).toBe(0)
  expect(JSON.parse(stdout)).toEqual([["backup"], "postgres://u:pa$s@h/d"])
})
