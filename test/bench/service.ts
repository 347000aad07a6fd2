import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { createInterface } from "node:readline"

/** A program of this folder that runs beside the measured ones, in a process of its own. */
export type Service = {
  /** The line that it printed when it was ready. */
  readonly answer: string
  stop(): Promise<void>
}

/** Starts `name` with arguments, and waits until it says that it is ready. It ends with this process at the latest. */
export async function startService(name: string, args: readonly string[]): Promise<Service> {
  const child = spawn(process.execPath, [join(import.meta.dirname, name), ...args], {
    stdio: ["pipe", "pipe", "inherit"],
    // So that Ctrl-C in a terminal reaches us, and not the service under us.
    detached: true,
  })
  const closed = once(child, "close")
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const { value: answer, done } = await lines.next()
  if (done) throw new Error(`${name} ended at once`)
  return {
    answer,
    stop: async () => {
      child.stdin.end()
      await closed
    },
  }
}

/** In the service: resolves when whoever started it wants no more of it. */
export async function untilStopped(): Promise<void> {
  process.stdin.resume()
  await once(process.stdin, "close")
}
