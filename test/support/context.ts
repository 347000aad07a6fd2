import type { ProgressUpdate } from "../../task/console/progress.ts"
import type { Context } from "../../task/context.ts"
import type { Prefix } from "../../task/processes/program.ts"

/** A context that remembers what it is told. */
export type TestContext = Context & {
  readonly warnings: readonly string[]
  readonly updates: readonly ProgressUpdate[]
}

type Given = {
  readonly signal?: AbortSignal
  readonly env?: Context["env"]
  readonly prefix?: Prefix | undefined
}

export function testContext({
  signal = new AbortController().signal,
  env = {},
  prefix,
}: Given = {}): TestContext {
  const warnings: string[] = []
  const updates: ProgressUpdate[] = []
  const ignore = () => {}
  return {
    env: { PATH: process.env.PATH, ...env },
    prefix,
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
