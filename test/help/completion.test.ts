import { spawn, spawnSync } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { beforeAll, describe, expect, onTestFinished, test } from "vitest"
import { programShape } from "../../task/cli/program.ts"
import { notRun } from "../support/not-run.ts"
import { runPgstow } from "../support/pgstow.ts"

const { commands } = programShape()
const names = commands.map(({ name }) => name)
const flagsOf = (command: string) => [
  ...(commands.find(({ name }) => name === command)?.options ?? []).map(({ flag }) => flag),
  "--help",
]
const needs = (shell: string) =>
  notRun(spawnSync(shell, ["--version"]).status === 0, `there is no ${shell} here`)
const [needsZsh, needsFish] = [needs("zsh"), needs("fish")]

const scripts: Record<string, string> = {}
beforeAll(async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const { exitCode, stdout, stderr } = await runPgstow(["completion", shell])
    expect(exitCode, stderr).toBe(0)
    scripts[shell] = stdout
  }
})

function linesOf(shell: string, args: readonly string[], input: string, cwd?: string): string[] {
  const { status, stdout, stderr } = spawnSync(shell, args, { input, encoding: "utf8", cwd })
  expect(stderr).toBe("")
  expect(status).toBe(0)
  return stdout.split("\n").filter((line) => line !== "")
}

async function folderWith(...files: string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-complete-"))
  onTestFinished(() => rm(folder, { recursive: true }))
  for (const file of files) await writeFile(join(folder, file), "")
  return folder
}

describe("the completion for bash", () => {
  /** What bash offers behind these words; the last is being typed. */
  const offered = (words: readonly string[]) =>
    linesOf(
      "bash",
      ["--norc"],
      `${scripts.bash}\nCOMP_WORDS=(pgstow ${words.map((word) => `'${word}'`).join(" ")})\nCOMP_CWORD=${words.length}\n_pgstow\nprintf '%s\\n' "\${COMPREPLY[@]}"`,
    ).toSorted()

  test("offers every command of the program", () => {
    expect(offered([""])).toEqual(names.toSorted())
    expect(offered(["ba"])).toEqual(["backup"])
  })

  test.each(names)("offers every option of %s", (command) => {
    expect(offered([command, "--"])).toEqual(flagsOf(command).toSorted())
  })

  test("offers what an argument may be, also behind options", () => {
    expect(offered(["completion", ""])).toEqual(["bash", "fish", "zsh"])
    expect(offered(["list", "--storage", "file:///srv", "--lo"])).toEqual([
      "--log-file",
      "--log-level",
      "--long",
    ])
  })

  test("offers no options where a value is to follow", () => {
    expect(offered(["backup", "--storage", ""])).toEqual([])
    expect(offered(["backup", "--log-file", ""])).toEqual([])
  })
})

describe.skipIf(needsFish)(`the completion for fish${needsFish}`, () => {
  const offered = (line: string, cwd?: string) =>
    linesOf(
      "fish",
      [
        "--no-config",
        "-c",
        `${scripts.fish}
complete -C ${JSON.stringify(`pgstow ${line}`)}`,
      ],
      "",
      cwd,
    )
      .map((text) => text.split("\t")[0] ?? "")
      .toSorted()

  test("offers every command of the program", () => {
    expect(offered("")).toEqual(names.toSorted())
  })

  test.each(names)("offers every option of %s", (command) => {
    expect(offered(`${command} --`)).toEqual(flagsOf(command).toSorted())
  })

  test("offers files where there may be one, and what an argument may be", async () => {
    expect(offered("completion ")).toEqual(["bash", "fish", "zsh"])
    const folder = await folderWith("my.key")
    expect(offered("restore --identity m", folder)).toEqual(["my.key"])
    expect(offered("restore --database m", folder)).toEqual([])
  })
})

describe.skipIf(needsZsh)(`the completion for zsh${needsZsh}`, () => {
  /** A zsh on a terminal of its own: `script` makes it. */
  async function startZsh() {
    const folder = await folderWith("my.key")
    await writeFile(join(folder, "_pgstow"), scripts.zsh ?? "")
    const child = spawn("script", ["--quiet", "--command", "stty cols 200; exec zsh -f -i", "/dev/null"], {
      cwd: folder,
      env: { PATH: process.env.PATH, TERM: "dumb", SHELL: "/bin/sh", HOME: folder },
    })
    onTestFinished(() => void child.kill("SIGKILL"))
    let screen = ""
    child.stdout.on("data", (chunk: Buffer) => {
      screen += chunk.toString()
    })
    const waitFor = async (words: string) => {
      for (let waited = 0; !screen.includes(words); waited += 50) {
        if (waited > 20_000) throw new Error(`${JSON.stringify(words)} never came: ${screen}`)
        await sleep(50)
      }
      screen = screen.slice(screen.indexOf(words) + words.length)
    }
    child.stdin.write(
      "autoload -Uz compinit; compinit -u -D; source ./_pgstow; setopt no_beep; PS1='rea''dy> '\r",
    )
    await waitFor("ready> ")
    return { child, waitFor }
  }

  test("completes commands, options, files and arguments", async () => {
    const zsh = await startZsh()
    for (const [line, whole] of [
      ["rep", "report"],
      ["backup --exclude-table-d", "backup --exclude-table-data"],
      ["status --storage-t", "status --storage-timeout"],
      ["restore --identity m", "restore --identity my.key"],
      ["completion z", "completion zsh"],
      ["keygen --si", "keygen --signing"],
    ] as const) {
      zsh.child.stdin.write(`pgstow ${line}\t`)
      zsh.child.stdin.write("\u0001print -r -- '<\u0005>'\r")
      await zsh.waitFor(`\n<pgstow ${whole}>`)
      await zsh.waitFor("ready> ")
    }
  })

  test("is taken by zsh, and has every option of every command", () => {
    const { status, stderr } = spawnSync("zsh", ["-n"], { input: scripts.zsh, encoding: "utf8" })
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
    for (const { name, options } of commands)
      for (const { flag } of options) expect(scripts.zsh, `${name} ${flag}`).toContain(`${flag}[`)
  })
})

test("another shell is refused with those that there are", async () => {
  const { exitCode, stderr } = await runPgstow(["completion", "tcsh"])
  expect(exitCode).toBe(2)
  expect(stderr).toContain("Allowed choices are bash, zsh, fish")
})
