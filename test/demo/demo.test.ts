import { execFile } from "node:child_process"
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { expect, inject, test } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import { needsLinux } from "../support/not-run.ts"
import { setScene } from "../support/scene.ts"
import { runOnTerminal } from "../support/terminal.ts"
import { nextSteps } from "./next-steps.ts"

const run = promisify(execFile)

test.skipIf(needsLinux)(
  `on a pipe, the demo shows the words that a terminal shows, without the progress line${needsLinux}`,
  async () => {
    const scene = await setScene()
    const asOnATerminal = join(import.meta.dirname, "as-on-a-terminal.ts")
    const env = { ...scene.env, PATH: process.env.PATH, NO_COLOR: "1" }
    const piped = await run(process.execPath, ["--import", asOnATerminal, inject("program"), "backup"], {
      env,
    })
    // A second one would be compared with the first.
    await rm(join(scene.folder, "backups"), { recursive: true })
    const { screen } = await runOnTerminal(scene, ["backup"], { NO_COLOR: "1" })
    const words = (text: string) =>
      text
        .split("\n")
        .map((line) =>
          line
            .split("\r\x1b[K")
            .at(-1)
            ?.replaceAll(/[\d.]+( [KM]?i?B)?/g, "1"),
        )
        .join("\n")
        .replaceAll(/\d\w+-\w+/g, "ID")
    expect(words(piped.stderr + piped.stdout)).toBe(words(screen))
    expect(piped.stderr + piped.stdout).not.toMatch(/\r|^\{/m)
  },
)

test("the demo's last lines back up a database of one's own, and restore it", async () => {
  const { server, database, folder } = await setScene()
  await server.psql("CREATE TABLE orders AS SELECT generate_series(1, 100) AS id", database)
  const commands = nextSteps
    .replaceAll("npx pgstow", `'${process.execPath}' '${inject("program")}'`)
    .replace("postgresql://user:password@host/name", server.url(database))
    .replace("file:///var/backups/pgstow", `file://${folder}/backups`)
    .replace("name_restored", `${database}_restored`)
  const env = { PATH: process.env.PATH, HOME: folder, PGSTOW_PG_BIN: server.binDir }
  await run("bash", ["-euc", commands], { cwd: folder, env })
  const restored = { server, name: `${database}_restored` }
  expect(await compareDatabases({ server, name: database }, restored)).toEqual([])
})
