import { spawn } from "node:child_process"
import { constants } from "node:os"
import { exitCodes, PgstowError } from "../errors.ts"
import { endWithProgram } from "../processes/child.ts"

/**
 * Runs this program by another command line, as a process of its own that writes to the same places, and gives its exit
 * code. Once the signal is aborted, it gets the signal that this one got: what it does then it knows itself.
 *
 * @param program Node, and the script that this program is
 */
export async function runProgram(
  program: readonly string[],
  args: readonly string[],
  {
    env,
    signal,
  }: { readonly env: Readonly<Record<string, string | undefined>>; readonly signal: AbortSignal },
): Promise<number> {
  const [file = "", ...script] = program
  const child = spawn(file, [...script, ...args], {
    stdio: ["ignore", "inherit", "inherit"],
    env,
    // Ctrl-C in a terminal reaches all of a session; a second signal ends a run at once, and this process sends one, too.
    detached: true,
  })
  const passOn = () => {
    const reason: unknown = signal.reason
    child.kill(reason instanceof PgstowError && reason.kind === "interrupted" ? "SIGINT" : "SIGTERM")
  }
  // The second one: it then ends at once, with all that it started.
  endWithProgram(child, { stop: () => {}, kill: () => child.kill("SIGTERM") })
  signal.addEventListener("abort", passOn, { once: true })
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once("error", reject)
      child.once("close", (exitCode, killedBy) =>
        resolve(exitCode ?? (killedBy === null ? exitCodes.unexpected : 128 + constants.signals[killedBy])),
      )
    })
  } finally {
    signal.removeEventListener("abort", passOn)
  }
}
