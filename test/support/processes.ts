import { join } from "node:path"
import type { Program } from "../../task/child.ts"

/** A program of `test/fixtures/programs`. */
export function fixture(name: string, ...args: (string | number)[]): Program {
  const file = join(import.meta.dirname, "../fixtures/programs", name)
  return { file, args: args.map(String), env: { PATH: process.env.PATH } }
}

export function isRunning(pid: number | undefined): boolean {
  if (pid === undefined) return false
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
