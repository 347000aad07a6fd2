import { readFile, stat } from "node:fs/promises"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import * as z from "zod"
import { defaultJobs } from "../../task/core/plan.ts"
import { setBackupScene } from "../support/backup-scene.ts"
import { clientsWith } from "../support/client-folder.ts"
import { failureOfRun, logOf } from "../support/failure-line.ts"
import { needsLinux } from "../support/not-run.ts"
import { setScene } from "../support/scene.ts"
import { runOnTerminal } from "../support/terminal.ts"

describe("without a terminal", () => {
  test("every line of the log is JSON, also that of a failure, and standard output stays empty", async () => {
    const scene = await setScene()
    const good = await scene.run(["backup"])
    expect(good.stdout).toBe("")
    expect(logOf(good.stderr)).toMatchObject([
      { level: "info", database: scene.database },
      { level: "info", result: { storages: [{ state: "verified" }] } },
    ])
    const bad = await scene.run(["backup", "--dbname", "nowhere"])
    expect(bad.stdout).toBe("")
    expect(failureOfRun(bad).kind).toBe("postgres")
  })

  test("a backup says how many streams it has, and why so many", async () => {
    const scene = await setScene()
    const [byItself, asTold] = [await scene.run(["backup"]), await scene.run(["backup", "--jobs", "5"])]
    const resources = { cores: z.int(), memoryBytes: z.int(), freeConnections: z.int() }
    const { jobs, ...seen } = z.object({ jobs: z.int(), ...resources }).parse(logOf(byItself.stderr)[0])
    expect(seen.cores).toBe(availableParallelism())
    expect(jobs).toBe(defaultJobs(seen))
    expect(logOf(asTold.stderr)[0]).toMatchObject({ jobs: 5 })
  })

  test("LOG_LEVEL and --log-level leave out what is below them", async () => {
    const scene = await setScene()
    expect((await scene.run(["backup"], { LOG_LEVEL: "error" })).stderr).toBe("")
    const bad = await scene.run(["backup", "--log-level", "error", "--dbname", "nowhere"], {
      LOG_LEVEL: "debug",
    })
    expect(logOf(bad.stderr)).toMatchObject([{ level: "error" }])
  })

  test("LOG_FILE gets what standard output is given instead", async () => {
    const scene = await setScene()
    const file = join(scene.folder, "log")
    const result = await scene.json(["backup"], { LOG_FILE: file })
    expect(logOf(await readFile(file, "utf8")).at(-1)).toMatchObject({ level: "info", result })
  })

  test("LOG_FILE gets the same lines, one run after another, for its owner's eyes alone", async () => {
    const scene = await setScene()
    const file = join(scene.folder, "log")
    const runs = [
      await scene.run(["backup"], { LOG_FILE: file }),
      await scene.run(["show", "1999"], { LOG_FILE: file }),
    ]
    expect(await readFile(file, "utf8")).toBe(runs.map(({ stderr }) => stderr).join(""))
    expect((await stat(file)).mode & 0o777).toBe(0o600)
  })
})

describe("--json", () => {
  test.each([
    ["backup", ["backup"]],
    ["list", ["list"]],
    ["show", ["show", "latest"]],
    ["verify", ["verify", "latest"]],
    ["cleanup", ["cleanup", "7"]],
    ["keygen", ["keygen", "--out", "new.key"]],
  ])("%s prints one JSON value on standard output, and nothing else", async (_, args) => {
    const scene = await setScene()
    await scene.run(["backup"])
    const { exitCode, stdout } = await scene.run([...args, "--json"])
    expect(exitCode).toBe(0)
    expect(JSON.parse(stdout)).toBeTypeOf("object")
  })

  test.each([
    ["a wrong flag", ["backup", "--nope"], "usage", 2],
    ["a server that refuses", ["backup", "--dbname", "nowhere"], "postgres", 3],
    ["a missing backup", ["restore", "1999"], "notFound", 8],
  ])("prints a failure too, as it is logged: %s", async (_, args, kind, exitCode) => {
    const scene = await setScene()
    const finished = await scene.run([...args, "--json"])
    expect(finished.exitCode).toBe(exitCode)
    const { message, hint } = failureOfRun(finished)
    expect(JSON.parse(finished.stdout)).toEqual({ error: { kind, message, hint, exitCode } })
  })
})

describe.skipIf(needsLinux)(`on a terminal${needsLinux}`, () => {
  test("a progress line shows the rate and the expected end, then goes; there are words and no JSON", async () => {
    const scene = await setBackupScene()
    // A dump that pauses, so that there is something to see on any machine.
    const slow = `"$real" "$@" | { for i in 1 2 3 4 5 6; do dd bs=64k count=16 iflag=fullblock 2>/dev/null; sleep 0.25; done; cat; }`
    const clients = await clientsWith(scene.server, "pg_dump", slow)
    const logFile = join(scene.folder, "log")
    const { exitCode, screen } = await runOnTerminal(scene, ["backup"], {
      PGSTOW_PG_BIN: clients,
      LOG_FILE: logFile,
    })
    expect(exitCode, screen).toBe(0)
    const clearLine = "\r\u001b[K"
    expect(screen.split(clearLine)).toContainEqual(
      expect.stringMatching(/^backing up \S+ {2}[█░]{20} \d+ % {2}\S+ [KM]iB {2}\S+ \S+\/s {2}\S+ s left/),
    )
    const lines = screen.split("\n").map((line) => line.split(clearLine).at(-1))
    expect(lines).toEqual([
      expect.stringMatching(/^backing up \S+ on 127\.0\.0\.1:\d+ as postgres(, \d streams at once)?$/),
      expect.stringMatching(/^\S+ of \S+: \S+ MiB stored of \S+ MiB in \S+ s \(\S+ MiB\/s\)$/),
      `  ${scene.storage}: verified`,
      expect.stringMatching(/^ {2}s3:\S+: verified$/),
      "",
    ])
    expect(logOf(await readFile(logFile, "utf8"))).toMatchObject([
      { level: "info" },
      { level: "info", result: { storages: [{ state: "verified" }, { state: "verified" }] } },
    ])
  })

  test("a failure is an error, and below it what to do", async () => {
    const scene = await setScene()
    const { exitCode, screen } = await runOnTerminal(scene, ["backup", "--dbname", "nowhere"], {
      NO_COLOR: "1",
    })
    expect(exitCode).toBe(3)
    const [error, hint, ...rest] = screen.split("\n")
    expect(error).toMatch(/^error: could not connect to nowhere on .*"nowhere" does not exist$/)
    expect(hint).toMatch(/^Check the database's name; .*\.$/)
    expect(rest).toEqual([""])
  })
})
