import { spawn } from "node:child_process"
import { text } from "node:stream/consumers"
import { inject } from "vitest"
import type { Scene } from "./scene.ts"

/**
 * Runs the program on a terminal of so many columns, 160 unless given, made by util-linux's `script`, and gives all that it wrote there and
 * its exit code. The arguments must need no quoting.
 */
export async function runOnTerminal(
  { env, folder }: Pick<Scene, "env" | "folder">,
  args: readonly string[],
  more: Readonly<Record<string, string>> = {},
  { columns = 160 }: { readonly columns?: number } = {},
): Promise<{ readonly exitCode: number | null; readonly screen: string }> {
  const command = `stty cols ${columns} -onlcr; exec '${process.execPath}' '${inject("program")}' ${args.join(" ")}`
  const child = spawn("script", ["--quiet", "--return", "--command", command, "/dev/null"], {
    cwd: folder,
    env: { PATH: process.env.PATH, SHELL: "/bin/sh", TERM: "xterm", HOME: "/nonexistent", ...env, ...more },
    stdio: ["ignore", "pipe", "inherit"],
  })
  const exitCode = new Promise<number | null>((done, fail) => child.once("error", fail).once("close", done))
  return { screen: await text(child.stdout), exitCode: await exitCode }
}
