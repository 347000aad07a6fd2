import type { ProgressUpdate } from "../../task/console/progress.ts"
import type { Context } from "../../task/context.ts"

/** A context that remembers what it is told. */
export type TestContext = Context & {
  readonly warnings: readonly string[]
  readonly updates: readonly ProgressUpdate[]
}

export function testContext({ signal = new AbortController().signal, env = {} } = {}): TestContext {
  const warnings: string[] = []
  const updates: ProgressUpdate[] = []
  const ignore = () => {}
  return {
    env: { PATH: process.env.PATH, ...env },
    log: {
      debug: ignore,
      info: ignore,
      warn: (message) => warnings.push(message),
      error: (message) => warnings.push(message),
      close: ignore,
    },
    progress: { update: (update) => updates.push(update), clear: ignore },
    signal,
    now: () => new Date(),
    warnings,
    updates,
  }
}
