import { spawn } from "node:child_process"
import { text } from "node:stream/consumers"
import { inject, onTestFinished } from "vitest"
import type { Scene } from "./scene.ts"

/** What somebody types, once these words are on the screen. */
export type Typed = { readonly after: string; readonly keys: string }

/**
 * Runs the program on a terminal of so many columns, 400 unless given, made by util-linux's `script`, and gives all that it wrote there and
 * its exit code. The arguments must need no quoting. Unless something is typed, the input is at its end.
 */
export async function runOnTerminal(
  { env, folder }: Pick<Scene, "env" | "folder">,
  args: readonly string[],
  more: Readonly<Record<string, string>> = {},
  { columns = 400, typed }: { readonly columns?: number; readonly typed?: Typed } = {},
): Promise<{ readonly exitCode: number | null; readonly screen: string }> {
  const command = `stty cols ${columns} -onlcr; exec '${process.execPath}' '${inject("program")}' ${args.join(" ")}`
  const child = spawn("script", ["--quiet", "--return", "--command", command, "/dev/null"], {
    cwd: folder,
    env: { PATH: process.env.PATH, SHELL: "/bin/sh", TERM: "xterm", HOME: "/nonexistent", ...env, ...more },
    stdio: ["pipe", "pipe", "inherit"],
  })
  // A program that waits for ever ends with its test.
  onTestFinished(() => void child.kill("SIGKILL"))
  if (typed === undefined) child.stdin.end()
  else {
    let seen = ""
    child.stdout.on("data", (chunk: Buffer) => {
      if (seen.includes(typed.after)) return
      seen += chunk.toString()
      if (seen.includes(typed.after)) child.stdin.write(typed.keys)
    })
  }
  const exitCode = new Promise<number | null>((done, fail) => child.once("error", fail).once("close", done))
  return { screen: await text(child.stdout), exitCode: await exitCode }
}
