import { describe, expect, test } from "vitest"
import { failureOfRun } from "../support/failure-line.ts"
import { runPgstow } from "../support/pgstow.ts"

/** Makes Node say that it is on another system. What the program then refuses is all that can be tried here. */
const on = (platform: string) => ({
  NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(`Object.defineProperty(process,"platform",{value:${JSON.stringify(platform)}})`)}`,
})

describe("on Windows", () => {
  test.each([["backup"], ["list"], ["keygen"], ["init"], ["schedule", "--run", "0 3 * * *"]])(
    "%s %s %s is refused with where it runs",
    async (...args) => {
      expect(failureOfRun(await runPgstow(args, on("win32")))).toMatchObject({
        kind: "usage",
        message: "pgstow does not run on Windows",
        hint: "Run it in WSL 2, where it is a program for Linux, or in its container.",
      })
    },
  )

  test.each([["--help"], ["--version"], ["backup", "--help"], ["completion", "bash"], ["man"]])(
    "%s %s works",
    async (...args) => {
      const { exitCode, stdout } = await runPgstow(args, on("win32"))
      expect(exitCode).toBe(0)
      expect(stdout).not.toBe("")
    },
  )
})

describe("on macOS", () => {
  test.each([
    [[], "there is no systemd but on Linux"],
    [["--install"], "a schedule can be installed on Linux alone"],
    [["--cron", "--install"], "a schedule can be installed on Linux alone"],
  ])("schedule %j is refused with what to do", async (args, message) => {
    const failure = failureOfRun(await runPgstow(["schedule", ...args], on("darwin")))
    expect(failure).toMatchObject({ kind: "usage", message })
    expect(failure.hint).toContain("launchd")
  })
})
