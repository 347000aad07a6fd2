import { spawn } from "node:child_process"
import { text } from "node:stream/consumers"
import { inject, onTestFinished } from "vitest"
import type { Scene } from "./scene.ts"

/** What somebody types, once these words are on the screen. */
export type Typed = { readonly after: string; readonly keys: string }

/**
 * Runs the program on a terminal of so many columns, 400 unless given, made by util-linux's `script`, and gives all that it wrote there and
 * its exit code. The arguments must need no quoting. Unless something is typed, the input is at its end.
 * Of several things, each is typed once its words have come behind those of the one before.
 */
export async function runOnTerminal(
  { env, folder }: Pick<Scene, "env" | "folder">,
  args: readonly string[],
  more: Readonly<Record<string, string>> = {},
  { columns = 400, typed }: { readonly columns?: number; readonly typed?: Typed | readonly Typed[] } = {},
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
    let unanswered = ""
    const left = [typed].flat()
    child.stdout.on("data", (chunk: Buffer) => {
      unanswered += chunk.toString()
      for (let next = left[0]; next !== undefined && unanswered.includes(next.after); next = left[0]) {
        unanswered = unanswered.slice(unanswered.indexOf(next.after) + next.after.length)
        left.shift()
        child.stdin.write(next.keys)
      }
    })
  }
  const exitCode = new Promise<number | null>((done, fail) => child.once("error", fail).once("close", done))
  return { screen: await text(child.stdout), exitCode: await exitCode }
}
