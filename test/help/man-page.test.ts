import { spawnSync } from "node:child_process"
import { describe, expect, test } from "vitest"
import { programShape } from "../../task/cli/program.ts"
import { exitCodes } from "../../task/errors.ts"
import { exitMeanings } from "../../task/help/exit-meanings.ts"
import { manPage } from "../../task/help/man-page.ts"
import { notRun } from "../support/not-run.ts"
import { runPgstow } from "../support/pgstow.ts"

const needsMandoc = notRun(
  spawnSync("mandoc", ["-Tlint"], { input: "" }).error === undefined,
  "there is no mandoc here",
)

/** The page as a reader sees it, with one space between words. */
function read(page: string): string {
  const { status, stdout } = spawnSync("mandoc", ["-Tutf8"], { input: page, encoding: "utf8" })
  expect(status).toBe(0)
  // Bold and underlined letters are struck twice.
  const struck = new RegExp(`.${String.fromCharCode(8)}`, "g")
  return stdout.replaceAll(struck, "").replaceAll(/\s+/g, " ")
}

describe.skipIf(needsMandoc)(`the manual page${needsMandoc}`, () => {
  test("has no fault that mandoc knows", async () => {
    const { exitCode, stdout } = await runPgstow(["man"])
    expect(exitCode).toBe(0)
    const { stdout: faults } = spawnSync("mandoc", ["-Tlint", "-Wwarning"], {
      input: stdout,
      encoding: "utf8",
    })
    expect(faults).toBe("")
  })

  test("has every command, option, example and exit code, as help has them", async () => {
    const page = read((await runPgstow(["man"])).stdout)
    for (const { name, summary, arguments: args, options, examples, notes } of programShape().commands) {
      const usage = [name, ...(options.length > 0 ? ["[options]"] : []), ...args.map(({ syntax }) => syntax)]
      expect(page).toContain(` pgstow ${usage.join(" ")} `)
      expect(page).toContain(` ${name} ${summary}. `)
      for (const { flag, description, value } of options)
        expect(page).toContain(
          ` ${flag}${value === undefined ? "" : ` ${value.syntax}`} ${description.replaceAll("…", "...")} `,
        )
      for (const line of [...examples, ...notes]) expect(page).toContain(` ${line.replaceAll("…", "...")} `)
    }
    for (const [kind, code] of Object.entries(exitCodes))
      expect(page).toContain(` ${code} ${exitMeanings[kind as keyof typeof exitCodes]} `)
  })

  test("shows what would be a request or an escape as it stands", () => {
    const odd = ".TH 'quoted' \\fB -- `x`"
    const page = manPage(
      {
        name: "odd",
        version: "1",
        description: "It is odd.",
        commands: [
          {
            name: "one",
            summary: odd,
            group: "Group",
            arguments: [],
            options: [{ flag: "--a-b", description: odd, group: "G", repeats: false, value: undefined }],
            examples: [odd],
            notes: ["'tis"],
          },
        ],
      },
      { day: "2026-01-02", exitCodes: [] },
    )
    const shown = read(page)
    expect(shown.split(odd)).toHaveLength(5)
    expect(shown).toContain("'tis")
    expect(spawnSync("mandoc", ["-Tlint", "-Wwarning"], { input: page, encoding: "utf8" }).stdout).toBe("")
  })
})
