import { spawnSync } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { forgeHistory } from "../report/forge-history.ts"
import { notRun } from "../support/not-run.ts"
import { runPgstow } from "../support/pgstow.ts"
import { findPromtool } from "../support/promtool.ts"

const promtool = findPromtool()
const needsPromtool = notRun(promtool !== undefined, "promtool, of Debian's package prometheus, can't be had")

test.skipIf(needsPromtool)(`promtool has nothing to say against the metrics${needsPromtool}`, async () => {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-promtool-"))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const roots = [join(folder, "one"), join(folder, "other")]
  for (const root of roots)
    for (const database of ["orders", 'a "b" \\ c', "line\nbreak", "größe {x=1}"])
      forgeHistory({
        root,
        database,
        newest: new Date(Date.now() - 3_600_000),
        backups: 5,
        found: (age) =>
          (["drilled", "failed", "drill-failed", "unverified", "verified"] as const)[age] ?? "nothing",
      })
  const env = { PGSTOW_STORAGE: `${roots.map((root) => `file://${root}`).join(" ")} file://${folder}/none` }
  const { stdout: input } = await runPgstow(["status", "--format", "prometheus"], env)
  for (const name of ["newest_drilled_backup_timestamp_seconds", "backups", "storage_up"])
    expect(input).toMatch(new RegExp(`^pgstow_${name}\\{`, "m"))
  const check = (metrics: string) => {
    const { status, stdout, stderr } = spawnSync(promtool ?? "", ["check", "metrics"], {
      input: metrics,
      encoding: "utf8",
    })
    return { status, said: stdout + stderr }
  }
  expect(check(input)).toEqual({ status: 0, said: "" })
  // It does look: a counter's name, a help that is gone.
  expect(check(input.replaceAll("pgstow_backups", "pgstow_backups_total")).said).toContain("_total")
  expect(check(input.replace(/^# HELP pgstow_backups .*\n/m, "")).status).not.toBe(0)
})
